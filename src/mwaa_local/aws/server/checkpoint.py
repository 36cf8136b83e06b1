"""Snapshots of changed services: of small ones before the request is answered, of large ones in a forked child.

A service whose whole state is a few pages is written at once (``kept``): what its caller is told is stored, is. The
large ones have journals, or wait for the child. ``fork`` gives the child the memory of this very moment for the price
of copying page tables (a few milliseconds); it turns the state into files at its own pace and tells through a pipe
what it wrote. The server's only stall is the fork.
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

from mwaa_local.aws.server import statefiles
from mwaa_local.aws.server.host import Host
from mwaa_local.aws.server.journal import Journal
from mwaa_local.ground import atomic, disk
from mwaa_local.ground.lineage import signal_on_parent_death

log = logging.getLogger("mwaa_local.aws")

# No change waits longer than this for its snapshot to begin, unless a snapshot takes longer than that itself; seconds.
SOONEST, LATEST = 2.0, 5.0
# Queue messages, log events and objects are safe from a power cut this long after the answer, seconds.
SYNC = 1.0
_GIVE_UP = 60.0
# A service's state up to this size is written before a request that changed it is answered, on the event loop; up to
# the next, by a child that the request waits for; a larger one is written within LATEST after the answer. Bytes.
SMALL, AWAITED = 128 << 10, 8 << 20
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
        self._writing: dict[str, asyncio.Lock] = {}
        self._asked: dict[str, int] = {}
        self._written: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self.last_finished = time.time()
        self.last_stall = 0.0
        self.longest_stall = 0.0
        self.last_seconds = 0.0

    @property
    def error(self) -> str:
        """Why services are not on disk as they are in memory; empty when they are."""
        return "; ".join(f"{name}: {why}" for name, why in self._failed.items())

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
        return statefiles.covered(self.folder, service)

    def _outgrown(self, service: str) -> bool:
        return self.journals[service].size > max(_JOURNAL_LIMIT, self._size(service))

    # -- the loop ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take snapshots until cancelled."""
        self._loop = asyncio.get_running_loop()
        for name in statefiles.services(self.folder):
            self._known[name] = [0, (self.folder / f"{name}.json").stat().st_size]
        begun = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 1.0)  # journals grow without waking us
            if not self.pending:
                self._wake.clear()
                self.host.start_tickers()
                continue
            pause = min(max(SOONEST, 10 * self.last_seconds), max(1.0, LATEST - self.last_seconds))
            await asyncio.sleep(max(0.0, begun + pause - time.monotonic()))
            begun = time.monotonic()
            await self.take()

    async def keep_syncing(self) -> None:
        """Have the disk keep journals and objects, for a power cut, until cancelled; a kill needs no such thing.

        Waiting for the disk before every answer would cost a third of the queue's rate.
        """
        while True:
            await asyncio.sleep(SYNC)
            for journal in self.journals.values():
                await journal.synced()
            files, self.host.unsynced = self.host.unsynced, set()
            if files:
                await asyncio.to_thread(_sync_files, files)

    # -- before the answer ---------------------------------------------------------------------------------------------

    async def kept(self, service: str) -> str:
        """Have what a request changed in a service on the disk; requests that wait together cost one write.

        Args:
            service: Its state name.

        Returns:
            Why it is not kept; empty if it is, or if it is too large to be waited for.
        """
        size = self._size(service)
        if size > AWAITED:
            self.changed(service)
            return ""
        if service in _SENDERS:  # and what it put into queues
            self._dirty.add("sqs")
        if size > SMALL or service in _SENDERS or service in self.journals:
            self._dirty.add(service)
            async with self._taking:
                if service in self._dirty:  # else a snapshot that began after the change has it already
                    await self._take(everything=False)
            return self._failed.get(service, "")
        number = self._asked[service] = self._asked.get(service, 0) + 1
        async with self._writing.setdefault(service, asyncio.Lock()):
            if self._written.get(service, 0) < number:
                covers = self._asked[service]
                await self._write_small(service)
                self._written[service] = covers
            return self._failed.get(service, "")

    def _size(self, service: str) -> int:
        return self._known.get(service, [0, 0])[1]

    async def _write_small(self, service: str) -> None:
        """Write one service from here. The caller holds its lock."""
        function = self.host.state_functions().get(service)
        try:
            state = function() if function is not None else None
            if state is None:
                return
            content = self.host.encode_state(service, state, {})
            crc = zlib.crc32(content)
            if self._known.get(service, [0, 0])[0] != crc:
                await asyncio.to_thread(statefiles.write, self.folder, service, content)
            self._known[service] = [crc, len(content)]
        except Exception as error:  # noqa: BLE001 - whatever a service's state function raises is reported
            self._failed[service] = f"{type(error).__name__}: {error}"
            self._dirty.add(service)
            log.warning("a state file cannot be written, the next snapshot tries again: %s", self.error)
        else:
            self._failed.pop(service, None)

    async def usable(self) -> str:
        """Whether a disk that refused something takes it now: before more is changed that could not be kept.

        Returns:
            Why not; empty if it does.
        """
        if not self._failed and not any(journal.error for journal in self.journals.values()):
            return ""
        try:
            await asyncio.to_thread(atomic.replace, self.folder / ".usable", b"?" * 4096)
        except OSError as error:
            return str(error)
        for name in [*self._failed, *(name for name, journal in self.journals.items() if journal.error)]:
            self.changed(name)
        return ""

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
            chosen = dirty | {name for name in functions if name not in self.journals and self._size(name) <= _CHEAP}
            chosen |= {name for name in self.journals if self._outgrown(name)}
            if dirty & _SENDERS or (dirty and self._size("sqs") <= _CHEAP):
                chosen.add("sqs")  # others put messages into queues behind the journal's back
        chosen &= set(functions)
        small = {name for name in chosen if name not in self.journals and self._size(name) <= SMALL}
        for name in sorted(small):
            async with self._writing.setdefault(name, asyncio.Lock()):
                await self._write_small(name)
        chosen -= small
        if not chosen:
            return self._settled()
        covers = {}
        for name in [name for name in self.journals if name in chosen]:
            try:
                covers[name] = self.journals[name].rotate()
            except OSError as error:
                self._failed[name] = f"{type(error).__name__}: {error}"
                self._dirty.add(name)
                chosen.discard(name)
        if not chosen:
            return self._settled()
        begun = time.monotonic()
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
                before = statefiles.covered(self.folder, name, statefiles.BEFORE)
                self.journals[name].forget(covers[name], before=before)
        for name in report["written"]:
            self._failed.pop(name, None)
        self._failed.update(report["failed"])
        self._dirty |= set(report["failed"])
        return self._settled()

    def _settled(self) -> bool:
        """Whether all that was to be written is on disk; what is not is said, and tried again."""
        if self._failed:
            log.warning("a snapshot failed, the next one tries again: %s", self.error)
        else:
            self.last_finished = time.time()
        return not self._failed

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
                    statefiles.write(self.folder, name, content)
                written[name] = [crc, len(content)]
            except Exception as error:  # noqa: BLE001 - whatever a service's state function raises is reported
                failed[name] = f"{type(error).__name__}: {error}"
        report = json.dumps({"written": written, "failed": failed}).encode()
        while report:
            report = report[os.write(writing, report) :]


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _sync_files(paths: set[Path]) -> None:
    """Have the disk keep files and the names they have in their folders; what is gone again needs nothing."""
    for path in sorted({*paths, *(path.parent for path in paths)}):
        with contextlib.suppress(OSError):
            disk.sync_folder(path)
