"""Texts that are no markup: a detail, a log line or an error with brackets is shown as it is, and breaks no command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_support import HEALTHY, CommandLine, FakeEngine, command_line

from mwaa_local.engines.protocol import Addresses, ComponentState, UpResult
from mwaa_local.errors import RequirementsError
from mwaa_local.preflight.resolving import fix as resolve_fix

__all__ = ["command_line"]
HOSTILE = "[/red] [bold]x[/] [link=y]"


def shown(text: str) -> str:
    """What was printed, without the breaks of a narrow terminal."""
    return " ".join(text.split())


def test_status(command_line: CommandLine) -> None:
    told = {
        "startup_script": {"exit_status": 1, "seconds": 2, "tail": [f"script {HOSTILE}"]},
        "error": {"what": f"what {HOSTILE}", "why": f"why {HOSTILE}"},
    }
    died = {"crash": {"at": 1, "count": 2, "process": f"process {HOSTILE}", "trace": [f"trace {HOSTILE}"]}}
    command_line.engine.states = [
        ComponentState("worker", "failed", detail=f"detail {HOSTILE}", status=told),
        ComponentState("scheduler", "failed", status=died),
    ]
    done = command_line("status")
    assert done.code == 1
    for word in ("detail", "script", "what", "why", "trace"):
        assert f"{word} {HOSTILE}" in shown(done.out), word


def test_addresses_of_status(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FakeEngine, "_addresses", lambda _e: Addresses("http://[::1]:1", "http://[::1]:2", HOSTILE, "3.2.1")
    )
    assert f"Airflow http://[::1]:1   AWS http://[::1]:2   bucket {HOSTILE}" in command_line("status").out


def test_logs(command_line: CommandLine) -> None:
    command_line.engine.lines = [f"line {HOSTILE}"]
    assert command_line("logs", "worker").out == f"line {HOSTILE}\n"


def test_up(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = command_line.engine
    verdict = RequirementsError(f"what {HOSTILE}", where=f"where {HOSTILE}", why=f"why {HOSTILE}", hint=HOSTILE)

    def up(*_: Any, **__: Any) -> UpResult:
        return UpResult([f"change {HOSTILE}"], engine._addresses(), HEALTHY, {}, [verdict], [f"warning {HOSTILE}"])

    monkeypatch.setattr(FakeEngine, "up", up)
    done = command_line("up")
    assert done.code == 1
    for word in ("change", "warning", "what", "where", "why"):
        assert f"{word} {HOSTILE}" in shown(done.err), word


def test_a_corrected_requirements_file(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    file = command_line.project / "requirements.txt"
    change = resolve_fix.Change(1, "celery", f"celery{HOSTILE}", f"why {HOSTILE}")
    found = resolve_fix.Fix(file, "celery\n", f"celery{HOSTILE}\n", (change,), (f"left {HOSTILE}",), True)
    monkeypatch.setattr(resolve_fix, "fix", lambda _workspace: found)
    done = command_line("validate", "--diff")
    assert f"+celery{HOSTILE}\n" in done.err
    assert f"why {HOSTILE}" in shown(done.err)
    assert f"left {HOSTILE}" in shown(done.err)


def test_a_project_in_a_folder_of_that_name(command_line: CommandLine, tmp_path: Path) -> None:
    command_line.project = tmp_path / "[bold]a"
    command_line.project.mkdir()
    assert f"files in {command_line.project}" in command_line("up").out
    assert command_line("status").code == 0
    assert json.loads(command_line("doctor", "--json").out)["findings"]
    assert "[bold]a" in shown(command_line("doctor").out)
