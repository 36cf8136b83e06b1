"""The process engine's commands with a stand-in for the keeper: what is started, taken over, stopped, wiped and run."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engines_process_support import Rig

import mwaa_local
from mwaa_local.engines import ports, turn
from mwaa_local.engines.process import engine as process
from mwaa_local.engines.process import keeper_client, postgres, template
from mwaa_local.engines.process import plan as process_plan
from mwaa_local.engines.process.engine import ProcessEngine
from mwaa_local.errors import EngineError, MachineError
from mwaa_local.ground import processes
from mwaa_local.runtime import ahead as made_ahead

BUILD = process_plan.build
pytestmark = pytest.mark.skipif(not processes.LINUX, reason="reads /proc")


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(tmp_path, monkeypatch)


def test_the_first_up_starts_a_keeper_and_waits_for_every_component(rig: Rig) -> None:
    result = rig.up(timeout_s=77)
    assert rig.calls == ["base 3.2.1", "start"]
    names = ["postgres", "aws", "migrate-db", "webserver", "scheduler", "worker", "guardian"]
    assert rig.waits == [(names, 77)]
    assert result.changes == [], "its database was there"
    assert {"plan", "keeper", "scheduler"} <= result.seconds.keys()
    assert result.addresses.airflow_version == "3.2.1"
    assert result.addresses.web == f"http://127.0.0.1:{rig.plan.facts['ports']['web']}"
    assert result.addresses.aws == rig.plan.facts["aws"] == rig.site_plan.facts["aws"] == "http://127.0.0.1:4566"
    assert rig.site_calls == ["start", ("wait", "aws")]
    assert "a note of the set" in result.warnings
    assert rig.layout.secrets.exists()
    assert (rig.layout.state.parent / ".gitignore").read_text().endswith("*\n")
    assert json.loads((rig.layout.state / "databases.json").read_text()) == {"3": "3.2.1"}
    assert (rig.layout.state / "engine").read_text() == "process\n", "it stays where its data lies"
    promised = json.loads((rig.folder / "cache" / "ports.json").read_text())
    assert promised[str(rig.layout.state)] == sorted(rig.plan.facts["ports"].values())


def test_the_second_up_tells_the_keeper_that_runs_and_changes_nothing(rig: Rig) -> None:
    first = rig.up()
    before = rig.plan
    rig.components = {name: {"state": "healthy"} for name in ("webserver", "aws", "postgres", "guardian")}
    result = rig.up()
    assert rig.calls == ["base 3.2.1", "start", "reload"]
    assert result.changes == []
    assert result.addresses == first.addresses
    assert rig.plan == before


def test_what_changed_is_said_with_whom_it_restarted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_ahead, "verdict", lambda *_: {"verdict": "ok"})
    rig.up()
    rig.load("MinWorkers: 2\n")
    (rig.folder / "requirements").mkdir()
    (rig.folder / "requirements" / "requirements.txt").write_text("six\n")
    changes = rig.up().changes
    assert "requirements.txt added: restarted webserver, scheduler, worker" in changes
    assert "started worker-2" in changes
    rig.load()
    (rig.folder / "requirements" / "requirements.txt").write_text("six==1\n")
    changes = rig.up().changes
    assert "requirements.txt changed: restarted webserver, scheduler, worker" in changes
    assert "stopped worker-2" in changes


def test_a_keeper_of_another_version_of_the_tool_is_replaced(rig: Rig) -> None:
    rig.up()
    replace(rig.plan, tool="0.0.1").write(rig.layout.plan)
    result = rig.up()
    assert rig.calls[-2:] == ["stop 60", "start"]
    assert f"mwaa-local {mwaa_local.__version__} took over: restarted everything" in result.changes


def test_a_damaged_plan_is_written_anew(rig: Rig) -> None:
    rig.up()
    rig.layout.plan.write_text("{half")
    rig.running = False
    rig.up()
    assert rig.plan.facts["airflow_version"] == "3.2.1"


def test_no_process_of_the_old_version_meets_the_new_ones_migration(rig: Rig) -> None:
    """All of the old end, tasks with their time, before a plan of the new is written; each begins with an empty home."""
    rig.load("AirflowVersion: 2.10.3\n")
    rig.up()
    old = rig.layout.home("worker") / "airflow.cfg"
    old.parent.mkdir(parents=True)
    old.write_text("[core]\n")
    seen: list[str] = []

    def stop(_layout: Any, timeout_s: float) -> None:
        seen.append(rig.plan.facts["airflow_version"])
        rig._say(f"stop {timeout_s:g}", False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper_client, "stop", stop)
        rig.load("AirflowVersion: 2.11.0\n")
        rig.up()
    assert rig.calls[-3:] == ["stop 100", "base 2.11.0", "start"]
    assert seen == ["2.10.3"]
    assert "stopping Airflow 2.10.3" in rig.progress.steps
    assert not old.exists()


def test_the_same_version_keeps_its_homes(rig: Rig) -> None:
    rig.up()
    kept = rig.layout.home("worker") / "notes.txt"
    kept.parent.mkdir(parents=True)
    kept.touch()
    rig.running = False
    rig.up()
    assert kept.exists()
    assert rig.calls[-1] == "start"


def test_a_database_of_a_version_that_is_not_known_never_goes_back(rig: Rig) -> None:
    rig.load("AirflowVersion: 2.11.0\n")
    rig.up()
    (rig.layout.state / "databases.json").write_text('{"2": "2.99.0"}')
    calls = list(rig.calls)
    rig.load("AirflowVersion: 2.10.3\n")
    for command in (rig.up, lambda: rig.engine.prepare(rig.environment, rig.progress)):
        with pytest.raises(EngineError, match=r"holds an Airflow 2\.99\.0 database"):
            command()
    assert rig.calls == calls, "and nothing that runs is touched"


def test_a_database_is_made_of_the_versions_template_where_there_is_none(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, rig.cluster = rig.cluster, None
    asked: list[Any] = []

    def ensure(cache: Path, name: str, wanted: Any, migrate: Any, *, seconds: float) -> Path:
        asked.append((cache, wanted.airflow, seconds, migrate(4444, "secret")))
        return Path("/template")

    monkeypatch.setattr(template, "key", lambda *_: "name")
    monkeypatch.setattr(postgres, "binaries", lambda: Path("/pg/bin"))
    monkeypatch.setattr(template, "ensure", ensure)
    monkeypatch.setattr(postgres, "create", lambda home, **more: asked.append((home, more)) or made)
    result = rig.up()
    (cache, wanted, seconds, (words, variables, folder)), (home, more) = asked
    assert (cache, wanted, seconds) == (rig.folder / "cache", "3.2.1", 180.0)
    assert words == process_plan.migrate_words() and folder == str(rig.layout.state)
    assert variables["MWAA__DB__POSTGRES_PORT"] == "4444" and "secret" in variables["MWAA__DB__CREDENTIALS"]
    secrets = json.loads(rig.layout.secrets.read_text())
    assert home == rig.layout.postgres("3")
    assert more == {"password": secrets["database_password"], "template": Path("/template")}
    assert "database" in result.seconds and "database" in rig.progress.steps


def test_the_packages_are_looked_for_once_and_what_was_done_is_said(rig: Rig) -> None:
    rig.engine.prepare(rig.environment, rig.progress)
    rig.up()
    assert rig.calls.count("base 3.2.1") == 1
    assert rig.progress.notes == ["Python 3.12.1"]
    rig.base.installed_now = True
    rig.load()
    rig.engine.prepare(rig.environment, rig.progress)
    assert rig.progress.notes[-1] == "installed in 7 s"


def test_a_startup_script_needs_bash_and_only_that_does(rig: Rig) -> None:
    without = ProcessEngine(rig.environment, {"HOME": "/h", "PATH": "/nowhere"})
    without.prepare(rig.environment, rig.progress)
    rig.environment.workflow.startup_script.parent.mkdir(parents=True, exist_ok=True)
    rig.environment.workflow.startup_script.write_text("true\n")
    with pytest.raises(MachineError, match="bash is not there") as caught:
        without.prepare(rig.environment, rig.progress)
    assert caught.value.where == str(rig.environment.workflow.startup_script)


def status(rig: Rig, component: str, **values: Any) -> None:
    folder = rig.layout.run(component)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "status.json").write_text(json.dumps(values))


def test_failed_requirements_are_a_verdict_and_a_warning_where_they_are_allowed(rig: Rig) -> None:
    status(rig, "worker", requirements={"verdict": "failed", "error": {"what": "no such package"}}, notes=["noted"])
    result = rig.up()
    assert [error.what for error in result.verdicts] == ["no such package"]
    assert "no such package" not in result.warnings and "worker: noted" in result.warnings
    rig.load(**{"Local.AllowFailedRequirements": True})
    result = rig.up()
    assert result.verdicts == []
    assert "no such package" in result.warnings


def test_a_full_disk_is_named(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keeper_client, "start", full)
    with pytest.raises(MachineError, match="the disk is full"):
        rig.up()


# -- ports -------------------------------------------------------------------------------------------------------------


def test_a_port_that_was_moved_once_is_said_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = rig.environment.local.ports.web
    monkeypatch.setattr(ports, "is_free", lambda port: port != wanted)
    assert [line for line in rig.up().changes if line.startswith("web port is")]
    assert rig.plan.facts["ports"]["web"] != wanted
    rig.components = {name: {"state": "healthy"} for name in rig.plan.facts["ports"]} | {
        "webserver": {"state": "healthy"}
    }
    assert rig.up().changes == []


def test_the_ports_of_what_runs_are_its_own_and_those_of_a_stranger_are_not(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.up()
    before = dict(rig.plan.facts["ports"])
    monkeypatch.setattr(ports, "is_free", lambda port: port not in before.values())
    strangers = {before["guardian"]: (1, "nc -l"), before["worker-logs"]: (os.getpid(), "ours")}
    monkeypatch.setattr(processes, "listener", lambda port: strangers.get(port))
    monkeypatch.setattr(processes, "marked", lambda _prefix: {os.getpid()})
    rig.components = {"webserver": {"state": "healthy"}, "postgres": {"state": "starting"}}
    rig.up()
    after = rig.plan.facts["ports"]
    moved = {name for name in before if before[name] != after[name]}
    assert moved == {"guardian"}


# -- the other commands ------------------------------------------------------------------------------------------------


def test_down_gives_tasks_the_time_it_is_told_and_makes_no_folder(rig: Rig) -> None:
    rig.engine.down(timeout_s=5)
    assert rig.calls == [] and not rig.layout.state.exists()
    rig.up()
    rig.engine.down(timeout_s=55)
    assert rig.calls[-1] == "stop 55"
    assert rig.layout.secrets.exists(), "the data stay"


def test_reset_kills_and_wipes_all_but_the_lock_it_holds(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.engine.reset()
    assert rig.calls == []
    destroyed: list[Path] = []
    monkeypatch.setattr(postgres, "destroy", destroyed.append)
    rig.up()
    outside = rig.folder / "outside"
    outside.mkdir()
    (rig.layout.state / "link").symlink_to(outside)
    for major in ("2", "3"):
        rig.layout.postgres(major).mkdir(exist_ok=True)
    rig.engine.reset()
    assert rig.calls[-1] == "kill"
    assert sorted(destroyed) == [rig.layout.postgres("2"), rig.layout.postgres("3")]
    assert [path.name for path in rig.layout.state.iterdir()] == ["up.lock"]
    assert outside.exists()


def test_a_reset_that_cannot_remove_names_the_place(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.up()

    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(MachineError, match="the environment's data cannot be removed") as caught:
        rig.engine.reset()
    assert caught.value.where.startswith(str(rig.layout.state))


def test_a_restart_changes_that_component_alone_and_waits_for_it(rig: Rig) -> None:
    with pytest.raises(EngineError, match="the environment does not run"):
        rig.engine.restart("worker", rig.progress)
    rig.up()
    before = {item.name: item.digest for item in rig.plan.components}
    with pytest.raises(EngineError, match="no component 'nobody'") as caught:
        rig.engine.restart("nobody", rig.progress)
    assert "postgres, aws, migrate-db, webserver" in caught.value.why
    rig.engine.restart("worker", rig.progress)
    after = {item.name: item.digest for item in rig.plan.components}
    assert {name for name in before if before[name] != after[name]} == {"worker"}
    assert rig.calls[-1] == "reload"
    assert rig.waits[-1] == (["worker"], 300.0)
    rig.up()
    assert {item.name: item.digest for item in rig.plan.components} == after, "an `up` does not restart it once more"
    rig.running = False
    with pytest.raises(EngineError, match="the environment does not run"):
        rig.engine.restart("worker", rig.progress)


def test_an_environment_that_does_not_run_has_no_address(rig: Rig) -> None:
    assert rig.engine.addresses() is None
    assert rig.engine.components() == []
    rig.up()
    assert rig.engine.addresses() is not None
    rig.running = False
    assert rig.engine.addresses() is None
    assert {item.state for item in rig.engine.components()} == {"stopped"}


def test_another_command_is_waited_for_and_that_is_shown(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, str]] = []

    @contextmanager
    def lock(path: Path, *, seconds: float, busy: str) -> Iterator[None]:
        asked.append((seconds, busy))
        if path == rig.layout.up_lock and len(asked) == 1:
            raise EngineError(busy)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield

    monkeypatch.setattr(turn.locks, "lock", lock)
    rig.up()
    assert rig.progress.steps[0] == "waiting: another command is changing this environment"
    assert [seconds for seconds, _ in asked[:2]] == [0.1, 900.0]


# -- commands in a component -------------------------------------------------------------------------------------------


@pytest.fixture
def shell(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """One whose components run a plain shell's words."""
    monkeypatch.setattr(process_plan, "execute_words", lambda component, argv: ["/bin/sh", "-c", *argv])
    rig.up()
    made = rig.plan
    components = tuple(replace(item, env={"WHO": item.name}) for item in made.components)
    replace(made, base_env={"BASE": "base", "TERM": "base"}, components=components).write(rig.layout.plan)
    return rig


def test_a_command_ends_with_its_own_code(shell: Rig) -> None:
    assert shell.engine.run("worker", ["exit 7"], interactive=False) == 7
    assert shell.engine.run("worker", ["exit 0"], interactive=True) == 0
    assert shell.engine.run("worker", ["kill -TERM $$"], interactive=False) == 128 + 15


def test_a_command_has_the_components_variables_and_the_callers_terminal(shell: Rig, tmp_path: Path) -> None:
    engine = ProcessEngine(shell.environment, {"TERM": "xterm", "HOME": "/home/me", "AWS_PROFILE": "work"})
    out, source = tmp_path / "out", tmp_path / "in"
    source.write_text("given\n")
    text = f'read x; echo "$x|$BASE|$WHO|$TERM|$HOME|$AWS_PROFILE|$PWD" > {out}'
    assert engine.run("scheduler", [text], interactive=False, stdin=source) == 0
    assert out.read_text() == f"given|base|scheduler|xterm|||{shell.layout.state}\n"
    with source.open("rb") as stream:
        assert engine.run("scheduler", [text], interactive=False, stdin=stream) == 0
        assert not stream.closed, "who opened it closes it"


@pytest.fixture
def interrupted() -> Iterator[Any]:
    """Python's own handler, whatever the tests were started with."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_the_commands_business_while_a_person_types(shell: Rig, interrupted: Any) -> None:
    text = f"kill -INT {os.getpid()}; exit 3"
    assert shell.engine.run("worker", [text], interactive=True) == 3
    assert signal.getsignal(signal.SIGINT) is interrupted
    with pytest.raises(KeyboardInterrupt):
        shell.engine.run("worker", [text], interactive=False)


def test_nothing_is_run_in_what_is_no_airflow(shell: Rig) -> None:
    for name in ("postgres", "migrate-db", "nobody"):
        with pytest.raises(EngineError, match="nothing can be run in") as caught:
            shell.engine.run(name, ["exit 0"], interactive=False)
        assert caught.value.why == "components: webserver, scheduler, worker"
    shell.layout.plan.unlink()
    with pytest.raises(EngineError) as caught:
        shell.engine.run("worker", ["exit 0"], interactive=False)
    assert caught.value.why == "components: none yet"


def test_an_environment_of_the_docker_engine_is_not_hidden_behind_an_empty_one(rig: Rig) -> None:
    plan_of_docker = rig.layout.state / "docker" / "plan.json"
    plan_of_docker.parent.mkdir(parents=True)
    plan_of_docker.write_text("{}")
    with pytest.raises(EngineError, match="started with the docker engine"):
        rig.up()
    assert rig.calls == []
    assert not rig.layout.secrets.exists()


def test_a_template_that_postgresql_cannot_use_is_made_again_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    tried: list[Path] = []
    good = postgres.Cluster(rig.folder / "data", "same", Path("/pg/bin"))

    def ensure(cache: Path, name: str, *_: Any, **__: Any) -> Path:
        place = cache / "databases" / name
        place.mkdir(parents=True, exist_ok=True)
        made.append(place)
        return place

    def create(home: Path, *, password: str, template: Path) -> postgres.Cluster:
        tried.append(template)
        if len(tried) == 1:
            raise EngineError("PostgreSQL set-up failed")
        return good

    monkeypatch.setattr(template, "ensure", ensure)
    monkeypatch.setattr(template, "key", lambda *_: "3.2.1-pg16-x")
    monkeypatch.setattr(postgres, "binaries", lambda: Path("/pg/bin"))
    monkeypatch.setattr(postgres, "create", create)
    rig.cluster = None
    monkeypatch.setattr(process.process_plan, "build", lambda _parts: (_ for _ in ()).throw(KeyboardInterrupt))
    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(postgres, "create", lambda *_, **__: good)
        rig.up()
    noted = json.loads((rig.layout.state / "databases.json").read_text())
    assert noted == {"3": "3.2.1"}, "at once, and not only when the plan is written"
    monkeypatch.setattr(process.process_plan, "build", BUILD)
    made.clear()
    assert "made an empty database of Airflow 3.2.1" in rig.up().changes
    assert len(made) == len(tried) == 2
    tried.clear()
    monkeypatch.setattr(postgres, "create", lambda *_, **__: (_ for _ in ()).throw(EngineError("no")))
    with pytest.raises(EngineError, match="no"):
        rig.up()
