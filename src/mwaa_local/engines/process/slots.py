"""Who may use the machine's cores while starting.

Airflow imports for seconds on one core. More of these imports at once than there are cores slow each other down, and
the longest, the web server's, decides when an environment is ready. So as many as there are cores start together, and
each next one when another has answered.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
from collections.abc import Callable

HOLD_SECONDS = 8.0
"""A start that takes longer waits for something else than a core: an installer, a slow disk."""
_GATHER_SECONDS = 0.02  # what becomes ready by the same event asks within this time, in no particular order


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Slots:
    """A number of starts that may go on at once.

    Args:
        number: How many.
        hold_seconds: A slot is given back after this time at the latest.
    """

    def __init__(self, number: int, *, hold_seconds: float = HOLD_SECONDS) -> None:
        self._free = max(1, number)
        self._hold_seconds = hold_seconds
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    async def take(self, rank: int) -> Callable[[], None]:
        """Wait for a slot; lower ranks first, then whoever asked first.

        Returns:
            What gives the slot back; it may be called more than once.
        """
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._waiting, (rank, next(self._arrivals), turn))
        loop.call_later(_GATHER_SECONDS, self._hand_out)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was handed out to someone who is gone
                self._free += 1
                self._hand_out()
            raise
        given = False

        def give_back() -> None:
            nonlocal given
            if not given:
                given = True
                timer.cancel()
                self._free += 1
                self._hand_out()

        timer = loop.call_later(self._hold_seconds, give_back)
        return give_back

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():  # who waited may have been stopped
                self._free -= 1
                turn.set_result(None)
