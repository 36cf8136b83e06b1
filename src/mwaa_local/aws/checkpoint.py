"""Snapshots of changed services, taken in a forked child so that no request waits for them.

``fork`` gives the child the memory of this very moment for the price of copying page tables (a few milliseconds); it
turns the state into files at its own pace and tells through a pipe what it wrote. The server's only stall is the fork.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import logging
import os
import signal
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mwaa_local.aws.host import Host
from mwaa_local.aws.journal import Journal
from mwaa_local.ground.lineage import signal_on_parent_death

log = logging.getLogger("mwaa_local.aws")

# No change waits longer than this for its snapshot to begin, unless a snapshot takes longer than that itself; seconds.
SOONEST, LATEST = 2.0, 5.0
_GIVE_UP = 60.0
# Services up to this size are looked at in every snapshot, because another service may have changed them; bytes.
_CHEAP = 1 << 20
# Services that put messages into queues by themselves.
_SENDERS = frozenset({"sns", "eventbridge", "scheduler", "pipes", "lambda", "stepfunctions", "iot", "cloudformation"})
# A journal is folded into a snapshot once it is larger than this and than the last snapshot; bytes.
_JOURNAL_LIMIT = 4 << 20


@dataclass
class Checkpoints:
    """Decides when a snapshot is due and takes it.

    Args:
        host: MiniStack.
        folder: Where the state files are, ``<service>.json`` in MiniStack's format.
        journals: Journals by the state name of the service they belong to.
    """

    host: Host
    folder: Path
    journals: dict[str, Journal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._dirty: set[str] = set()
        self._known: dict[str, list[int]] = {}  # state name -> [crc, size] of what is on disk
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._child = 0
        self._taking = asyncio.Lock()
        self._synced = 0.0
        self.last_finished = time.time()
        self.last_stall = 0.0
        self.longest_stall = 0.0
        self.last_seconds = 0.0
        self.error = ""

    # -- what has changed ----------------------------------------------------------------------------------------------

    def changed(self, service: str) -> None:
        """A service's state is no longer what is on disk; an empty name means any may be. Callable from any thread."""
        if self._loop is None:
            self._dirty.add(service)
            return
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            self._mark(service)
        else:
            self._loop.call_soon_threadsafe(self._mark, service)

    def _mark(self, service: str) -> None:
        self._dirty.add(service)
        self._wake.set()

    @property
    def pending(self) -> bool:
        """Something waits for a snapshot."""
        return bool(self._dirty) or any(self._outgrown(name) for name in self.journals)

    def covered(self, service: str) -> int:
        """The journal generation inside the service's state file, 0 if there is none."""
        path = self.folder / f"{service}.json"
        try:
            with path.open("rb") as file:
                head = file.read(64)
        except OSError:
            return 0
        # Written first in the file (see ``encode_state``), so the megabytes after it need not be read for it.
        start = head.find(b'"mwaa_local_journal": ')
        return int(head[start + 22 :].split(b",", 1)[0]) if start >= 0 else 0

    def _outgrown(self, service: str) -> bool:
        size = self._known.get(service, [0, 0])[1]
        return self.journals[service].size > max(_JOURNAL_LIMIT, size)

    # -- the loop ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take snapshots until cancelled."""
        self._loop = asyncio.get_running_loop()
        for name in self.journals:
            path = self.folder / f"{name}.json"
            if path.exists():
                self._known[name] = [0, path.stat().st_size]
        begun = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 1.0)  # journals grow without waking us
            if not self.pending:
                self._wake.clear()
                self.host.start_tickers()
                await self._sync()
                continue
            pause = min(max(SOONEST, 10 * self.last_seconds), max(1.0, LATEST - self.last_seconds))
            await asyncio.sleep(max(0.0, begun + pause - time.monotonic()))
            begun = time.monotonic()
            await self.take()

    async def _sync(self) -> None:
        """Have the disk keep the journals, now and then: for a power cut; a kill needs no such thing."""
        if time.monotonic() - self._synced < LATEST:
            return
        self._synced = time.monotonic()
        for journal in self.journals.values():
            await journal.sync_later()

    async def take(self, *, everything: bool = False) -> bool:
        """Take one snapshot now.

        Args:
            everything: Fold the journals in as well, and look at every service.

        Returns:
            Whether all that was to be written is on disk.
        """
        async with self._taking:
            return await self._take(everything=everything)

    async def _take(self, *, everything: bool) -> bool:
        self._wake.clear()
        dirty, self._dirty = self._dirty, set()
        functions = self.host.state_functions()
        if everything or "" in dirty:
            chosen = set(functions)
        else:
            chosen = dirty | {
                name for name in functions if name not in self.journals and self._known.get(name, [0, 0])[1] <= _CHEAP
            }
            chosen |= {name for name in self.journals if self._outgrown(name)}
            if dirty & _SENDERS or (dirty and self._known.get("sqs", [0, 0])[1] <= _CHEAP):
                chosen.add("sqs")  # others put messages into queues behind the journal's back
        chosen &= set(functions)
        begun = time.monotonic()
        covers = {name: journal.rotate() for name, journal in self.journals.items() if name in chosen}
        done = asyncio.get_running_loop().create_future()
        pipe = self._fork({name: functions[name] for name in sorted(chosen)}, covers)
        self.last_stall = time.monotonic() - begun
        self.longest_stall = max(self.longest_stall, self.last_stall)
        heard = bytearray()

        def hear() -> None:
            part = os.read(pipe, 65536)
            heard.extend(part)
            if not part and not done.done():
                done.set_result(None)

        asyncio.get_running_loop().add_reader(pipe, hear)
        try:
            await asyncio.wait_for(asyncio.shield(done), _GIVE_UP)
        except TimeoutError:
            os.kill(self._child, signal.SIGKILL)
        finally:
            asyncio.get_running_loop().remove_reader(pipe)
            os.close(pipe)
            _reap(self._child)
            self._child = 0
        self.last_seconds = time.monotonic() - begun
        return self._learn(bytes(heard), chosen, covers)

    def _learn(self, heard: bytes, chosen: set[str], covers: dict[str, int]) -> bool:
        try:
            report = json.loads(heard)
        except ValueError:
            report = {"written": {}, "failed": dict.fromkeys(chosen, "the snapshot's process ended early")}
        self._known.update(report["written"])
        for name in covers:
            if name in report["written"]:
                self.journals[name].forget(covers[name])
        failed = report["failed"]
        self.error = "; ".join(f"{name}: {why}" for name, why in failed.items())
        if failed:
            log.warning("a snapshot failed, the next one tries again: %s", self.error)
            self._dirty |= set(failed)
        else:
            self.last_finished = time.time()
        return not failed

    # -- the child -----------------------------------------------------------------------------------------------------

    def _fork(self, functions: dict[str, Callable[[], Any]], covers: dict[str, int]) -> int:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # "multi-threaded": the child runs plain Python and ends
            pid = os.fork()
        if pid:
            os.close(writing)
            self._child = pid
            return reading
        status = 1
        try:
            self._in_child(writing, functions, covers)
            status = 0
        finally:
            os._exit(status)

    def _in_child(self, writing: int, functions: dict[str, Callable[[], Any]], covers: dict[str, int]) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        # A late child must never write over the files of the next server, nor keep its port.
        signal_on_parent_death(signal.SIGKILL)
        signal.alarm(int(_GIVE_UP))  # a lock that another thread held at the fork is held for ever here
        os.closerange(3, writing)
        os.closerange(writing + 1, 4096)
        os.nice(5)
        logging.disable(logging.CRITICAL)
        # The services copy their state so that nobody changes it under the writer. Here nobody can.
        copy.deepcopy = lambda value, memo=None, _nil=None: value  # type: ignore[assignment]
        written: dict[str, list[int]] = {}
        failed: dict[str, str] = {}
        for name, state_of in functions.items():
            try:
                state = state_of()
                if state is None:
                    continue
                extra = {"mwaa_local_journal": covers[name]} if name in covers else {}
                content = self.host.encode_state(name, state, extra)
                crc = zlib.crc32(content)
                if self._known.get(name, [0, 0])[0] != crc or name in covers:
                    write_atomically(self.folder / f"{name}.json", content)
                written[name] = [crc, len(content)]
            except Exception as error:  # noqa: BLE001 - whatever a service's state function raises is reported
                failed[name] = f"{type(error).__name__}: {error}"
        report = json.dumps({"written": written, "failed": failed}).encode()
        while report:
            report = report[os.write(writing, report) :]


def write_atomically(path: Path, content: bytes) -> None:
    """Put content at a path so that a reader, or a start after a crash, sees the old file or the new one.

    Raises:
        OSError: The disk refused it; the old file stands and nothing half-written lies beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
