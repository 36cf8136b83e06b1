"""An append-only journal in generations: what happened since the last snapshot.

A snapshot of a service's state says which generation it covers; the journal is the generations after that one.
Starting a snapshot closes the open generation and opens the next, so a snapshot that never finishes costs nothing: its
generations are still there to be replayed. A record is written with one ``write`` before the answer goes out, so
``kill -9`` loses no answered request; a power cut may lose the last records, those since the last ``sync``.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Encode = Callable[[Any], Any]
Decode = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Replayed:
    """What opening a journal found.

    Attributes:
        records: Records handed to the reader.
        torn: Bytes of an unfinished last record that were cut off.
        damaged: Complete lines that could not be read and were skipped.
    """

    records: int
    torn: int
    damaged: int


class Journal:
    """The journal of one service.

    Args:
        folder: Where the generations are kept; made if absent.
        name: The service, first part of the file names.
        encode: Turns what JSON does not know into something it knows (``json.dumps(default=...)``).
        decode: Its inverse (``json.loads(object_hook=...)``).
    """

    def __init__(self, folder: Path, name: str, *, encode: Encode | None = None, decode: Decode | None = None) -> None:
        self._folder = folder
        self._name = name
        self._encode = encode
        self._decode = decode
        self._pattern = re.compile(re.escape(name) + r"\.(\d{8})\.journal")
        self._fd = -1
        self._broken_line = False
        self._synced = (0, 0)
        self.generation = 0
        self.size = 0
        self.error = ""

    def open(self, read: Callable[[dict[str, Any]], None], *, covered: int = 0) -> Replayed:
        """Replay what the last snapshot does not cover, then stand ready to append.

        Args:
            read: Called with each record in the order written.
            covered: The last generation inside the snapshot; older files are deleted.

        Raises:
            OSError: The folder cannot be read or written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        records = torn = damaged = 0
        self.generation = covered + 1
        for generation, path in self._files():
            if generation <= covered:
                path.unlink(missing_ok=True)
                continue
            content = path.read_bytes()
            complete = content.rfind(b"\n") + 1
            if complete < len(content):
                torn += len(content) - complete
                os.truncate(path, complete)
            for line in content[:complete].splitlines():
                if not line:
                    continue
                try:
                    record = json.loads(line, object_hook=self._decode)
                except ValueError:
                    damaged += 1
                    continue
                read(record)
                records += 1
            self.generation = generation
        self._start()
        return Replayed(records, torn, damaged)

    def append(self, record: Mapping[str, Any]) -> bool:
        """Write one record; false if the disk refused it (``error`` then says why, and a snapshot is due)."""
        line = json.dumps(record, default=self._encode, separators=(",", ":")).encode() + b"\n"
        if self._broken_line:
            line = b"\n" + line
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            self.error = str(error)
            return False
        self.size += written
        if written < len(line):  # a full disk may take a part: the next record then begins on a line of its own
            self._broken_line = True
            self.error = "the disk took only a part of a record"
            return False
        self._broken_line = False
        self.error = ""
        return True

    def rotate(self) -> int:
        """Close the open generation and open the next one.

        Returns:
            The closed generation, which a snapshot begun now covers.
        """
        closed = self.generation
        os.close(self._fd)
        self.generation += 1
        self._start()
        return closed

    def forget(self, covered: int) -> None:
        """Delete the generations that a finished snapshot covers."""
        for generation, path in self._files():
            if generation <= covered:
                path.unlink(missing_ok=True)
        self.size = sum(path.stat().st_size for _generation, path in self._files())

    def sync(self) -> None:
        """Ask the disk to keep what was written (guards against a power cut, not needed for ``kill -9``)."""
        os.fsync(self._fd)
        self._synced = (self.generation, self.size)

    async def sync_later(self) -> None:
        """The same off the event loop, if anything was written since."""
        state = (self.generation, self.size)
        if state == self._synced:
            return
        self._synced = state
        copy = os.dup(self._fd)  # the journal may be rotated meanwhile
        try:
            await asyncio.to_thread(os.fsync, copy)
        finally:
            os.close(copy)

    def close(self) -> None:
        """Close the open file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _start(self) -> None:
        path = self._folder / f"{self._name}.{self.generation:08d}.journal"
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = sum(path.stat().st_size for _generation, path in self._files())

    def _files(self) -> list[tuple[int, Path]]:
        found = []
        for path in self._folder.iterdir():
            match = self._pattern.fullmatch(path.name)
            if match:
                found.append((int(match.group(1)), path))
        return sorted(found)
