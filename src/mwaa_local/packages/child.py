"""Running one child process with a time limit, its output line by line, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_GRACE_S = 5.0


@dataclass(frozen=True)
class Finished:
    """How a child ended.

    Attributes:
        code: Exit code; negative for a signal.
        lines: Everything it wrote, standard output and error together.
        seconds: How long it ran.
        timed_out: It was stopped because the limit passed.
    """

    code: int
    lines: tuple[str, ...]
    seconds: float
    timed_out: bool

    @property
    def text(self) -> str:
        """The output as one text."""
        return "\n".join(self.lines)


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    timeout_s: float,
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    keep_open: Sequence[int] = (),
) -> Finished:
    """Run a command in a process group of its own.

    Args:
        argv: The command.
        env: Its whole environment.
        timeout_s: Limit in seconds; then the group gets SIGTERM and, 5 s later, SIGKILL.
        cwd: Working folder.
        on_line: Called with each line as it comes.
        keep_open: File descriptors the child inherits: a lock held through one stays held until the child ends too,
            so that a killed parent cannot let a second install start beside an orphan.

    Raises:
        OSError: the command cannot be started.
    """
    started = time.monotonic()
    lines: list[str] = []
    # Popen is left only when the child is gone: no zombie, no orphan, whatever interrupts the caller.
    with subprocess.Popen(
        [str(word) for word in argv],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        pass_fds=tuple(keep_open),
    ) as child:
        reader = threading.Thread(target=_read, args=(child, lines, on_line), daemon=True)
        reader.start()
        timed_out = False
        try:
            try:
                child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                timed_out = True
        finally:
            if child.poll() is None:
                _end(child)
            # A grandchild that left the group could hold the pipe open for ever.
            reader.join(_GRACE_S)
    return Finished(child.returncode, tuple(lines), time.monotonic() - started, timed_out)


def _read(child: subprocess.Popen[str], lines: list[str], on_line: Callable[[str], None] | None) -> None:
    assert child.stdout is not None
    with contextlib.suppress(ValueError):  # closed under us after the grace time
        for raw in child.stdout:
            line = raw.rstrip("\r\n")
            lines.append(line)
            if on_line is not None:
                on_line(line)


def _end(child: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
            return
