"""Small truths of the engines, each with one value that a careless edit would change."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mwaa_local import catalog
from mwaa_local.engines import databases, plan, verdicts
from mwaa_local.engines.docker import commands as docker_commands
from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker.state import Container
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.ports import Wish
from mwaa_local.engines.process import postgres, template, waiting
from mwaa_local.engines.process.lost_ports import Lost
from mwaa_local.errors import EngineError, MachineError, MwaaLocalError, RequirementsError

# -- a container in the tool's words -----------------------------------------------------------------------------------


def container(status: str = "running", service: str = "worker", **more: Any) -> Container:
    return Container(id="1" * 64, name=service, service=service, image="i", status=status, **more)


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (container(), "healthy"),
        (container(health="healthy"), "healthy"),
        (container(health="starting"), "starting"),
        (container(health="starting", restarts=1), "restarting"),
        (container(health="unhealthy"), "unhealthy"),
        (container(health="unhealthy", restarts=3), "unhealthy"),
        (container("restarting", exit_code=1), "restarting"),
        (container("created"), "starting"),
        (container("created", error="port is taken"), "failed"),
        (container("paused"), "unhealthy"),
        (container("exited"), "stopped"),
        (container("exited", exit_code=1), "stopped"),
        (container("dead", exit_code=1), "stopped"),
        (container("exited", "migrate-db", exit_code=1), "failed"),
        (container("exited", "migrate-db"), "stopped"),
    ],
)
def test_the_state_of_a_container(one: Container, state: str) -> None:
    assert docker_state.describe(one, None).state == state


@pytest.mark.parametrize(
    ("one", "status", "detail"),
    [
        (container("created", error="port is taken"), {"error": {"what": "other"}}, "port is taken"),
        (container("exited", exit_code=3), None, "ended with exit code 3"),
        (container("exited", exit_code=128), None, "ended with exit code 128"),
        (container("exited", exit_code=129), None, "was ended by signal 1"),
        (container("exited", exit_code=137), None, "was ended by signal 9"),
        (container("restarting", exit_code=1), None, "ended with exit code 1; Docker starts it again"),
        (container("exited", exit_code=137, out_of_memory=True), None, "was killed: it reached its memory limit (EnvironmentClass, Local.ResourceFactor)"),
        (container("exited", exit_code=137, out_of_memory=True, memory_limit=2_000_000_000), None, "was killed: it reached its memory limit of 2.0 GB (EnvironmentClass, Local.ResourceFactor)"),
        (container(health="starting", said="probe"), {"error": {"what": "no such file"}}, "no such file"),
        (container(health="starting", said="probe"), None, "probe"),
        (container(health="starting", said="probe"), {"state": "booting", "phases": [{"name": "a"}, {"name": "files"}]}, "done: files"),
        (container(health="starting", said="probe"), {"state": "running", "phases": [{"name": "files"}]}, "probe"),
        (container(health="unhealthy", said="no answer"), None, "no answer"),
        (container(health="healthy", said="fine"), None, ""),
    ],
)  # fmt: skip
def test_what_a_container_is_said_to_do(one: Container, status: dict[str, Any] | None, detail: str) -> None:
    assert docker_state.describe(one, status).detail == detail


def test_a_container_that_does_not_run_has_no_start(tmp_path: Path) -> None:
    running = docker_state.describe(container(pid=7, started_at=5.0, restarts=2), {"a": 1}, memory=9)
    assert (running.pid, running.started_at, running.restarts, running.memory_bytes) == (7, 5.0, 2, 9)
    assert running.status == {"a": 1}
    ended = docker_state.describe(container("exited", started_at=5.0), None)
    assert (ended.pid, ended.started_at) == (None, None)


@pytest.mark.parametrize(("status", "lives"), [("running", True), ("restarting", True), ("paused", True), ("exited", False), ("created", False), ("dead", False)])  # fmt: skip
def test_what_docker_runs_or_will_start_again(status: str, lives: bool) -> None:
    assert container(status).lives is lives


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-05-01T10:00:00Z", 1714557600.0),
        ("2024-05-01T10:00:00.123456789Z", 1714557600.123456),
        ("2024-05-01T10:00:00.5Z", 1714557600.5),
        ("0001-01-01T00:00:00Z", 0.0),
        ("", 0.0),
    ],
)
def test_dockers_time(text: str, seconds: float) -> None:
    assert docker_state._seconds(text) == pytest.approx(seconds, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1.5GiB", 1610612736), ("2MiB", 2 << 20), ("3KiB", 3072), ("4kB", 4000), ("5B", 5), ("--", None), ("", None), ("12", None), ("xMiB", None), (" 2MiB ", 2 << 20)],
)  # fmt: skip
def test_dockers_sizes(text: str, size: int | None) -> None:
    assert docker_state._bytes(text) == size


def test_words_of_the_boot_before_are_not_those_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"of this boot": 1000.0, "two seconds early, by another clock": 998.0, "the boot before": 997.9}
    ones = [container(service="worker", started_at=1000.0) for _ in said]
    ones = [Container(**{**vars(one), "name": name, "id": name}) for one, name in zip(ones, said, strict=True)]
    never, other = container("created"), container(service="postgres", started_at=1000.0)
    asked: list[str] = []

    def read(_docker: Any, identity: str, path: str) -> bytes:
        asked.append(identity)
        assert path == "/usr/local/mwaa/run/status.json"
        return json.dumps({"started_epoch": said[identity]}).encode()

    monkeypatch.setattr(docker_state, "read", read)
    docker: Any = None
    assert set(docker_state.statuses(docker, [*ones, never, other])) == set(list(said)[:2])
    assert sorted(asked) == sorted(said), "no other container has one"
    assert docker_state.statuses(docker, [never, other]) == {}


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"null", b'{"started_epoch": "soon"}'])
def test_words_that_cannot_be_read_are_none(monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    monkeypatch.setattr(docker_state, "read", lambda *_: content)
    docker: Any = None
    assert docker_state.statuses(docker, [container(started_at=1.0)]) == {}


def test_a_follower_of_logs_that_stops_reading_ends_its_child(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho 'one\r'\necho two >&2\nexec {sys.executable} -S -c 'import time; time.sleep(60)'\n"
    )
    (tmp_path / "docker").chmod(0o755)
    docker: Any = SimpleNamespace(program=str(tmp_path / "docker"), variables={"PATH": "/usr/bin:/bin"})
    lines = docker_commands._lines(docker, ["logs"])
    assert [next(lines), next(lines)] == ["one", "two"]
    pid = (tmp_path / "pid").read_text().strip()
    lines.close()  # type: ignore[attr-defined]
    assert not Path(f"/proc/{pid}").exists()


# -- reasons of a restart ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "MWAA_LOCAL__AWS_ENDPOINT",
        "MWAA_LOCAL__WEB_PORT",
        "MWAA_LOCAL__WEB_URL",
        "MWAA_LOCAL__DATABASE_DSN",
        "MWAA__CORE__API_SERVER_URL",
        "MWAA__SQS__CUSTOM_ENDPOINT",
        "MWAA__SQS__QUEUE_URL",
        "MWAA__DB__POSTGRES_PORT",
        "AIRFLOW__API__PORT",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
    ],
)
def test_whatever_carries_a_port_is_told_as_ports(name: str) -> None:
    def with_(value: str) -> Plan:
        return Plan("1", {}, (Component("worker", ("run",), env={name: value}),))

    assert plan.differences(with_("1"), with_("2")) == {"worker": ["ports changed"]}


@pytest.mark.parametrize(
    ("more", "restarts"),
    [
        ({"argv": ("other",)}, True),
        ({"env": {"A": "2"}}, True),
        ({"cwd": "/tmp"}, True),
        ({"kind": "job"}, True),
        ({"identity": "postgres"}, True),
        ({"inputs": {"plugins": "b"}}, True),
        ({"nonce": 1}, True),
        ({"needs": ("aws",)}, False),
        ({"probe": {"kind": "http"}}, False),
        ({"skip": {"kind": "none"}}, False),
        ({"stop_signal": 2}, False),
        ({"stop_seconds": 99.0}, False),
        ({"stop_rank": 99}, False),
        ({"run_dir": "/run"}, False),
        ({"heavy": 3}, False),
    ],
)
def test_what_restarts_a_component_and_what_does_not(more: dict[str, Any], restarts: bool) -> None:
    one = Component("worker", ("run",), env={"A": "1"}, inputs={"plugins": "a"})
    other = Component(**{**vars(one), **more})
    assert (one.digest != other.digest) is restarts


def test_a_plan_of_another_tool_or_order_of_need_is_another_generation() -> None:
    one = Component("worker", ("run",))
    made = Plan("1", {"A": "1"}, (one,), {"fact": 1})
    assert made.generation == Plan("1", {"A": "2"}, (one,), {"fact": 2}).generation
    needs = Component("worker", ("run",), needs=("aws",))
    others = [Plan("2", {}, (one,)), Plan("1", {}, (needs,)), Plan("1", {}, (one, needs)), Plan("1", {}, ())]
    assert len({made.generation, *(other.generation for other in others)}) == 5


# -- errors ------------------------------------------------------------------------------------------------------------


def test_a_lost_port_names_the_field_of_its_own_wish() -> None:
    wishes = [Wish("web", 1, True, "Local.Ports.Web"), Wish("aws", 2, True, "Local.Ports.Aws")]
    assert Lost("aws", 2, "somebody", None).error(wishes).where == "Local.Ports.Aws"
    unknown = Lost("internal", 3, "somebody", None).error(wishes)
    assert (unknown.where, unknown.hint) == ("internal", "end that program and run `make up` again")


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"error": {"why": "from the resolver"}, "conflict": ["c"], "tail": ["t"]}, "from the resolver"),
        ({"error": {"why": ""}, "conflict": ["one", "two"], "tail": ["t"]}, "one\ntwo"),
        ({"tail": [str(number) for number in range(40)]}, "\n".join(str(number) for number in range(40 - verdicts._TAIL, 40))),
        ({}, "the installer said nothing"),
    ],
)  # fmt: skip
def test_why_requirements_were_not_installed(told: dict[str, Any], why: str) -> None:
    assert verdicts._text(told) == why


def test_an_error_of_the_runtime_keeps_its_kind_and_gets_what_it_lacks_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("first\nlast words\n")
    given = {"id": "requirements", "what": "it", "where": "line 3", "why": "because", "hint": "do"}

    def told(error: dict[str, Any], file: Path = log) -> MwaaLocalError:
        return verdicts.told(error, "worker", where=str(file), tail=lambda: waiting._tail(file))

    found = told(given)
    assert type(found) is RequirementsError
    assert (found.what, found.where, found.why, found.hint) == ("worker: it", "line 3", "because", "do")
    bare = told({"id": "unknown", "what": "it"})
    assert type(bare) is EngineError
    assert (bare.where, bare.why, bare.hint) == (str(log), "first\nlast words", "mwaa-local logs worker")
    assert told({"what": "it"}, tmp_path / "none").why == ""


# -- the prepared database ---------------------------------------------------------------------------------------------


class Making:
    """``template.ensure`` on a cluster that is no more than two files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = folder / "cache"
        (self.cache / "databases").mkdir(parents=True)
        self.fails: BaseException | None = None
        self.destroyed: list[str] = []
        monkeypatch.setattr(postgres, "create", self._create)
        monkeypatch.setattr(postgres, "destroy", lambda home: self.destroyed.append(home.name))
        monkeypatch.setattr(template, "_migrated", self._migrated)

    def _create(self, home: Path, *, password: str) -> Any:
        assert len(password) == 32
        (home / "data").mkdir(parents=True)
        (home / "data" / "PG_VERSION").write_text("16\n")
        return SimpleNamespace(data=home / "data")

    def _migrated(self, cluster: Any, *_: Any) -> None:
        (cluster.data / "migrated").write_text("yes")
        if self.fails is not None:
            raise self.fails

    def ensure(self) -> Path:
        return template.ensure(self.cache, "name", catalog.version("3.2.1"), lambda *_: ([], {}, ""), seconds=9)

    def left(self) -> list[str]:
        return sorted(item.name for item in (self.cache / "databases").iterdir() if not item.name.endswith(".lock"))


@pytest.fixture
def making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Making:
    return Making(tmp_path, monkeypatch)


def test_the_prepared_database_is_made_once_and_leaves_nothing_else(making: Making) -> None:
    half = making.cache / "databases" / "name"
    half.mkdir()
    (half / "rest").write_text("of a half-made one")
    dead, other = making.cache / "databases" / ".new-name-dead", making.cache / "databases" / ".new-other-busy"
    dead.mkdir()
    other.mkdir()
    place = making.ensure()
    assert sorted(item.name for item in place.iterdir()) == ["PG_VERSION", "migrated"]
    assert making.left() == [".new-other-busy", "name"], "what a killed one left is gone, what another makes is not"
    destroyed = len(making.destroyed)
    assert destroyed == 2, "the killed one's server, and our own"
    assert making.ensure() == place
    assert len(making.destroyed) == destroyed


@pytest.mark.parametrize("fails", [EngineError("the migration"), KeyboardInterrupt()])
def test_a_migration_that_fails_leaves_no_database(making: Making, fails: BaseException) -> None:
    making.fails = fails
    with pytest.raises(type(fails)):
        making.ensure()
    assert making.left() == []
    assert making.destroyed == ["cluster"]


def test_a_disk_that_fills_up_while_it_is_copied_is_told(making: Making, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(_source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mwaa_local.ground.atomic.copy_tree", copy)
    with pytest.raises(MachineError, match="full"):
        making.ensure()
    assert making.left() == []


def test_a_template_is_named_by_all_that_shapes_it(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_bytes(b"x" * 5)
    new, old = catalog.version("3.2.1"), catalog.version("2.10.3")
    name = template.key(new, tmp_path, {"a": "1"})
    assert name.startswith(f"3.2.1-pg{postgres.SERIES}-")
    assert template.key(new, tmp_path, {"a": "1"}) == name
    others = {template.key(old, tmp_path, {"a": "1"}), template.key(new, tmp_path, {"a": "2"})}
    (tmp_path / "postgres").write_bytes(b"x" * 6)
    assert len({name, *others, template.key(new, tmp_path, {"a": "1"})}) == 4


# -- what is told beside a state ---------------------------------------------------------------------------------------

CRASH = {"code": 1, "what": "worker", "cause": "ValueError: no", "file": "", "line": 0}
BOOTING = {"state": "booting", "phases": [{"name": "packages"}, {"name": "startup script"}]}


@pytest.mark.parametrize(
    ("more", "state", "status", "words"),
    [
        ({"error": "port is taken"}, "failed", {"error": {"what": "other"}}, "port is taken"),
        ({"status": "exited", "exit_code": 3}, "stopped", None, "ended with exit code 3"),
        ({"status": "exited", "exit_code": 137}, "stopped", None, "was ended by signal 9"),
        ({"status": "exited", "exit_code": 128}, "stopped", None, "ended with exit code 128"),
        (
            {"status": "restarting", "exit_code": 3},
            "restarting",
            None,
            "ended with exit code 3; Docker starts it again",
        ),
        ({"status": "running", "said": "no answer"}, "restarting", None, "no answer"),
        ({"status": "running"}, "failed", {"error": {"what": "the script failed"}}, "the script failed"),
        ({"said": "no answer"}, "unhealthy", None, "no answer"),
        ({"said": "no answer"}, "healthy", None, ""),
        ({"said": "no answer"}, "starting", BOOTING, "done: startup script"),
        ({"said": "no answer"}, "starting", {**BOOTING, "state": "running"}, "no answer"),
        ({"said": "no answer"}, "starting", {"state": "booting", "phases": []}, "no answer"),
        ({"said": "no answer"}, "starting", {"state": "booting"}, "no answer"),
        ({}, "starting", None, ""),
    ],
)
def test_what_is_told_beside_a_state(more: dict[str, Any], state: Any, status: Any, words: str) -> None:
    given = {"status": "running", **more}
    assert docker_state._detail(container(**given), state, status) == words


def test_a_container_that_took_too_much_memory_says_how_much_it_had() -> None:
    killed: dict[str, Any] = {"status": "exited", "exit_code": 137, "out_of_memory": True}
    assert docker_state.ending(container(**killed, memory_limit=2_000_000_000)).startswith(
        "was killed: it reached its memory limit of 2.0 GB ("
    )
    assert docker_state.ending(container(**killed)).startswith("was killed: it reached its memory limit (")
    told = docker_state._detail(container(**killed), "stopped", {"crash": CRASH})
    assert "ValueError" not in told, "memory is the cause, not what Python said about it"


@pytest.mark.parametrize(
    ("facts", "version"),
    [
        ({"airflow_version": "3.2.1"}, "3.2.1"),
        ({"airflow_version": "2.10.3"}, "2.10.3"),
        ({"airflow_version": "soon"}, None),
        ({"airflow_version": 3}, None),
        ({"airflow_version": None}, None),
        ({}, None),
    ],
)
def test_the_version_of_a_plan(facts: dict[str, Any], version: str | None) -> None:
    assert databases.version_of(Plan("1", {}, (), facts)) == version
    assert databases.version_of(None) is None
