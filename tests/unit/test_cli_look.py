"""What ``status``, ``logs`` and ``env`` show, over a fake engine and a small Airflow."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow_api_support import FakeAirflow, listening
from cli_support import HEALTHY, CommandLine, FakeEngine, command_line

from mwaa_local.engines.protocol import Addresses, ComponentState
from mwaa_local.errors import EngineError

__all__ = ["command_line"]


@pytest.fixture
def airflow(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAirflow]:
    fake = FakeAirflow(3)
    with listening(fake) as address:
        addresses = Addresses(address, "http://127.0.0.1:2", "bucket", "3.2.1")
        monkeypatch.setattr(FakeEngine, "_addresses", lambda _engine: addresses)
        yield fake


def worker(state: str = "healthy", **more: Any) -> ComponentState:
    return ComponentState("worker", state, pid=4711, started_at=time.time() - 11_550, memory_bytes=250_000_000, **more)  # type: ignore[arg-type]


# -- status ------------------------------------------------------------------------------------------------------------


def test_a_healthy_environment(command_line: CommandLine, airflow: FakeAirflow) -> None:
    command_line.engine.states = [*HEALTHY, worker(restarts=3, detail="last restart: it was killed")]
    done = command_line("status")
    assert done.code == 0
    row = next(line for line in done.out.splitlines() if "4711" in line)
    assert row.split()[:2] == ["worker", "healthy"]
    for text in ("3 h 12 min", "250 MB", " 3 ", "last restart: it was killed"):
        assert text in row
    assert "process engine, 250 MB" in done.out
    assert "AWS http://127.0.0.1:2   bucket bucket" in done.out


def test_status_as_a_document(command_line: CommandLine, airflow: FakeAirflow) -> None:
    airflow.errors.append({"filename": "/dags/bad.py", "stack_trace": "Traceback\nKeyError: 1"})
    command_line.engine.states = [worker(), worker("unhealthy", detail="no heartbeat")]
    done = command_line("status", "--json")
    found = json.loads(done.out)
    assert done.code == 1
    assert {key: found[key] for key in ("schema", "engine", "running", "healthy", "aws", "bucket", "memory_bytes")} == {
        "schema": "mwaa-local/status/1", "engine": "process", "running": True, "healthy": False,
        "aws": "http://127.0.0.1:2", "bucket": "bucket", "memory_bytes": 500_000_000,
    }  # fmt: skip
    assert found["dag_import_errors"] == [{"file": "/dags/bad.py", "trace": "Traceback\nKeyError: 1"}]
    one = found["components"][1]
    assert (one["name"], one["state"], one["pid"], one["detail"]) == ("worker", "unhealthy", 4711, "no heartbeat")
    assert 11_550 <= one["uptime_seconds"] < 11_600


def test_a_web_server_that_does_not_answer_is_no_failure_of_the_look(command_line: CommandLine) -> None:
    done = command_line("status", "--json")
    assert done.code == 0
    assert json.loads(done.out)["dag_import_errors"] is None


def test_import_errors_are_shown_by_their_last_line(command_line: CommandLine, airflow: FakeAirflow) -> None:
    airflow.errors.append({"filename": "/dags/bad.py", "stack_trace": "Traceback\nKeyError: 1\n"})
    airflow.errors.append({"filename": "/dags/none.py", "stack_trace": ""})
    done = command_line("status")
    assert "DAG import error: /dags/bad.py: KeyError: 1" in done.out
    assert "DAG import error: /dags/none.py: " in done.out


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ({"exit_status": 3, "seconds": 2.5, "tail": [f"line {n}" for n in range(10)]}, "the startup script ended with status 3 after 2.5 s"),
        ({"timed_out": True, "exit_status": -15, "seconds": 300}, "the startup script ran into its time limit after 300 s"),
        ({"exit_status": 0, "seconds": 1}, ""),
    ],
)  # fmt: skip
def test_how_a_startup_script_ended(
    command_line: CommandLine, airflow: FakeAirflow, script: dict[str, Any], said: str
) -> None:
    command_line.engine.states = [worker(status={"startup_script": script})]
    shown = command_line("status").out
    assert ("startup script" in shown) == bool(said)
    assert said in shown
    assert ("line 9" in shown, "line 1\n" in shown) == ("tail" in script, False), "its last eight lines"


def test_how_a_process_died_and_what_the_runtime_ran_into(command_line: CommandLine, airflow: FakeAirflow) -> None:
    died = {
        "process": "scheduler", "ended": "was killed by SIGKILL", "cause": "was killed by SIGKILL", "file": None,
        "trace": [f"frame {number}" for number in range(10)], "count": 2, "at": time.time() - 125,
    }  # fmt: skip
    command_line.engine.states = [worker(status={"crash": died, "error": {"what": "not this", "why": "y"}})]
    shown = command_line("status").out
    assert "it was killed by SIGKILL, 2 times in a row, last 2 min ago" in shown
    assert "frame 9" in shown and "frame 1\n" not in shown
    assert "not this" not in shown
    command_line.engine.states = [worker(status={"crash": {**died, "count": 1}})]
    assert ", once, 2 min ago" in command_line("status").out
    command_line.engine.states = [worker(status={"error": {"what": "the boot failed", "why": "no disk"}})]
    assert "worker: the boot failed: no disk" in command_line("status").out


def test_failed_requirements_are_shown(command_line: CommandLine, airflow: FakeAirflow) -> None:
    told = {"verdict": "failed", "error": {"what": "The requirements conflict", "why": "a and b"}}
    command_line.engine.states = [worker(status={"requirements": told})]
    shown = command_line("status").out
    assert "requirements.txt was not installed" in shown and "a and b" in shown


# -- logs --------------------------------------------------------------------------------------------------------------


def test_all_components_with_their_names(command_line: CommandLine) -> None:
    command_line.engine.lines = ["[bold]one[/]"]
    done = command_line("logs", "-n", "7")
    assert done.out.splitlines() == [f"{item.name} | [bold]one[/]" for item in HEALTHY]
    assert {words for name, words in command_line.engine.asked if name == "logs"} == {
        (item.name, False, 7) for item in HEALTHY
    }


def test_one_component_is_followed(command_line: CommandLine) -> None:
    command_line.engine.lines = ["one"]
    assert command_line("logs", "worker", "--follow").out == "one\n"
    assert command_line.engine.asked[-1] == ("logs", ("worker", True, 100))


def test_all_are_followed_until_the_last_one_ends(command_line: CommandLine) -> None:
    command_line.engine.lines = ["one", "two"]
    done = command_line("logs", "-f")
    assert done.code == 0
    assert sorted(done.out.splitlines()) == sorted(
        f"{item.name} | {line}" for item in HEALTHY for line in ("one", "two")
    )


def test_one_that_cannot_be_followed_ends_the_look_with_its_error(command_line: CommandLine) -> None:
    command_line.engine.raises["logs"] = EngineError("the log cannot be read")
    done = command_line("logs", "-f")
    assert done.code == 1
    assert "the log cannot be read" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["worker", "scheduler"], "logs takes one component"),
        (["nobody"], "components: postgres, aws, scheduler, worker, webserver"),
        (["task"], "which task?"),
        (["task", "a", "b", "c", "d"], "which task?"),
    ],
)
def test_wrong_words_for_logs(command_line: CommandLine, words: list[str], said: str) -> None:
    done = command_line("logs", *words)
    assert done.code == 2
    assert said in done.err


def test_a_tasks_log_needs_a_running_environment(command_line: CommandLine) -> None:
    command_line.engine.runs = False
    done = command_line("logs", "task", "hello")
    assert (done.code, "mwaa-local up" in done.err) == (1, True)


# -- env ---------------------------------------------------------------------------------------------------------------


def test_exports_can_be_evaluated_by_a_shell(command_line: CommandLine) -> None:
    lines = command_line("env").out.splitlines()
    assert lines[-1] == "unset AWS_PROFILE AWS_SESSION_TOKEN", "a profile would win over the keys"
    exported = dict(shlex.split(line)[1].split("=", 1) for line in lines[:-1])
    assert exported == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:2",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "MWAA_LOCAL_WEB_URL": "http://127.0.0.1:1",
        "MWAA_LOCAL_BUCKET": "bucket",
    }
    assert json.loads(command_line("env", "--json").out) == exported


def test_a_version_that_up_was_told_counts_and_not_the_definitions(command_line: CommandLine) -> None:
    command_line.engine.version = "2.10.3"
    assert json.loads(command_line("status", "--json").out)["airflow_version"] == "2.10.3"


# -- versions ----------------------------------------------------------------------------------------------------------


def test_versions_are_listed_with_the_default(command_line: CommandLine) -> None:
    rows = json.loads(command_line("versions", "--json").out)["versions"]
    (default,) = [row["airflow_version"] for row in rows if row["default"]]
    assert default == "3.2.1"
    shown = command_line("versions").out
    assert [line.split()[0] for line in shown.splitlines()[1:]] == [row["airflow_version"] for row in rows]
    assert shown.count("default") == 1
