"""Keeps one environment's components running: ``python -m mwaa_local.engines.process.keeper --state DIR``.

Detached from the command that started it. Reads ``plan.json``; writes ``keeper.json``; SIGHUP reads the plan again and
applies differences; SIGTERM stops everything in order, a second one in a hurry. Every component dies with it, so that
no end of it, however rude, leaves an orphan.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mwaa_local.engines import plan
from mwaa_local.engines.process.component import Kept, Surroundings
from mwaa_local.engines.process.slots import Slots, cores
from mwaa_local.errors import MwaaLocalError
from mwaa_local.ground import atomic, lineage, locks, processes

PLAN, REPORT, LOCK = "plan.json", "keeper.json", "keeper.lock"
# How often the keeper looks whether its lock is still there, seconds.
_LOCK_SECONDS = 1.0
_BLOCK = 4096
BUSY = 3  # exit code: another keeper has this environment


class Keeper:
    """The loop over all components of one environment.

    Args:
        state: The environment's folder.
        first: The plan to begin with.
        lock: The descriptor that holds the environment's lock.
    """

    def __init__(self, state: Path, first: plan.Plan, lock: int | None = None) -> None:
        self._state = state
        self._lock = lock
        self._plan = first
        self._applied = ""
        self._kept: dict[str, Kept] = {}
        self._change = asyncio.Event()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._hurry = asyncio.Event()
        self._report_due = False
        self._started_at = time.time()
        self._around = Surroundings(
            state=state,
            base_env=dict(first.base_env),
            changed=self._changed,
            healthy=lambda name: name in self._kept and self._kept[name].state == "healthy",
            wait_change=self._wait_change,
            slots=Slots(cores()),
        )

    async def run(self) -> None:
        """Keep everything until told to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        await self._apply()
        watching = asyncio.create_task(self._hold_lock())
        while not self._stop.is_set():
            waits = [asyncio.ensure_future(event.wait()) for event in (self._stop, self._reload)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if self._reload.is_set() and not self._stop.is_set():
                self._reload.clear()
                self._read_again()
                await self._apply()
        watching.cancel()
        await self._end(self._kept.values())
        self._report()

    async def _hold_lock(self) -> None:
        """Whoever removes the lock's file must not let a second keeper in beside this one."""
        while True:
            await asyncio.sleep(_LOCK_SECONDS)
            if self._lock is None or _is_lock(self._state, self._lock):
                continue
            again = take_lock(self._state)
            if again is None:
                print("another keeper has taken this environment", file=sys.stderr, flush=True)
                self._hurry.set()
                self._stop.set()
                return
            print(f"{LOCK} was removed: made again", file=sys.stderr, flush=True)
            os.close(self._lock)
            self._lock = again
            self._report()

    # -- signals -------------------------------------------------------------------------------------------------------

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _reap(self) -> None:
        """Collect every child, also those we inherited from a component that was killed."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            future = self._around.exits.pop(pid, None)
            if future is not None:
                future.set_result(os.waitstatus_to_exitcode(status))

    # -- plan ----------------------------------------------------------------------------------------------------------

    def _read_again(self) -> None:
        try:
            found = plan.read(self._state / PLAN)
        except MwaaLocalError as error:
            print(error, file=sys.stderr, flush=True)
            return
        if found is not None:
            self._plan = found
            self._around.base_env = dict(found.base_env)

    async def _apply(self) -> None:
        """Make what runs equal to the plan, touching only what differs."""
        wanted = {item.name: item for item in self._plan.components}
        going = [
            kept
            for name, kept in self._kept.items()
            if name not in wanted or wanted[name].digest != kept.plan.digest or self._must_run_again(kept)
        ]
        await self._end(going, restart=wanted)
        for name, item in wanted.items():
            if name in self._kept:
                self._kept[name].plan = item
            else:
                self._kept[name] = Kept(item, self._around)
                self._kept[name].begin()
        self._applied = self._plan.generation
        self._changed()

    @staticmethod
    def _must_run_again(kept: Kept) -> bool:
        """A plan given again is a wish to try again: what waits in a long back-off starts now."""
        return kept.state == "failed" or (kept.state == "restarting" and kept.pid is None)

    async def _end(self, going: Iterable[Kept], restart: dict[str, plan.Component] | None = None) -> None:
        """Stop components, lower ranks first; those in ``restart`` begin again as soon as they ended."""
        ranks: dict[int, list[Kept]] = {}
        for kept in going:
            ranks.setdefault(kept.plan.stop_rank, []).append(kept)

        jobs: list[Kept] = []

        async def one(kept: Kept) -> None:
            await kept.stop(self._hurry)
            name = kept.plan.name
            if restart is None:
                return
            del self._kept[name]
            if name in restart and not self._stop.is_set():
                self._kept[name] = Kept(restart[name], self._around)
                # A migration must not meet what still runs on the old schema: jobs begin when all others have ended.
                if restart[name].kind == "job":
                    jobs.append(self._kept[name])
                else:
                    self._kept[name].begin()

        for rank in sorted(ranks):
            await asyncio.gather(*(one(kept) for kept in ranks[rank]))
        for job in jobs:
            job.begin()

    # -- report --------------------------------------------------------------------------------------------------------

    async def _wait_change(self) -> None:
        await self._change.wait()

    def _changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()
        if not self._report_due:
            self._report_due = True
            asyncio.get_running_loop().call_soon(self._report)

    def _report(self) -> None:
        self._report_due = False
        value = {
            "pid": os.getpid(),
            "tool": self._plan.tool,
            "started_at": self._started_at,
            "updated_at": time.time(),
            "generation": self._applied,
            "stopping": self._stop.is_set(),
            "components": {name: kept.as_dict() for name, kept in self._kept.items()},
        }
        try:
            write_report(self._state / REPORT, value)
        except MwaaLocalError as error:  # a full disk must not end the environment
            print(error, file=sys.stderr, flush=True)


def write_report(path: Path, value: dict[str, Any]) -> None:
    """Replace the report; on a full disk, where `status` matters most, write into the blocks that it has already.

    Raises:
        MachineError: Not even that is possible.
    """
    text = json.dumps(value, indent=1, sort_keys=True).encode()
    try:
        # With room behind it for the longer words of a component that is unwell.
        atomic.replace(path, text.ljust((len(text) // _BLOCK + 2) * _BLOCK), durable=False)
    except OSError as error:
        try:
            if len(text) > path.stat().st_size:
                raise atomic.disk_error(error, path) from error
            with path.open("r+b") as file:
                file.write(text.ljust(path.stat().st_size))
        except OSError:
            raise atomic.disk_error(error, path) from error


def take_lock(state: Path) -> int | None:
    """The descriptor that holds the environment's lock; ``None`` when another keeper has it."""
    try:
        descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    if not locks.try_lock(descriptor):
        os.close(descriptor)
        return None
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _is_lock(state: Path, descriptor: int) -> bool:
    """Whether the lock's file is still the one that we hold."""
    try:
        there, held = (state / LOCK).stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)


def wait_for_leftovers(state: Path, seconds: float = 3.0) -> None:
    """Let what an earlier, killed keeper left behind end by itself, then kill the rest."""
    end = time.monotonic() + seconds
    while processes.marked(f"{state}|") and time.monotonic() < end:
        time.sleep(0.02)
    processes.sweep(f"{state}|")


def main(arguments: list[str] | None = None) -> int:
    """Entry point; see the module's text."""
    parser = argparse.ArgumentParser(prog=__spec__.name, description="Keeps an environment running.")
    parser.add_argument("--state", type=Path, required=True, help="folder of the environment")
    state = parser.parse_args(arguments).state.resolve()
    lock = take_lock(state)
    if lock is None:
        print(f"another keeper has {state}", file=sys.stderr)
        return BUSY
    lineage.become_subreaper()
    try:
        first = plan.read(state / PLAN)
        if first is None:
            print(f"there is no plan in {state}", file=sys.stderr)
            return 1
        wait_for_leftovers(state)
        asyncio.run(Keeper(state, first, lock).run())
    except MwaaLocalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
