"""Running programs: one way to do it, with a limit, and an error that says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


class OfflineError(Exception):
    """A step that cannot be done.

    Args:
        what: the step and what went wrong, one sentence.
        hint: what the user can do about it.
        tail: the last lines of the program that failed.
    """

    def __init__(self, what: str, hint: str = "", tail: str = "") -> None:
        super().__init__(what)
        self.what, self.hint, self.tail = what, hint, tail

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"    {line}" for line in self.tail.splitlines()]
        if self.hint:
            lines.append(f"To do: {self.hint}")
        return "\n".join(lines)


def say(text: str) -> None:
    """Progress goes to stderr; stdout is for the result."""
    print(text, file=sys.stderr, flush=True)


def run(command: Sequence[str], *, what: str, hint: str = "", limit: float = 1800, stdin: Path | None = None) -> str:
    """Run a program and give its stdout.

    Args:
        command: program and arguments, never through a shell.
        what: the step's name for the error.
        hint: what to do when it fails.
        limit: seconds after which it is killed.
        stdin: a file to feed it, else nothing.

    Raises:
        OfflineError: it is missing, failed or took too long; with the last 15 lines it wrote.
    """
    if shutil.which(command[0]) is None:
        raise OfflineError(f"{what}: there is no program {command[0]!r} on this machine", hint)
    try:
        with (stdin or Path(os.devnull)).open("rb") as source:
            done = subprocess.run(
                command, stdin=source, capture_output=True, text=True, errors="replace", timeout=limit, check=False
            )
    except subprocess.TimeoutExpired as error:
        raise OfflineError(f"{what}: not done after {limit:.0f} s", hint) from error
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise OfflineError(f"{what}: {command[0]} ended with status {done.returncode}", hint, tail)
    return done.stdout


class Timer:
    """Seconds since it was made, for progress lines."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start
