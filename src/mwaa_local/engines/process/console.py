"""A component's console output in a file that never grows past a limit, and reading it back."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

LIMIT_BYTES = 10 * 1024 * 1024
KEPT = 2


class ConsoleLog:
    """Appends bytes to a file and turns it over at a size.

    Args:
        path: The current file; older ones get ``.1``, ``.2``.
        limit: Size at which it is turned over, bytes.
    """

    def __init__(self, path: Path, *, limit: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit = limit
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._file).st_size

    def write(self, data: bytes) -> None:
        """Append; a full disk costs the lines, never the component."""
        try:
            self._size += os.write(self._file, data)
            # Turn over between lines, so that no line is split across files.
            if self._size >= self._limit and data.endswith(b"\n"):
                self._turn()
        except OSError:
            return

    def _turn(self) -> None:
        for number in range(KEPT, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
            if newer.exists():
                newer.replace(older)
        os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log, reaching into the turned-over file when the current one is short."""
    found: deque[str] = deque(maxlen=lines)
    for part in (path.with_name(path.name + ".1"), path):
        with contextlib.suppress(OSError), part.open("rb") as file:
            found.extend(_last(file, file.seek(0, os.SEEK_END), lines))
    return list(found)


def _last(file: BinaryIO, end: int, lines: int) -> list[str]:
    # Lines are rarely longer than this; reading all of a large log would be slow for nothing.
    start = max(0, end - (lines + 1) * 2000)
    file.seek(start)
    content = file.read(end - start).decode(errors="replace").splitlines()
    return (content[1:] if start else content)[-lines:] if lines else []


def follow(path: Path, *, lines: int, until: Callable[[], bool], interval: float = 0.1) -> Iterator[str]:
    """The last lines, then each new one as it is written, across turn-overs.

    Args:
        path: The log.
        lines: How many old lines come first.
        until: Asked when nothing new came; ends the iteration when it says true.
        interval: Seconds between looks.
    """
    file: BinaryIO | None = None
    rest = b""
    try:
        with contextlib.suppress(OSError):
            file = path.open("rb")
        if file is not None:
            end = file.seek(0, os.SEEK_END)
            yield from _last(file, end, lines)
            file.seek(end)
        while True:
            ending = until()  # asked before the last look, so that nothing written before the end is missed
            replaced = _replaced(path, file)
            *whole, rest = (rest + (file.read() if file is not None else b"")).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace").rstrip("\r")
            if replaced:
                if file is not None:
                    file.close()
                file = path.open("rb")
            elif ending and not whole:
                if rest:
                    yield rest.decode(errors="replace")
                return
            elif not whole:
                time.sleep(interval)
    finally:
        if file is not None:
            file.close()


def _replaced(path: Path, file: BinaryIO | None) -> bool:
    """Whether the name now belongs to another file than the one that is open."""
    try:
        now = path.stat()
    except OSError:
        return False
    return file is None or os.fstat(file.fileno()).st_ino != now.st_ino
