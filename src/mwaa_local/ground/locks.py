"""Exclusive locks between processes: they vanish with the process, however that dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from mwaa_local.errors import EngineError
from mwaa_local.ground.atomic import disk_error


@contextlib.contextmanager
def lock(path: Path, *, seconds: float, busy: str) -> Iterator[None]:
    """Hold an exclusive lock; it vanishes with the process, however that dies.

    Args:
        path: The lock file; made when it is missing, never removed (removing one opens a race).
        seconds: How long to wait for another holder.
        busy: What to say when the wait was in vain.

    Raises:
        EngineError: Someone else held it all the time.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        end = time.monotonic() + seconds
        while not try_lock(descriptor):
            if time.monotonic() >= end:
                raise EngineError(busy, where=str(path), hint="wait for it to end, then run the command again")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock on an open file if nobody holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def locked(path: Path) -> bool:
    """Whether some process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)
