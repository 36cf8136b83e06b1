"""When `up` stops waiting for a component of the process engine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mwaa_local.engines.layout import Layout
from mwaa_local.engines.waiting import _refuse_hopeless
from mwaa_local.errors import EngineError, StartupScriptError

ERROR = {"id": "startup-script", "what": "the startup script ended in a way", "where": "startup.sh", "why": "set -e"}


def ended(at: float, seconds: float, error: dict[str, str] | None = None) -> dict[str, Any]:
    return {"at": at, "seconds": seconds, "was_healthy": False, "why": "ended with code 1", "error": error}


def component(*exits: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "service", "exits": list(exits)}


def test_an_end_that_began_before_up_says_nothing_about_now(tmp_path: Path) -> None:
    layout, since = Layout(tmp_path), time.time()
    # Started with the old file half a second before `up`, failed half a second into it.
    _refuse_hopeless(layout, "scheduler", component(ended(since + 0.5, 1.0, ERROR)), since)
    with pytest.raises(StartupScriptError, match="scheduler: the startup script ended"):
        _refuse_hopeless(layout, "scheduler", component(ended(since + 1.5, 1.0, ERROR)), since)


def test_three_ends_in_a_row_are_enough(tmp_path: Path) -> None:
    layout, since = Layout(tmp_path), time.time()
    often = [ended(since + number, 0.5) for number in (1, 2, 3)]
    _refuse_hopeless(layout, "worker", component(*often[:2]), since)
    with pytest.raises(EngineError, match="worker cannot start: it ended with code 1"):
        _refuse_hopeless(layout, "worker", component(*often), since)
