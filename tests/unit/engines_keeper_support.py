"""A keeper that only holds its lock, listens to signals and says what a test wants it to say."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from mwaa_local.engines.layout import Layout
from mwaa_local.ground import processes

MODULE = "mwaa_local.engines.process.keeper"
# Notes each signal; ends at the last of those it is told to bear. `-S`: it starts in no time.
SCRIPT = """
import os, signal, sys
bears, log = int(sys.argv[2]), sys.argv[3]
def heard(number, frame):
    global bears
    with open(log, "a") as file: file.write(signal.Signals(number).name[3:] + "\\n")
    bears -= number == signal.SIGTERM
    if not bears: os._exit(0)
for number in (signal.SIGTERM, signal.SIGHUP): signal.signal(number, heard)
print("ready", flush=True)
while sys.stdin.read(1): pass
"""


class StandIn:
    """One of them; a context manager.

    Args:
        layout: Whose.
        bears: How many times it must be told to end.
        name: What its command line calls it.
        variables: Its environment.
    """

    def __init__(self, layout: Layout, *, bears: int = 1, name: str = MODULE, **variables: str) -> None:
        self.layout = layout
        self._bears = bears
        self._name = name
        self._variables = variables

    def __enter__(self) -> StandIn:
        self.layout.state.mkdir(parents=True, exist_ok=True)
        self.log = self.layout.state / "signals"
        lock = os.open(self.layout.keeper_lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", SCRIPT, self._name, str(self._bears), str(self.log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[lock],
            env={"PATH": "/usr/bin:/bin", **self._variables},
        )
        os.close(lock)  # the lock is the process's own now and ends with it
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.layout.keeper_lock.write_text(str(self.process.pid))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def signals(self) -> list[str]:
        """What it heard."""
        return self.log.read_text().split() if self.log.exists() else []

    def end(self) -> None:
        """End it, as a crash would."""
        self.process.kill()
        self.process.wait()

    def say(self, generation: str = "g", pid: int | None = None, **components: dict[str, Any]) -> None:
        """Write its report."""
        value = {"pid": pid or self.pid, "generation": generation, "started_at": 7.0, "components": components}
        partial = self.layout.report.with_name("report.new")
        partial.write_text(json.dumps(value))
        partial.replace(self.layout.report)


def said(state: str = "healthy", *, kind: str = "service", exits: Any = (), **more: Any) -> dict[str, Any]:
    """A component as the keeper describes it."""
    return {
        "state": state, "detail": "", "pid": 1234, "started_at": 5.0, "healthy_at": None, "restarts": 0,
        "exits": list(exits), "digest": "d", "kind": kind, **more,
    }  # fmt: skip


def lives(pid: int) -> bool:
    """Whether a process lives; one that ended and was not collected yet does not."""
    return pid in processes.parents()


def layout_in(folder: Path) -> Layout:
    """The layout of an environment in a folder, with its folder of logs."""
    layout = Layout(folder / "state")
    layout.logs.mkdir(parents=True)
    return layout
