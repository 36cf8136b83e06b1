"""Waiting and measuring that a machine which stands still for a while does not turn into a failure.

A look at a condition and a beat of a watch are what is counted, never the wall clock alone: in a pause of the whole
machine, or of one write to a slow disk, neither happens.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BEAT_S, _LONGEST_BEAT_S = 0.01, 0.05


def until(
    condition: Callable[[], Any], seconds: float = 30.0, told: Callable[[], object] = lambda: "", every: float = 0.02
) -> Any:
    """Look until it is true; its value.

    Args:
        condition: Asked again and again.
        seconds: How long at least before the test fails.
        told: What the failure says beside.
        every: Seconds between two looks.
    """
    for _ in range(max(int(seconds / every), 1)):
        if value := condition():
            return value
        time.sleep(every)
    raise AssertionError(f"waited {seconds:g} s in vain {told()}")


async def soon(
    condition: Callable[[], Any], seconds: float = 30.0, told: Callable[[], object] = lambda: "", every: float = 0.005
) -> Any:
    """:func:`until` beside the other tasks of a loop."""
    for _ in range(max(int(seconds / every), 1)):
        if value := condition():
            return value
        await asyncio.sleep(every)
    raise AssertionError(f"waited {seconds:g} s in vain {told()}")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not collected yet does not."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


def gone(*pids: int, seconds: float = 10.0) -> bool:
    """Wait until none of these processes runs.

    A killed process goes on until the system gives it a turn to die: whether it runs at one moment says nothing.
    """
    return bool(until(lambda: not any(map(alive, pids)), seconds, lambda: f"for the end of {pids}"))


class Stopwatch:
    """Runs from its making on. Its two answers end it.

    A lower limit holds against :meth:`passed`, an upper one against :meth:`given`.
    """

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._given = 0.0
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def _count(self) -> None:
        now = time.monotonic()
        self._given += min(now - self._last, _LONGEST_BEAT_S)
        self._last = now

    def _beat(self) -> None:
        while not self._over.wait(_BEAT_S):
            self._count()

    def given(self) -> float:
        """Seconds in which this process was given a turn."""
        if not self._over.is_set():
            self._over.set()
            self._beating.join()
            self._count()
        return self._given

    def passed(self) -> float:
        """Seconds on the wall."""
        self.given()
        return self._last - self._began
