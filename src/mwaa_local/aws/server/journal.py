"""An append-only journal in generations: what happened since the last snapshot.

A snapshot of a service's state says which generation it covers; the journal is the generations after that one.
Starting a snapshot closes the open generation and opens the next, so a snapshot that never finishes costs nothing: its
generations are still there to be replayed. A record is written with one ``write`` before the answer goes out, so
``kill -9`` loses no answered request; ``synced`` waits until a power cut loses none either.

A line is a checksum, a blank, and the record as JSON. An unfinished last line is what a kill leaves, and nobody was
answered: it is cut off. Any other line that cannot be read was once whole, as was a generation that is missing:
opening refuses, changes nothing, and ``DamagedError`` names each.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mwaa_local.ground import atomic, disk
from mwaa_local.ground.damage import Damage, DamagedError

Encode = Callable[[Any], Any]
Decode = Callable[[dict[str, Any]], Any]
SEAL = "seal"


@dataclass(frozen=True)
class Replayed:
    """What opening a journal found.

    Attributes:
        records: Records handed to the reader.
        torn: Bytes of an unfinished last record that were cut off.
    """

    records: int
    torn: int


@dataclass
class Read:
    """A journal as it lies there, before anything is changed.

    Attributes:
        records: What the snapshot does not cover, in the order written.
        places: File and line of each record.
        torn: Path to bytes of an unfinished last record.
        damage: What cannot be read.
        covered: Files that the snapshot covers.
        last: The newest generation.
    """

    records: list[Any] = field(default_factory=list)
    places: list[tuple[Path, int]] = field(default_factory=list)
    torn: dict[Path, int] = field(default_factory=dict)
    damage: list[Damage] = field(default_factory=list)
    covered: list[Path] = field(default_factory=list)
    last: int = 0


def generations(folder: Path, name: str) -> list[tuple[int, Path]]:
    """The files of one service's journal, oldest first."""
    pattern = re.compile(re.escape(name) + r"\.(\d{8})\.journal")
    found = [(match, path) for path in folder.iterdir() if (match := pattern.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in found)


def read_journal(folder: Path, name: str, *, covered: int = 0, decode: Decode | None = None) -> Read:
    """Read a journal and change nothing.

    Args:
        folder: Where the generations are kept.
        name: The service.
        covered: The last generation inside the snapshot.
        decode: See :class:`Journal`.

    Raises:
        OSError: The folder cannot be read.
    """
    found = Read(last=covered)
    files = generations(folder, name) if folder.is_dir() else []
    found.covered = [path for number, path in files if number <= covered]
    files = [(number, path) for number, path in files if number > covered]
    expected = covered + 1
    for number, path in files:
        if number > expected:
            missing = path.with_name(f"{name}.{expected:08d}.journal")
            found.damage.append(Damage(missing, f"is missing, and {path.name} goes on after it"))
        expected = number + 1
        found.last = number
        _read_file(path, decode, found)
    if covered and not files:
        missing = folder / f"{name}.{covered + 1:08d}.journal"
        found.damage.append(Damage(missing, "is missing: what was answered since the last snapshot was in it"))
    _hold_against_seal(folder, name, found)
    return found


def _read_file(path: Path, decode: Decode | None, found: Read) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        found.damage.append(Damage(path, f"cannot be read: {error.strerror or error}", unreadable=True))
        return
    complete = content.rfind(b"\n") + 1
    if complete < len(content):
        found.torn[path] = len(content) - complete
    for number, line in enumerate(content[:complete].split(b"\n")[:-1], 1):
        if not line:
            continue
        try:
            record = _record(line, decode, _MEMBERS.get(path.name.split(".")[0], ()))
        except ValueError:
            if not line.endswith(_HALF):  # a full disk took a part of it, and its request was answered with an error
                found.damage.append(Damage(path, "a record cannot be read", number))
            continue
        found.records.append(record)
        found.places.append((path, number))


# What every record of a service has; only held against lines without a checksum.
_MEMBERS = {"sqs": ("q",), "cloudwatch_logs": ("a", "g")}
# Ends a line of which a full disk had taken a part.
_HALF = b"\x00half"


def _record(line: bytes, decode: Decode | None, members: tuple[str, ...]) -> Any:
    if line[:1] != b"{":
        members = ()
        checksum, _blank, line = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(line):
            raise ValueError("not what was written")
    record = json.loads(line, object_hook=decode)  # without a checksum: of a journal before checksums
    if not isinstance(record, dict) or not isinstance(record.get("op"), str) or any(m not in record for m in members):
        raise ValueError("no record")
    return record


def _hold_against_seal(folder: Path, name: str, found: Read) -> None:
    """A clean stop notes how long the journal was: what was cut off since is no unfinished record."""
    try:
        seal = json.loads((folder / f"{name}.{SEAL}").read_bytes())
        path, size = folder / f"{name}.{int(seal['generation']):08d}.journal", int(seal["size"])
    except (OSError, ValueError, TypeError, KeyError):
        return
    there = path.stat().st_size if path.is_file() else 0
    if there < size and path not in found.covered:
        found.torn.pop(path, None)
        found.damage.append(Damage(path, f"was cut off after the last clean stop: {there} of {size} bytes are there"))


class Journal:
    """The journal of one service.

    Args:
        folder: Where the generations are kept; made if absent.
        name: The service, first part of the file names.
        encode: Turns what JSON does not know into something it knows (``json.dumps(default=...)``).
        decode: Its inverse (``json.loads(object_hook=...)``).
    """

    def __init__(self, folder: Path, name: str, *, encode: Encode | None = None, decode: Decode | None = None) -> None:
        self._covered = 0
        self._folder = folder
        self._name = name
        self._encode = encode
        self._decode = decode
        self._fd = -1
        self._broken_line = False
        self._written = 0  # bytes since the start, in all generations
        self._synced = 0
        self._syncing: asyncio.Task[None] | None = None
        self.generation = 0
        self.size = 0
        self.error = ""

    def open(self, read: Callable[[dict[str, Any]], None], *, covered: int = 0, before: int | None = None) -> Replayed:
        """Replay what the last snapshot does not cover, then stand ready to append.

        Args:
            read: Called with each record in the order written; a ``KeyError``, ``TypeError``, ``ValueError`` or
                ``AttributeError`` of it means that the record is none.
            covered: The last generation inside the snapshot.
            before: The last one inside the snapshot before that; what neither needs is deleted.

        Raises:
            DamagedError: Something that was written cannot be read; nothing was changed.
            OSError: The folder cannot be read or written.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = read_journal(self._folder, self._name, covered=covered, decode=self._decode)
        for record, (path, line) in zip(found.records, found.places, strict=True):
            try:
                read(record)
            except (KeyError, TypeError, ValueError, AttributeError):
                found.damage.append(Damage(path, "a record is not of this service's kind", line))
        if found.damage:
            raise DamagedError(found.damage)
        for path, size in found.torn.items():
            disk.CALLS.truncate(path, path.stat().st_size - size)
        self._covered = covered
        self._delete(covered if before is None else before)
        disk.CALLS.remove(self._folder / f"{self._name}.{SEAL}")
        self.generation = max(found.last, covered + 1)
        self._start()
        return Replayed(len(found.records), sum(found.torn.values()))

    def append(self, record: Mapping[str, Any]) -> bool:
        """Write one record; false if the disk refused it (``error`` then says why, and a snapshot is due)."""
        text = json.dumps(record, default=self._encode, separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        if self._broken_line:
            line = _HALF + b"\n" + line
        taken = 0
        try:
            while taken < len(line):
                taken += disk.CALLS.write(self._fd, line[taken:])
        except OSError as error:
            self.error = str(error)
            # A disk that fills up takes a part. If that cannot be taken back, the next record begins a line of its own.
            self._broken_line = taken > 0 and not self._take_back(taken)
            return False
        self.size += taken
        self._written += taken
        self._broken_line = False
        self.error = ""
        return True

    def _take_back(self, taken: int) -> bool:
        path = self._path(self.generation)
        try:
            disk.CALLS.truncate(path, path.stat().st_size - taken)
        except OSError:
            return False
        return True

    def _path(self, generation: int) -> Path:
        return self._folder / f"{self._name}.{generation:08d}.journal"

    def rotate(self) -> int:
        """Close the open generation and open the next one.

        Returns:
            The closed generation, which a snapshot begun now covers.

        Raises:
            OSError: The disk refused the next one; the open one goes on.
        """
        closed, before = self.generation, self._fd
        self.generation += 1
        try:
            self._start()
        except OSError:
            self.generation, self._fd = closed, before
            raise
        # Only its last records may still be on their way to the disk.
        disk.CALLS.sync(before)
        disk.CALLS.close(before)
        self._broken_line = False
        self._synced = self._written
        return closed

    def forget(self, covered: int, *, before: int | None = None) -> None:
        """Give up the generations that a finished snapshot covers; what it holds needs no record any more.

        Args:
            covered: The last generation inside it.
            before: The last one inside the snapshot that it replaced. With that one and the generations after it, a
                damaged snapshot can be made again; so they stay until the next.
        """
        self._covered = covered
        self._delete(covered if before is None else before)
        self.size = self._measured()
        self.error = ""

    def _delete(self, upto: int) -> None:
        for generation, path in generations(self._folder, self._name):
            if generation <= upto:
                disk.CALLS.remove(path)

    def _measured(self) -> int:
        """Bytes that no snapshot covers."""
        files = generations(self._folder, self._name)
        return sum(path.stat().st_size for generation, path in files if generation > self._covered)

    async def synced(self) -> str:
        """Wait until the disk has every record appended so far; callers that wait together cost one request of it.

        Returns:
            Why the disk does not have them; empty if it has.
        """
        wanted = self._written
        while self._synced < wanted:
            if self._syncing is None or self._syncing.done():
                self._syncing = asyncio.create_task(self._sync_all())
            await asyncio.shield(self._syncing)
            if self._synced < wanted and self.error:
                return self.error
        return ""

    async def _sync_all(self) -> None:
        wanted, copy = self._written, os.dup(self._fd)  # the journal may be rotated meanwhile
        try:
            await asyncio.to_thread(disk.CALLS.sync, copy)
        except OSError as error:
            self.error = str(error)
        else:
            self._synced = max(self._synced, wanted)
        finally:
            os.close(copy)

    def close(self) -> None:
        """End cleanly: all is on disk, and a note says how much that is.

        Raises:
            OSError: The disk refused.
        """
        if self._fd < 0:
            return
        disk.CALLS.sync(self._fd)
        disk.CALLS.close(self._fd)
        self._fd = -1
        path = self._path(self.generation)
        note = {"generation": self.generation, "size": path.stat().st_size}
        atomic.replace(self._folder / f"{self._name}.{SEAL}", json.dumps(note).encode())

    def _start(self) -> None:
        path = self._path(self.generation)
        self._fd = disk.CALLS.open(path, disk.APPEND, 0o600)
        disk.sync_folder(self._folder)
        self.size = self._measured()
