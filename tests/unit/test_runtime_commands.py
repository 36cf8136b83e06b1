"""The runtime's entry point, running a command in a component, and what the health of a boot is called."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from runtime_support import process_variables, variables

from mwaa_local.errors import UsageError
from mwaa_local.runtime import __main__ as entry
from mwaa_local.runtime import boot, execute, health, namespace, package_set, status
from mwaa_local.runtime.health import Health
from mwaa_local.runtime.reading import read_inputs
from mwaa_local.runtime.status import Status

# -- the entry point ---------------------------------------------------------------------------------------------------


def test_a_component_is_booted_with_the_variables_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_VARIABLE", "1")
    monkeypatch.setattr(boot, "run", lambda component, given: (component, given["A_VARIABLE"]))
    assert entry.main(["worker"]) == ("worker", "1")


@pytest.mark.parametrize(("answer", "code"), [(Health(True, "worker 1 s ago"), 0), (Health(False, "booting"), 1)])
def test_health_is_the_exit_code_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: Health, code: int
) -> None:
    monkeypatch.setattr(health, "check", lambda _variables: answer)
    assert entry.main(["health"]) == code
    assert capsys.readouterr().out == f"{answer.detail}\n"


def test_a_command_is_run_with_or_without_the_dashes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def run(component: str, argv: list[str], _variables: Any) -> int:
        asked.append((component, argv))
        if argv == ["refused"]:
            raise UsageError("it has not been started yet")
        return 7

    monkeypatch.setattr(execute, "run", run)
    assert entry.main(["exec", "worker", "--", "airflow", "version"]) == 7
    assert entry.main(["exec", "worker", "airflow"]) == 7
    assert entry.main(["exec", "worker", "--", "refused"]) == UsageError("x").exit_code
    assert asked == [("worker", ["airflow", "version"]), ("worker", ["airflow"]), ("worker", ["refused"])]
    assert "it has not been started yet" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["exec", "worker"], ["worker", "scheduler"]])
def test_any_other_number_of_words_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(words) == 1
    assert capsys.readouterr().err.startswith(f"Invalid arguments: {words}.")


# -- running a command -------------------------------------------------------------------------------------------------


class ReplacedError(Exception):
    """The process would be another program now."""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables of a component that was booted once, without a namespace."""
    given = process_variables(tmp_path)
    run, home = tmp_path / "run", tmp_path / "home"
    for folder in (run, home):
        folder.mkdir()
    text = json.dumps({"variables": {"A": "1", "TERM": "dumb"}, "home": str(home), "pid": os.getpid()})
    (run / "environment.json").write_text(text)
    monkeypatch.chdir(tmp_path)

    def replace(program: str, argv: list[str], environment: dict[str, str]) -> None:
        raise ReplacedError(program, argv, environment, Path.cwd())

    monkeypatch.setattr(os, "execvpe", replace)
    return given


def run(given: dict[str, str], *argv: str) -> tuple[Any, ...]:
    with pytest.raises(ReplacedError) as caught:
        execute.run("worker", argv, given)
    return caught.value.args


def test_a_command_gets_the_components_variables_its_home_and_the_callers_terminal(
    kept: dict[str, str], tmp_path: Path
) -> None:
    found = run({**kept, "TERM": "xterm", "HOME": "/home/me"}, "airflow", "version")
    assert found == ("airflow", ["airflow", "version"], {"A": "1", "TERM": "xterm"}, tmp_path / "home")


def test_without_a_command_or_a_boot_it_is_a_wrong_use(kept: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no command was given"):
        execute.run("worker", [], kept)
    (tmp_path / "run" / "environment.json").write_text("{half")
    with pytest.raises(UsageError, match="the worker component has not been started yet"):
        execute.run("worker", ["true"], kept)
    (tmp_path / "run" / "environment.json").unlink()
    with pytest.raises(UsageError, match="the worker component has not been started yet") as caught:
        execute.run("worker", ["true"], kept)
    assert caught.value.where == str(tmp_path / "run")


def test_a_command_that_is_not_there_is_named(kept: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "execvpe", missing)
    with pytest.raises(UsageError, match="nothing cannot be run") as caught:
        execute.run("worker", ["nothing"], kept)
    assert caught.value.why == "No such file or directory"


def test_a_refusal_without_a_number_is_told_in_its_own_words(
    kept: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("strange")

    monkeypatch.setattr(os, "execvpe", refuse)
    with pytest.raises(UsageError) as caught:
        execute.run("worker", ["nothing"], kept)
    assert caught.value.why == "strange"


def test_what_describes_a_terminal_is_the_callers(kept: dict[str, str]) -> None:
    names = ("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    found = run({**kept, **dict.fromkeys(names, "x")}, "true")[2]
    assert found == {"A": "1", **dict.fromkeys(names, "x")}


def booted(folder: Path, state: str, home: str) -> None:
    record = Status(folder / "run", "worker")
    record.set(state=state, namespace={"mode": "mount", "home": home, "detail": ""})


@pytest.mark.parametrize("state", [status.BOOTING, status.RUNNING, status.DRAINING])
def test_the_namespace_of_a_component_that_runs_is_entered(
    kept: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    booted(tmp_path, state, "/usr/local/airflow")
    joined: list[int] = []
    monkeypatch.setattr(namespace, "join", lambda pid: joined.append(pid) or True)
    monkeypatch.setattr(namespace, "enter", lambda *_, **__: pytest.fail("it has one"))
    assert run(kept, "true")[3] == tmp_path / "home"
    assert joined == [os.getpid()]


@pytest.mark.parametrize(("mode", "placed"), [("mount", True), ("folder", False)])
def test_one_like_it_is_made_for_a_component_that_does_not_run(
    kept: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, placed: bool
) -> None:
    """And where that is refused, the home is where it really lies."""
    booted(tmp_path, status.STOPPED, "/usr/local/airflow")
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "run" / "environment.json").write_text(
        json.dumps({"variables": {}, "home": str(inside), "pid": os.getpid()})
    )
    (tmp_path / "dags").mkdir()
    places: list[Any] = []
    entered: list[dict[str, Any]] = []

    def enter(specification: str, **more: Any) -> namespace.Placement:
        entered.append(more)
        return namespace.Placement(mode, inside)

    monkeypatch.setattr(namespace, "join", lambda _pid: pytest.fail("it does not run"))
    monkeypatch.setattr(namespace, "enter", enter)
    monkeypatch.setattr(package_set, "place", lambda inputs, folder: places.append((inputs.visible_home, folder)))
    (tmp_path / "set").mkdir()
    (tmp_path / "run" / package_set.LINK).symlink_to(tmp_path / "set")
    assert run(kept, "true")[3] == (inside if placed else tmp_path / "home")
    assert places == ([(inside, tmp_path / "set")] if placed else [])
    assert entered[0]["home"] == tmp_path / "home"
    assert entered[0]["scratch"] == tmp_path / "run" / f"namespace-{os.getpid()}"
    assert [bind.place for bind in entered[0]["binds"]] == ["dags"]


def test_a_home_that_is_not_seen_is_looked_for_where_it_lies(kept: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "run" / "environment.json").write_text(
        json.dumps({"variables": {}, "home": "/no/such/home", "pid": os.getpid()})
    )
    assert run(kept, "true")[3] == tmp_path / "home"


# -- health from a status ----------------------------------------------------------------------------------------------


def from_status(folder: Path, **values: Any) -> Health:
    record = Status(folder, "worker")
    record.set(**values)
    return health.from_status(folder)


@pytest.mark.parametrize(
    ("age", "ok"), [(0, True), (40, True), (50, False)]
)  # of a supervisor that asks every five seconds, or fifteen
def test_a_supervisor_that_fell_silent_is_unwell(tmp_path: Path, age: float, ok: bool) -> None:
    found = from_status(tmp_path, state=status.RUNNING, health_at=time.time() - age)
    assert found.ok is ok
    assert found.detail == ("healthy" if ok else f"its supervisor has not answered for {age} s")


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"state": status.FAILED, "error": {"what": "a bad script"}, "health_at": 0}, "failed: a bad script"),
        ({"state": status.STOPPED, "health_at": 0}, "stopped"),
        ({"state": status.DRAINING, "health_at": 0}, "draining"),
        ({"phases": [{"name": "files"}, {"name": "startup script"}]}, "booting (done: startup script)"),
        ({}, "booting"),
        ({"state": status.RUNNING, "health_at": 0, "health": "no heartbeat"}, "no heartbeat"),
    ],
)
def test_what_is_not_well_says_why(tmp_path: Path, values: dict[str, Any], detail: str) -> None:
    if "health_at" in values:
        values = {**values, "health_at": time.time()}
    assert from_status(tmp_path, **values) == Health(False, detail)


def test_before_the_first_boot_nothing_is_well(tmp_path: Path) -> None:
    assert health.from_status(tmp_path) == Health(False, "it has not started")


def check(folder: Path, component: str = "worker", **values: Any) -> Health:
    record = Status(folder, component)
    record.set(**values)
    return health.check(variables(MWAA_LOCAL__RUN_DIR=str(folder)))


def test_the_check_from_outside_asks_the_component_anew(tmp_path: Path) -> None:
    names = [{"name": "worker"}]
    assert check(tmp_path, processes=names) == Health(False, "the worker is not ready to take tasks yet")
    (tmp_path / "worker-heartbeat").touch()
    touched = (tmp_path / "worker-heartbeat").stat().st_mtime
    os.utime(tmp_path / "worker-heartbeat", (touched + 1, touched + 1))
    assert check(tmp_path, processes=names).ok
    assert check(tmp_path).detail == "booting", "nothing to ask runs yet"
    assert check(tmp_path, state=status.FAILED, processes=names).detail == "failed"
    assert check(tmp_path, "migrate-db") == Health(True, "migrating")


# -- defaults ----------------------------------------------------------------------------------------------------------


def test_a_component_that_is_told_nothing_has_mwaas_own_times_and_places() -> None:
    given = read_inputs("worker", variables())
    assert given.drain_seconds == 90, "what running tasks get, from SIGTERM on"
    assert (given.home, given.run_dir) == (Path("/usr/local/airflow"), Path("/usr/local/mwaa/run"))
    assert (given.cache_dir, given.base_set) == (Path("/usr/local/mwaa/cache"), Path("/opt/mwaa/base"))
    assert given.python_folder == Path("/python")
    assert (given.web_port, given.max_plugins_bytes) == (8080, 1_073_741_824)
    assert (given.in_image, given.placement, given.use_launcher) == (True, "image", True)
    assert (given.die_with_parent, given.console_prefix, given.allow_failed_requirements) == (False, False, False)
    assert (given.resolver, given.workspace, given.dags_use_endpoint, given.metrics) == ("uv", True, True, False)
    assert (given.aws_access_key, given.aws_secret_key) == ("test", "test")


def test_what_is_told_counts() -> None:
    given = read_inputs(
        "worker",
        variables(
            MWAA_LOCAL__DRAIN_SECONDS="7.5", MWAA_LOCAL__LAUNCHER="false", MWAA_LOCAL__DIE_WITH_PARENT="TRUE",
            MWAA_LOCAL__CONSOLE_PREFIX="true", MWAA_LOCAL__DAG_SYNC="bucket", MWAA_LOCAL__AWS="work",
            MWAA_LOCAL__RESOLVER="pip", MWAA_LOCAL__WEB_URL="http://x:1/", MWAA_LOCAL__WEB_PORT="many",
            MWAA_LOCAL__PLUGINS_ZIP="/p.zip", MWAA__SQS__USE_SSL="maybe",
        ),
    )  # fmt: skip
    assert (given.drain_seconds, given.use_launcher, given.die_with_parent, given.console_prefix) == (
        7.5,
        False,
        True,
        True,
    )
    assert (given.workspace, given.dags_use_endpoint, given.resolver) == (False, False, "pip")
    assert (given.web_url, given.web_port, given.plugins_zip) == ("http://x:1", 8080, Path("/p.zip"))
    assert given.use_ssl, "a word that is neither is none"
    assert given.warnings == ("MWAA_LOCAL__WEB_PORT is not a number and is ignored",)
