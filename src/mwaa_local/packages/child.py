"""Running one child process with a time limit, its output line by line, and nothing of it left behind.

The one way in which the tool starts programs beside Airflow (pip, uv, ruff, ShellCheck, an interpreter): isolated. A
checked-out project is material to look at: what lies in it (``pip.py``, ``json.py``, ``ruff.toml``) is neither run nor
obeyed because somebody stands in its folder. A child works in an empty folder of its own, finds no modules through
variables, and the user's own site folder is closed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_GRACE_S = 5.0
# What makes Python, bash or ruff read code or settings that the command does not name.
_LEADING = frozenset({
    "BASH_ENV", "ENV", "PYTHONBREAKPOINT", "PYTHONEXECUTABLE", "PYTHONHOME", "PYTHONINSPECT", "PYTHONPATH",
    "PYTHONPLATLIBDIR", "PYTHONSTARTUP", "PYTHONUSERBASE", "RUFF_CONFIG", "SHELLCHECK_OPTS",
})  # fmt: skip


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


def isolated(env: Mapping[str, str]) -> dict[str, str]:
    """An environment without what leads a program to code or settings nobody named."""
    return {**{name: value for name, value in env.items() if name not in _LEADING}, "PYTHONNOUSERSITE": "1"}


def python(interpreter: Path, *words: str | Path) -> list[str | Path]:
    """The words that run an interpreter by itself: no working folder, no user site, no variables (``python -I``)."""
    return [interpreter, "-I", *words]


def own_python(*words: str) -> list[str]:
    """The words that run the tool's own Python in a process that outlives this one.

    Without ``-I``: a tool that was installed with ``pip install --user`` lies in the user's own site folder, and the
    variables are the caller's to choose. The working folder gives no modules either way.
    """
    user = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    closed = [] if user and Path(__file__).is_relative_to(user) else ["-s"]
    return [sys.executable, "-P", *closed, *words]


def program(name: str, path: str | None = None) -> Path | None:
    """A program on ``PATH``; folders that depend on where one stands do not count.

    Args:
        name: Its name.
        path: The value of ``PATH``; this process's own if ``None``.
    """
    given = os.get_exec_path() if path is None else path.split(os.pathsep)
    folders = [folder for folder in given if Path(folder).is_absolute()]
    found = shutil.which(name, path=os.pathsep.join(folders)) if folders else None
    return Path(found) if found else None


@contextlib.contextmanager
def folder_of_its_own(cwd: Path | None = None) -> Iterator[Path]:
    """The given folder, or an empty one that is gone afterwards."""
    if cwd is not None:
        yield cwd
        return
    with tempfile.TemporaryDirectory(prefix="mwaa-local-empty-", ignore_cleanup_errors=True) as made:
        yield Path(made)


def ask(
    argv: Sequence[str | Path], *, env: Mapping[str, str], timeout_s: float, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run a command that answers at once, its two streams apart.

    Args:
        argv: The command.
        env: Its environment; see :func:`isolated`.
        timeout_s: Limit in seconds.
        stdin: What it reads.

    Raises:
        OSError: it cannot be started.
        TimeoutError: it did not end in time; it was stopped.
    """
    with folder_of_its_own() as place:
        try:
            return subprocess.run(
                [str(word) for word in argv],
                env=isolated(env),
                cwd=place,
                input=stdin,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{argv[0]} did not end in {timeout_s:g} s") from error


@contextlib.contextmanager
def conversation(
    argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, errors: Path
) -> Iterator[subprocess.Popen[str]]:
    """A child that is spoken to through its streams; it and its process group end with the block.

    Args:
        argv: The command.
        env: Its environment; see :func:`isolated`.
        cwd: Working folder, one that holds nothing it could import.
        errors: File that takes its standard error.

    Raises:
        OSError: it cannot be started.
    """
    with errors.open("wb") as stream:
        child = subprocess.Popen(
            [str(word) for word in argv],
            env=isolated(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,
            text=True,
        )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


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
        env: Its environment; see :func:`isolated`.
        timeout_s: Limit in seconds; then the group gets SIGTERM and, 5 s later, SIGKILL.
        cwd: Working folder; an empty one of its own if ``None``.
        on_line: Called with each line as it comes.
        keep_open: File descriptors the child inherits: a lock held through one stays held until the child ends too,
            so that a killed parent cannot let a second install start beside an orphan.

    Raises:
        OSError: the command cannot be started.
    """
    started = time.monotonic()
    lines: list[str] = []
    # Popen is left only when the child is gone: no zombie, no orphan, whatever interrupts the caller.
    with (
        folder_of_its_own(cwd) as place,
        subprocess.Popen(
            [str(word) for word in argv],
            env=isolated(env),
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            pass_fds=tuple(keep_open),
        ) as child,
    ):
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
