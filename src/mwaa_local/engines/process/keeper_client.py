"""Talking to an environment's keeper from the command line: is it there, start it, tell it, stop it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from mwaa_local.engines.layout import Layout
from mwaa_local.engines.process import console
from mwaa_local.errors import EngineError
from mwaa_local.ground import atomic, locks, processes
from mwaa_local.packages import child

_MODULE = "mwaa_local.engines.process.keeper"
# Its name up to 0.1: one that such a version started may still run.
_BEFORE = "mwaa_local.engines.keeper"
_START_SECONDS = 20.0
HURRY_SECONDS = 25.0
LOOK_SECONDS = 0.05


def runs(layout: Layout) -> bool:
    """Whether a keeper has this environment; asked of the lock, which cannot be stale."""
    return locks.locked(layout.keeper_lock)


def pid(layout: Layout) -> int | None:
    """The keeper's process id, ``None`` when none runs."""
    if not runs(layout):
        return None
    with contextlib.suppress(OSError, ValueError):
        found = int(layout.keeper_lock.read_text())
        # Just after a start the file may still name an earlier keeper, whose number may be anybody's by now.
        if any(name in processes.command_line(found) for name in (_MODULE, _BEFORE)):
            return found
    return None


def report(layout: Layout) -> dict[str, Any]:
    """What the keeper that runs now said last; what an earlier one left behind is no answer."""
    found = atomic.read_json(layout.report)
    if found is None or found.get("pid") != pid(layout) or not isinstance(found.get("components"), dict):
        return {"components": {}, "generation": ""}
    return found


def start(layout: Layout, host: Mapping[str, str]) -> None:
    """Start a keeper that outlives this process.

    Args:
        layout: Whose.
        host: The caller's variables; the keeper gets the few it needs.

    Raises:
        EngineError: It ended at once.
    """
    layout.logs.mkdir(parents=True, exist_ok=True)
    kept = {name: host[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV") if host.get(name)}
    log = layout.log("keeper")
    if log.exists() and log.stat().st_size > console.LIMIT_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
    with log.open("ab") as output:
        keeper = subprocess.Popen(
            [*child.own_python("-m"), _MODULE, "--state", str(layout.state)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=kept,
            cwd="/",
            start_new_session=True,
        )
    end = time.monotonic() + _START_SECONDS
    while pid(layout) != keeper.pid:
        if keeper.poll() is not None or time.monotonic() > end:
            raise gone(layout)
        time.sleep(0.01)


def gone(layout: Layout) -> EngineError:
    """The keeper is not there though it should be."""
    return EngineError(
        "the keeper of the environment ended",
        where=str(layout.log("keeper")),
        why="\n".join(console.tail(layout.log("keeper"), 8)),
        hint="run `make up` again",
    )


def reload(layout: Layout) -> None:
    """Have the keeper read its plan again."""
    found = pid(layout)
    if found is None:
        raise gone(layout)
    os.kill(found, signal.SIGHUP)


def kill(layout: Layout) -> None:
    """End the keeper and everything it keeps at once; for when the data go too."""
    found = pid(layout)
    if found is not None:
        processes.kill(processes.tree([found]))
    end = time.monotonic() + _START_SECONDS
    while runs(layout) and time.monotonic() < end:
        time.sleep(0.01)
    processes.sweep(f"{layout.state}|")


def stop(layout: Layout, *, timeout_s: float, hurry_s: float = HURRY_SECONDS) -> bool:
    """Stop the keeper and everything it keeps.

    Args:
        layout: Whose.
        timeout_s: What running tasks get; then everything is ended in a hurry.
        hurry_s: What that gets; then everything is killed.

    Returns:
        Whether one ran.
    """
    found = pid(layout)
    if found is None:
        processes.sweep(f"{layout.state}|")
        return False
    for seconds in (timeout_s, hurry_s):
        with contextlib.suppress(ProcessLookupError):
            os.kill(found, signal.SIGTERM)
        end = time.monotonic() + seconds
        while runs(layout) and time.monotonic() < end:
            time.sleep(LOOK_SECONDS / 2)
        if not runs(layout):
            break
    else:
        processes.kill(processes.tree([found]))
    processes.sweep(f"{layout.state}|")
    return True
