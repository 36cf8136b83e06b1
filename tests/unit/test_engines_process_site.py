"""The site of the process engine: one endpoint for all environments of a project, there from the first to the last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engines_process_support import Rig

from mwaa_local.aws import client
from mwaa_local.engines import plan, ports
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.process import keeper_client, site, soundness
from mwaa_local.engines.process.site import Site
from mwaa_local.errors import MachineError
from mwaa_local.ground import locks, processes

pytestmark = pytest.mark.skipif(not processes.LINUX, reason="reads /proc")


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(tmp_path, monkeypatch)


def endpoint(rig: Rig) -> Component:
    found = rig.site_plan.component("aws")
    assert found is not None
    return found


def other(rig: Rig, monkeypatch: pytest.MonkeyPatch, *, runs: bool = True) -> Layout:
    """A second environment of the project, which runs or only has data."""
    layout = Layout(rig.environment.site / "other")
    layout.state.mkdir(parents=True)
    Plan("x", {}, ()).write(layout.plan)
    monkeypatch.setattr(locks, "locked", lambda path: runs and path == layout.keeper_lock)
    return layout


def test_the_words_of_the_endpoint(rig: Rig) -> None:
    rig.load("Local: {Region: eu-west-1, AwsServices: [eks, ec2], AwsContainers: true}\n")
    rig.up()
    item, state = endpoint(rig), site.layout_of(rig.environment).state
    assert " ".join(item.argv).partition(" -m ")[2] == (
        "mwaa_local.aws.server --host 127.0.0.1 --port 4566 --service eks --service ec2 --containers "
        f"--state {state}/aws --region eu-west-1 --die-with-parent"
    )
    assert item.probe == {"kind": "http", "url": "http://127.0.0.1:4566/_mwaa_local/health"}
    assert item.stop_seconds == 20
    assert state == rig.environment.site / "_site" and state.stat().st_mode & 0o777 == 0o700
    rig.load()
    rig.up()
    assert "--service" not in endpoint(rig).argv and "--containers" not in endpoint(rig).argv


def test_a_second_environment_is_given_the_endpoint_that_runs(rig: Rig) -> None:
    rig.up()
    before = rig.site_plan
    rig.site_components = {"aws": {"state": "healthy"}}
    rig.running = False
    rig.load(Name="b")
    result = rig.up()
    assert rig.site_plan == before
    assert rig.site_calls == ["start", ("wait", "aws"), ("wait", "aws")], "nothing is to be told to one that is well"
    assert result.addresses.aws == "http://127.0.0.1:4566"
    assert "aws" not in rig.plan.facts["ports"]
    promised = json.loads((rig.folder / "cache" / "ports.json").read_text())
    assert promised[str(rig.environment.site / "_site")] == [4566]


def test_what_is_changed_of_a_site_that_runs_is_said(rig: Rig) -> None:
    rig.up()
    rig.load("Local: {Region: eu-west-1}\n")
    assert "its command changed: restarted aws of the site" in rig.up().changes


def test_a_site_of_another_version_of_the_tool_is_replaced(rig: Rig) -> None:
    rig.up()
    for field, value in (("tool", "0.0.1"), ("format", 1)):
        path = site.layout_of(rig.environment).plan
        path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
        rig.site_calls.clear()
        rig.up()
        assert rig.site_calls == ["stop 25", "start", ("wait", "aws")], field


@pytest.mark.parametrize("text", ["{half", "[]", '{"format": 9}'])
def test_a_damaged_plan_of_the_site_is_written_anew(rig: Rig, text: str) -> None:
    rig.up()
    site.layout_of(rig.environment).plan.write_text(text)
    rig.up()
    assert endpoint(rig).name == "aws"


def test_a_stranger_on_the_endpoints_port_is_answered_with_another(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []

    def wait(
        layout: Layout, _generation: str, _names: list[str], _progress: Any, *, look: Any, **_: Any
    ) -> dict[str, float]:
        made = plan.read(layout.plan)
        assert made is not None
        waits.append(made.facts["ports"]["aws"])
        if len(waits) == 1:
            taken = waits[0]
            monkeypatch.setattr(ports, "is_free", lambda port: port != taken)
            raise site.LostPortError(site.Lost("aws", waits[0], "process 7 (nc)", 7))
        return {}

    monkeypatch.setattr(site, "until_healthy", wait)
    result = rig.up()
    assert waits[0] == 4566 != waits[1]
    assert rig.plan.facts["aws"] == f"http://127.0.0.1:{waits[1]}", "the environment is told the other one"
    assert [line for line in result.changes if line.startswith("aws port 4566 was taken by process 7")]
    rig.load("Local: {Ports: {Aws: 4999}}\n")
    waits.clear()
    with pytest.raises(MachineError, match=r"port 4999 is taken") as caught:
        rig.up()
    assert caught.value.where == "Local.Ports.Aws"


def test_down_of_the_last_environment_stops_the_site(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.up()
    rig.engine.down(timeout_s=5)
    assert rig.site_calls[-1] == "stop 25"
    rig.up()
    rig.engine.down(timeout_s=5, keep_site=True)
    assert rig.site_calls[-1] == ("wait", "aws") and rig.site_running
    layout = other(rig, monkeypatch)
    rig.up()
    rig.engine.down(timeout_s=5)
    assert rig.site_running, "another environment runs"
    monkeypatch.setattr(locks, "locked", lambda path: path == layout.up_lock)
    layout.plan.unlink()
    rig.engine.down(timeout_s=5)
    assert rig.site_running, "another environment is coming up for the first time"
    monkeypatch.setattr(locks, "locked", lambda _path: False)
    rig.engine.down(timeout_s=5)
    assert not rig.site_running


def test_reset_takes_the_site_with_its_last_environment(rig: Rig) -> None:
    rig.up()
    rig.engine.reset()
    assert rig.site_calls[-1] == "kill"
    assert not site.layout_of(rig.environment).state.exists()


@pytest.mark.parametrize("runs", [True, False])
def test_reset_beside_another_environment_takes_its_own_resources_only(
    rig: Rig, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Any] = []
    monkeypatch.setattr(client, "remove", lambda *given, **more: removed.append((given, more)))
    rig.up()
    other(rig, monkeypatch, runs=False)
    rig.running, rig.site_running = False, runs
    rig.site_calls.clear()
    rig.engine.reset()
    (given, more) = removed[0]
    assert given == ("http://127.0.0.1:4566", "us-east-1")
    assert more["queue"] == f"airflow-celery-{rig.environment.id}" and more["bucket"].startswith("mwaa-local-e-")
    assert len(more["log_groups"]) == 5
    assert site.layout_of(rig.environment).state.exists()
    assert rig.site_running is runs, "it is left as it was"
    assert "kill" not in rig.site_calls


@pytest.mark.parametrize("beside", [True, False])
def test_reset_of_the_last_one_that_ran_stops_the_site(rig: Rig, beside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "remove", lambda *_, **__: None)
    rig.up()
    other(rig, monkeypatch, runs=beside)
    rig.engine.reset()
    assert rig.site_running is beside


def test_a_copy_of_damaged_data_is_no_environment(rig: Rig) -> None:
    rig.up()
    for name in ("e-damaged-20260101-120000", "_site", "b"):
        layout = Layout(rig.environment.site / name)
        layout.state.mkdir(exist_ok=True)
        Plan("x", {}, ()).write(layout.plan)
    made = Site(rig.environment, {}, ports.Registry(rig.folder / "ports.json"))
    assert made.environments() == ["b", "e"]


def old(rig: Rig, name: str = "e") -> Path:
    """The endpoint's data of an environment of 0.1."""
    folder = rig.environment.site / name / "aws"
    (folder / "services").mkdir(parents=True)
    (folder / "services" / "x").write_text(name)
    return folder


def test_the_data_that_an_environment_had_are_taken_over(rig: Rig) -> None:
    folder = old(rig)
    changes = rig.up().changes
    there = site.layout_of(rig.environment).aws
    assert f"the AWS data of this environment are its site's now: {there}" in changes
    assert (there / "services" / "x").read_text() == "e" and not folder.exists()
    assert soundness._kept(site.layout_of(rig.environment)) == {"services"}
    assert rig.up().changes == []


def test_the_data_of_a_second_environment_stay_and_are_named(rig: Rig) -> None:
    old(rig)
    folder = old(rig, "b")
    rig.up()
    rig.running = False
    rig.load(Name="b")
    assert [line for line in rig.up().changes if str(folder) in line and "unused" in line]
    assert (folder / "services" / "x").read_text() == "b"


def test_the_port_that_an_environment_had_is_kept(rig: Rig) -> None:
    rig.layout.state.mkdir(parents=True)
    Plan("0.1.0", {}, (), {"ports": {"aws": 4777, "web": 8123}}, format=1).write(rig.layout.plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports, "is_free", lambda port: port not in (4566, 8080))
        result = rig.up()
    assert result.addresses.aws == "http://127.0.0.1:4777"
    assert result.addresses.web == "http://127.0.0.1:8123"


def test_both_levels_are_shown(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.up()
    one = {"detail": "", "exits": [], "pid": None, "started_at": None, "restarts": 0}
    rig.components = {"postgres": {**one, "state": "healthy"}, "aws": {**one, "state": "healthy"}}
    rig.site_components = {"aws": {**one, "state": "healthy"}}
    monkeypatch.setattr(keeper_client, "pid", lambda _layout: 1)
    states = {item.name: item for item in rig.engine.components()}
    assert {name for name, item in states.items() if item.site} == {"aws", "site-keeper"}
    assert states["aws"].state == "healthy" and not states["keeper"].site
    rig.components["aws"] = {**one, "state": "unhealthy", "detail": "AccessDenied: the bucket is somebody's"}
    states = {item.name: item for item in rig.engine.components()}
    assert (states["aws"].state, states["aws"].detail) == ("unhealthy", "AccessDenied: the bucket is somebody's")


def test_console_output_and_restart_of_the_endpoint_are_the_sites(rig: Rig) -> None:
    rig.up()
    logs = site.layout_of(rig.environment).logs
    logs.mkdir(parents=True)
    (logs / "aws.log").write_text("of the endpoint\n")
    (logs / "keeper.log").write_text("of its keeper\n")
    assert list(rig.engine.logs("aws", follow=False, lines=9)) == ["of the endpoint"]
    assert list(rig.engine.logs("site-keeper", follow=False, lines=9)) == ["of its keeper"]
    before, own = endpoint(rig), rig.plan
    rig.engine.restart("aws", rig.progress)
    assert endpoint(rig).nonce == before.nonce + 1 and rig.plan == own
    assert rig.site_calls[-2:] == ["reload", ("wait", "aws")]
    rig.up()
    assert endpoint(rig).nonce == before.nonce + 1, "an `up` does not restart it once more"


def test_an_environment_that_does_not_start_leaves_no_site_running(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_layout: Any, _host: Any) -> None:
        raise MachineError("the disk is full")

    start = keeper_client.start
    monkeypatch.setattr(
        keeper_client, "start", lambda layout, host: (start if layout.state.name == "_site" else full)(layout, host)
    )
    with pytest.raises(MachineError, match="the disk is full"):
        rig.up()
    assert rig.site_calls == ["start", "stop 25"]
    monkeypatch.setattr(ports, "is_free", lambda _port: False)
    rig.load("Local: {Ports: {Web: 8099}}\n")
    with pytest.raises(MachineError, match="port 8099 is taken"):
        rig.up()
    assert rig.site_calls == ["start", "stop 25"], "its ports are chosen before"
    monkeypatch.undo()


def test_what_fails_for_an_environment_that_runs_leaves_the_site_to_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.up()

    def gone(_layout: Any) -> None:
        raise MachineError("the keeper is gone")

    reload = keeper_client.reload
    monkeypatch.setattr(
        keeper_client, "reload", lambda layout: reload(layout) if layout.state.name == "_site" else gone(layout)
    )
    with pytest.raises(MachineError, match="the keeper is gone"):
        rig.up()
    assert rig.site_running
