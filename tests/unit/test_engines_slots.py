"""How many heavy starts go on at once, and which comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mwaa_local.engines.process.slots import Slots


class Starts:
    """Records which starts got their slot."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.begun: list[str] = []
        self.back: dict[str, Callable[[], None]] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def ask(self, name: str, rank: int) -> None:
        self.tasks[name] = asyncio.create_task(self._one(name, rank))

    async def _one(self, name: str, rank: int) -> None:
        self.back[name] = await self.slots.take(rank)
        self.begun.append(name)


async def settle() -> None:
    await asyncio.sleep(0.06)


def test_lower_ranks_first_whatever_the_order_of_asking() -> None:
    async def scene() -> None:
        starts = Starts(Slots(2, hold_seconds=60))
        for name, rank in (("scheduler", 3), ("worker", 2), ("webserver", 1), ("worker-2", 4)):
            starts.ask(name, rank)
        await settle()
        assert starts.begun == ["webserver", "worker"]
        starts.back["worker"]()
        starts.back["worker"]()  # given back once, however often it is called
        await settle()
        assert starts.begun == ["webserver", "worker", "scheduler"]
        starts.back["webserver"]()
        await settle()
        assert starts.begun[-1] == "worker-2"

    asyncio.run(scene())


def test_a_slot_is_not_held_for_ever() -> None:
    async def scene() -> None:
        starts = Starts(Slots(1, hold_seconds=1.0))
        starts.ask("stuck", 1)
        await settle()
        starts.ask("next", 2)
        await settle()
        assert starts.begun == ["stuck"]
        async with asyncio.timeout(10):
            while starts.begun == ["stuck"]:
                await asyncio.sleep(0.01)
        assert starts.begun == ["stuck", "next"]
        starts.back["stuck"]()  # too late to count a second time
        starts.ask("third", 3)
        await settle()
        assert starts.begun == ["stuck", "next"]

    asyncio.run(scene())


def test_who_stops_waiting_costs_nobody_a_slot() -> None:
    async def scene() -> None:
        starts = Starts(Slots(1, hold_seconds=60))
        starts.ask("first", 1)
        await settle()
        starts.ask("gone", 2)
        starts.ask("last", 3)
        await settle()
        starts.tasks["gone"].cancel()
        await settle()
        starts.back["first"]()
        await settle()
        assert starts.begun == ["first", "last"]

    asyncio.run(scene())


def test_every_core_is_used() -> None:
    async def scene() -> None:
        starts = Starts(Slots(8, hold_seconds=60))
        for number in range(3):
            starts.ask(str(number), number + 1)
        await settle()
        assert len(starts.begun) == 3

    asyncio.run(scene())
