"""The life of one component under the keeper: wait, start, ask, restart, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mwaa_local.engines.plan import Component
from mwaa_local.engines.process import postgres, probes
from mwaa_local.engines.process.console import ConsoleLog
from mwaa_local.engines.process.slots import Slots
from mwaa_local.engines.protocol import State
from mwaa_local.ground import atomic, processes
from mwaa_local.runtime import crash

BACK_OFF = (0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
STABLE_SECONDS = 120.0
# How often a component is asked: until it is well, while it is well, after it once was not.
PROBE_FAST, PROBE_SLOW, PROBE_AGAIN = 0.1, 5.0, 1.0
KILL_SECONDS = 5.0
FAILURES_TO_UNHEALTHY = 3
_EXITS_KEPT = 10


@dataclass
class Surroundings:
    """What the keeper gives every component.

    Attributes:
        state: The environment's folder; also the beginning of every process's mark.
        base_env: Variables below each component's own.
        changed: Called after every change that others may wait for or want to see.
        healthy: Whether the component of that name is.
        wait_change: Returns after the next change of any component.
        exits: Process id to the future that its exit code ends.
        slots: Limits how many heavy components start at once.
    """

    state: Path
    base_env: dict[str, str]
    changed: Callable[[], None]
    healthy: Callable[[str], bool]
    wait_change: Callable[[], Awaitable[None]]
    slots: Slots
    exits: dict[int, asyncio.Future[int]] = field(default_factory=dict)


def _exit(code: int, seconds: float, was_healthy: bool, why: str, error: dict[str, Any] | None) -> dict[str, Any]:
    """One end of a component, as ``keeper.json`` tells it."""
    return {
        "at": time.time(),
        "code": code,
        "seconds": round(seconds, 2),
        "was_healthy": was_healthy,
        "why": why,
        "error": error,
    }


def _nothing() -> None:
    """What a component without a slot gives back."""


@contextlib.contextmanager
def _calling(give_back: Callable[[], None]) -> Iterator[Callable[[], None]]:
    try:
        yield give_back
    finally:
        give_back()


class Kept:
    """One component being kept.

    Args:
        plan: What it shall be.
        around: What the keeper gives.
    """

    def __init__(self, plan: Component, around: Surroundings) -> None:
        self.plan = plan
        self._around = around
        self.state: State = "starting"
        self.detail = ""
        self.pid: int | None = None
        self.started_at: float | None = None
        self.healthy_at: float | None = None
        self.restarts = 0
        self.exits: deque[dict[str, Any]] = deque(maxlen=_EXITS_KEPT)
        self._starts = 0
        self._failures_in_row = 0
        self._task: asyncio.Task[None] | None = None
        self._exit: asyncio.Future[int] | None = None
        self._stopping = False
        self._log: ConsoleLog | None = None
        self._give_back: Callable[[], None] = _nothing

    # -- what the keeper asks ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start keeping it."""
        self._stopping = False
        self._task = asyncio.get_running_loop().create_task(self._live(), name=self.plan.name)

    def as_dict(self) -> dict[str, Any]:
        """Its member of ``keeper.json``."""
        return {
            "state": self.state,
            "detail": self.detail,
            "pid": self.pid,
            "started_at": self.started_at,
            "healthy_at": self.healthy_at,
            "restarts": self.restarts,
            "exits": list(self.exits),
            "digest": self.plan.digest,
            "kind": self.plan.kind,
        }

    async def stop(self, hurry: asyncio.Event) -> None:
        """End it: its signal, its time, then a kill of everything it started.

        Args:
            hurry: When set, the wait is cut to a few seconds.
        """
        self._stopping = True
        if self._exit is not None and self.pid is not None:
            self._set(self.state, "stopping")
            exited = self._exit
            processes.kill([self.pid], self.plan.stop_signal)
            waits: list[asyncio.Future[Any]] = [exited, asyncio.ensure_future(hurry.wait())]
            await asyncio.wait(waits, timeout=self.plan.stop_seconds, return_when=asyncio.FIRST_COMPLETED)
            waits[1].cancel()
            if not exited.done():
                await asyncio.wait([exited], timeout=min(3.0, self.plan.stop_seconds) if hurry.is_set() else 0.01)
            if not exited.done():
                self._set(self.state, f"killed: did not end within {self.plan.stop_seconds:.0f} s")
                processes.kill(processes.tree([self.pid]))
                await asyncio.wait([exited], timeout=KILL_SECONDS)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self.pid is not None:
            self._ended(0)
        self._set("stopped", "")

    # -- its life ------------------------------------------------------------------------------------------------------

    def _set(self, state: State, detail: str) -> None:
        if state != self.state:
            now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
            # The keeper's own log: one line for each turn of a component's life.
            print(f"{now} {self.plan.name}: {state}{f' ({detail})' if detail else ''}", flush=True)
        if (state, detail) != (self.state, self.detail):
            self.state, self.detail = state, detail
            self._around.changed()

    async def _live(self) -> None:
        while not self._stopping:
            try:
                if await self._once():
                    return
            except Exception as error:  # noqa: BLE001 - whatever goes wrong with one component, it is kept all the same
                traceback.print_exc()
                self._failures_in_row += 1
                self.exits.append(_exit(126, 0.0, False, f"could not be kept: {error}", None))
                self._set("failed", str(error))
            await self._pause()

    async def _once(self) -> bool:
        """From waiting to the end of one process; whether that was all."""
        if self.plan.kind == "outside":
            await self._look()
            return True
        await self._needs()
        if await self._need_not_run():
            return True
        with contextlib.ExitStack() as stack:
            if self.plan.heavy:
                self._set(self.state, "waits for a core")
                self._give_back = stack.enter_context(_calling(await self._around.slots.take(self.plan.heavy)))
            if not await self._start():
                return False
            code = await self._watch()
        if not self._stopping and self.plan.kind == "job" and code == 0:
            self._set("healthy", "done")
            return True
        return self._stopping

    async def _needs(self) -> None:
        while missing := [name for name in self.plan.needs if not self._around.healthy(name)]:
            self._set(self.state, f"waits for {', '.join(missing)}")
            await self._around.wait_change()

    async def _need_not_run(self) -> bool:
        if self.plan.skip is None:
            return False
        behind = await asyncio.to_thread(probes.ask, self.plan.skip, probes.Memory(0, 0.0))
        if behind:
            return False
        self._set("healthy", "nothing to do")
        return True

    async def _start(self) -> bool:
        mark = f"{self._around.state}|{self.plan.name}|"
        # What an earlier process left running would fight with the new one: a killed parent's children, say.
        if self._starts or self.plan.kind == "service":
            await asyncio.to_thread(processes.sweep, mark)
        if self.plan.probe.get("kind") == "postgres" and "-D" in self.plan.argv:
            data = Path(self.plan.argv[self.plan.argv.index("-D") + 1])
            postgres.Cluster(data, self.plan.identity, data).clear_stale()
        self._starts += 1
        env = {**self._around.base_env, **self.plan.env, processes.MARK: f"{mark}{self._starts}"}
        read_end, write_end = os.pipe2(os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        began = time.time()
        try:
            child = subprocess.Popen(
                postgres.launched(self.plan.identity, self.plan.argv, parent=os.getpid()),
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                env=env,
                cwd=self.plan.cwd,
                start_new_session=True,
            )
        except OSError as error:
            os.close(read_end)
            self._record(126, f"cannot be started: {error}")
            return False
        finally:
            os.close(write_end)
        self.pid, self.started_at, self.healthy_at = child.pid, began, None
        # Signals are handled between two steps of this loop, so the child cannot have been collected yet.
        self._exit = self._around.exits[child.pid] = asyncio.get_running_loop().create_future()
        # The keeper reaps every child itself; Popen must not try to.
        self._exit.add_done_callback(lambda done: setattr(child, "returncode", done.result()))
        self._read(read_end)
        self._set("restarting" if self.restarts else "starting", "started")
        self._around.changed()
        return True

    def _read(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        if self._log is None:
            self._log = ConsoleLog(self._around.state / "logs" / f"{self.plan.name}.log")
        log = self._log
        os.set_blocking(descriptor, False)

        def ready() -> None:
            try:
                data = os.read(descriptor, 1 << 16)
            except BlockingIOError:
                return
            if data:
                log.write(data)
            else:
                loop.remove_reader(descriptor)
                os.close(descriptor)

        loop.add_reader(descriptor, ready)

    async def _watch(self) -> int:
        """Ask it until it ends; returns its exit code."""
        assert self._exit is not None and self.pid is not None and self.started_at is not None
        exited, memory = self._exit, probes.Memory(self.pid, self.started_at)
        failures = 0
        while not exited.done():
            if self.plan.kind == "service":
                said = await self._ask(memory)
                if exited.done() or self._stopping:
                    break  # what it answers while it ends is no news of its health
                failures = self._judge(said, failures)
            slow = self.plan.kind == "job" or (self.state == "healthy" and not failures)
            await asyncio.wait([exited], timeout=PROBE_SLOW if slow else PROBE_FAST if not failures else PROBE_AGAIN)
        code = await exited
        if not self._stopping:
            self._ended(code)
        return code

    async def _look(self) -> None:
        """Ask something that another keeper keeps, for as long as it is needed."""
        memory, failures = probes.Memory(0, time.time()), 0
        while not self._stopping:
            failures = self._judge(await self._ask(memory), failures)
            healthy = self.state == "healthy" and not failures
            await asyncio.sleep(PROBE_SLOW if healthy else PROBE_AGAIN if failures else PROBE_FAST)

    def _judge(self, said: str, failures: int) -> int:
        """Take an answer of its probe; returns how many in a row were bad since it was well."""
        if not said:
            self.healthy_at = self.healthy_at or time.time()
            self._give_back()
            self._set("healthy", "")
            return 0
        if self.healthy_at is None:
            self._set(self.state, said)
            return 0
        if failures + 1 >= FAILURES_TO_UNHEALTHY:
            self._set("unhealthy", said)
        return failures + 1

    async def _ask(self, memory: probes.Memory) -> str:
        if self.plan.probe.get("kind", "none") in probes.QUICK:
            return probes.ask(self.plan.probe, memory)
        return await asyncio.to_thread(probes.ask, self.plan.probe, memory)

    def _ended(self, code: int) -> None:
        mark = f"{self._around.state}|{self.plan.name}|"
        started, self.pid, self._exit = self.started_at or time.time(), None, None
        processes.sweep(mark, seconds=2.0)
        processes.kill_adopted(self._around.exits)
        if self.plan.kind == "job" and code == 0:
            return
        if self._stopping:
            return
        seconds = time.time() - started
        if self.healthy_at is not None and seconds >= STABLE_SECONDS:
            self._failures_in_row = 0
        self._record(code, "", seconds)

    def _record(self, code: int, why: str, seconds: float = 0.0) -> None:
        error, cause = self._told()
        name = signal.Signals(-code).name if -code in {int(item) for item in signal.Signals} else ""
        words = why or (f"was killed by {name}" if name else f"ended with exit code {code}")
        words += f": {cause}" if cause else ""
        self.exits.append(_exit(code, seconds, self.healthy_at is not None, words, error))
        self._failures_in_row += 1
        fatal = error is not None or self._failures_in_row >= 3
        self._set("failed" if fatal or self.plan.kind == "job" else "restarting", words)

    def _told(self) -> tuple[dict[str, Any] | None, str]:
        """The runtime's own words: why the boot failed or a process died, and for the latter the cause in one line."""
        status = (atomic.read_json(Path(self.plan.run_dir) / "status.json") if self.plan.run_dir else None) or {}
        if float(status.get("started_epoch") or 0.0) < (self.started_at or 0.0):
            return None, ""  # of the boot before: this one ended before it could say anything
        error, last = status.get("error"), status.get("crash")
        return (dict(error), crash.sentence(last) if last else "") if error else (None, "")

    async def _pause(self) -> None:
        delay = BACK_OFF[min(self._failures_in_row, len(BACK_OFF)) - 1]
        self._set(self.state, f"{self.exits[-1]['why']}; starts again in {delay:g} s")
        await asyncio.sleep(delay)
        self.restarts += 1
