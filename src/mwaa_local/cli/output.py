"""Words for people and for programs: stdout is the result, stderr the progress."""

from __future__ import annotations

import json
import os
import select
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from mwaa_local.errors import MachineError, MwaaLocalError


class _Console(Console):
    """Leaves a closed pipe to the command, which has things to put away; Rich would end the process with 1."""

    def on_broken_pipe(self) -> None:
        raise  # inside Rich's own `except BrokenPipeError`


# Rich follows NO_COLOR and FORCE_COLOR by itself. soft_wrap: a path or an address must stay in one piece to be copied.
# Off a terminal nothing is cut or folded: a value must stay in one piece to be read by a program.
out = _Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 1000)
err = _Console(stderr=True, soft_wrap=True, highlight=False)


# Set once, by --debug wherever it stands: an error may end the command before anything else could carry it.
_shown: list[bool] = []


def show_tracebacks() -> None:
    """Show tracebacks from now on."""
    _shown.append(True)


def tracebacks_shown() -> bool:
    """Whether ``--debug`` or ``MWAA_LOCAL_DEBUG`` was given."""
    return bool(_shown)


def reader_gone() -> bool:
    """Whether nobody reads stdout or stderr any more; whatever is still written there goes nowhere from now on."""
    gone = False
    for stream in (sys.stdout, sys.stderr):
        try:
            number = stream.fileno()
        except (OSError, ValueError):
            continue  # a test's stream, or none at all
        poll = select.poll()
        poll.register(number, 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _number, event in poll.poll(0)):
            gone = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
    return gone


def emit_json(document: Any) -> None:
    """One JSON document on stdout and nothing else."""
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


def note(text: str) -> None:
    """A line of progress."""
    err.print(escape(text))


def warn(text: str) -> None:
    """A line that wants attention without being a failure."""
    err.print(f"[yellow]![/] {escape(text)}")


def show_error(error: MwaaLocalError, *, debug: bool = False) -> None:
    """What failed, where, why, what to do next."""
    err.print(f"[bold red]error:[/] {escape(error.what)}")
    for label, text in (("where", error.where), ("why", error.why), ("next", error.hint)):
        if text:
            body = escape(text).replace("\n", "\n         ")
            err.print(f"  [dim]{label:>5}:[/] {body}")
    if debug:
        err.print("".join(traceback.format_exception(error)), markup=False)


def show_unexpected(error: Exception) -> None:
    """A failure nobody foresaw: the traceback goes to a file, so that a report can carry it."""
    told = "".join(traceback.format_exception(error))
    err.print(f"[bold red]error:[/] {escape(type(error).__name__)}: {escape(str(error))}")
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="mwaa-local-", suffix=".log", delete=False, encoding="utf-8"
        ) as stream:
            stream.write(told)
    except OSError as why:
        err.print(told, markup=False)
        err.print(f"   [dim]why:[/] not foreseen; the traceback above has no file: {escape(str(why))}")
        return
    err.print(f"   [dim]why:[/] not foreseen; the traceback is in {escape(stream.name)}")
    err.print("  [dim]next:[/] run again with --debug, or report it with that file")


class Step:
    """One step of progress, open."""

    def __init__(self, on_note: Callable[[], None]) -> None:
        self.detail = ""
        self._on_note = on_note

    def note(self, text: str) -> None:
        """What the step is doing or found; shown behind it when it ends."""
        self.detail = text
        self._on_note()


class StepProgress:
    """Steps with their times: a spinner on a terminal, one plain line per step elsewhere. Steps may overlap."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: dict[str, Step] = {}
        self._status: Status | None = None
        self._lock = threading.RLock()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show a step while its block runs; an exception marks it failed and passes on."""
        step = Step(self._refresh)
        begin = time.monotonic()
        with self._lock:
            self._open[name] = step
            self._refresh()
        mark = "[red]✗[/]"
        try:
            yield step
            mark = "[green]✓[/]"
        finally:
            seconds = round(time.monotonic() - begin, 2)
            with self._lock:
                self.seconds[name] = seconds
                self._open.pop(name, None)
                self._refresh()
                tail = f"  [dim]{escape(step.detail)}[/]" if step.detail else ""
                err.print(f"{mark} {escape(name)} [dim]{seconds:.1f} s[/]{tail}")

    def _refresh(self) -> None:
        if not err.is_terminal:
            return
        with self._lock:
            if not self._open:
                if self._status is not None:
                    self._status.stop()
                    self._status = None
                return
            text = ", ".join(f"{name}: {step.detail}" if step.detail else name for name, step in self._open.items())
            if self._status is None:
                self._status = err.status(escape(text))
                self._status.start()
            else:
                self._status.update(escape(text))


def write_atomically(path: Path, text: str) -> None:
    """A report is written whole or not at all; a write that fails leaves nothing beside the old one.

    Raises:
        MachineError: It cannot be written.
    """
    from mwaa_local.packages.fetch import write_atomically as write  # here: commands that write none start faster

    try:
        write(path, text)
    except OSError as error:
        raise MachineError(
            "the report cannot be written", where=str(path), why=str(error), hint="name another place for it"
        ) from error


def human_bytes(count: int | None) -> str:
    """``512 MB``; empty for unknown."""
    if count is None:
        return ""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def human_seconds(seconds: float | None) -> str:
    """``3 h 12 min``, ``45 s``; empty for unknown."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
