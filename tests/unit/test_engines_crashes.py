"""A process that died is named wherever an environment is looked at: up, status, both engines' details."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mwaa_local.cli import inspect, lifecycle, output
from mwaa_local.engines import verdicts
from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker.state import Container
from mwaa_local.engines.plan import Component
from mwaa_local.engines.process.component import Kept
from mwaa_local.engines.protocol import ComponentState
from mwaa_local.runtime.status import Status

CAUSE = "dag-processor: TypeError: unhashable (while it handled dags/greet.py)"


def died(count: int = 1, at: float = 100.0, file: str = "dags/greet.py") -> dict[str, Any]:
    return {
        "process": "dag-processor", "code": 1, "ended": "ended with exit code 1", "cause": "TypeError: unhashable",
        "file": file, "line": 0, "trace": ["frame", "TypeError: unhashable"], "at": at, "count": count,
    }  # fmt: skip


def state(**crash: Any) -> ComponentState:
    return ComponentState("scheduler", "healthy", status={"crash": died(**crash)})


def test_up_fails_for_a_loop_that_it_saw_and_names_the_file() -> None:
    (error,), once = verdicts.crashes([state(count=2), ComponentState("worker", "healthy", status={})], since=50)
    assert (error.what, error.where) == (f"scheduler ends again and again (2 times so far): {CAUSE}", "dags/greet.py")
    assert "frame\nTypeError" in error.why
    assert "mend dags/greet.py" in error.hint
    assert once == []


def test_up_warns_of_one_death_and_of_a_loop_before_it() -> None:
    assert verdicts.crashes([state()], since=50) == ([], [f"scheduler was started again: {CAUSE}"])
    errors, (warning,) = verdicts.crashes([state(count=4)], since=150)
    assert errors == []
    assert "4 times in a row before this" in warning
    assert "unless that was mended" in warning
    assert verdicts.crashes([state()], since=150) == ([], [])


def test_a_loop_without_a_file_leads_to_the_logs() -> None:
    (error,), _ = verdicts.crashes([state(count=3, file="")], since=50)
    assert error.hint == "mwaa-local logs scheduler"


@pytest.mark.parametrize(
    ("status", "exit_code", "expected"),
    [
        ("restarting", 1, f"ended with exit code 1: {CAUSE}; Docker starts it again"),
        ("running", 0, f"last restart: {CAUSE}"),
        ("exited", 0, "ended with exit code 0"),
    ],
)
def test_a_container_tells_why_its_process_died(status: str, exit_code: int, expected: str) -> None:
    container = Container("i", "scheduler", "scheduler", "image", status, exit_code=exit_code, restarts=2)
    assert docker_state.describe(container, {"crash": died()}).detail == expected


def test_the_keeper_tells_why_a_process_died(tmp_path: Path) -> None:
    boot = Status(tmp_path, "scheduler")
    found = died()
    boot.crashed(found)
    boot.fail(verdicts.crashes([state(count=2)], since=50)[0][0])
    around: Any = SimpleNamespace(changed=lambda: None, state=tmp_path)
    kept = Kept(Component("scheduler", ("true",), run_dir=str(tmp_path)), around)
    kept._record(1, "", 3.0)
    assert kept.exits[-1]["why"] == f"ended with exit code 1: {CAUSE}"


def test_status_shows_the_cause_and_programs_can_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    output.out.file = None  # type: ignore[assignment]
    inspect._troubles(state(count=3))
    shown = capsys.readouterr().out
    assert f"scheduler: {CAUSE}" in shown
    assert "3 times in a row" in shown
    assert "TypeError: unhashable" in shown.splitlines()[-1]
    document = lifecycle.component_document(state(count=3))
    assert json.loads(json.dumps(document))["crash"]["file"] == "dags/greet.py"
