"""The calls of the operating system by which state reaches the disk, in one place.

``CALLS`` is the seam at which a test fails the third write, cuts one short, or notes the sequence and replays every
beginning of it (``tests/unit/faulty_disk_support.py``).
"""

from __future__ import annotations

import os
from pathlib import Path

APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


class Calls:
    """The operating system's own calls; every one raises :class:`OSError` as that does."""

    def open(self, path: Path, flags: int, mode: int) -> int:
        """A descriptor for writing."""
        return os.open(path, flags, mode)

    def write(self, descriptor: int, content: bytes) -> int:
        """How many bytes were taken; a disk that fills up may take a part."""
        return os.write(descriptor, content)

    def sync(self, descriptor: int) -> None:
        """Returns when the disk has what was written."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Give a descriptor back."""
        os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Give a file another name; whatever had that name is gone."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone is no error."""
        path.unlink(missing_ok=True)

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file off."""
        os.truncate(path, size)


CALLS = Calls()


def write_all(descriptor: int, content: bytes) -> None:
    """Write everything.

    Raises:
        OSError: The disk took a part at most.
    """
    view = memoryview(content)
    while view:
        view = view[CALLS.write(descriptor, bytes(view)) :]


def sync_folder(folder: Path) -> None:
    """Have the disk keep the folder's list of names: a new or renamed file in it outlives a power cut only then.

    Raises:
        OSError: The folder is gone, or the disk refused.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        CALLS.sync(descriptor)
    finally:
        os.close(descriptor)
