"""A disk that notes what is asked of it, refuses the n-th call, and can be cut at any call and replayed."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mwaa_local.ground import disk


@dataclass
class Disk(disk.Calls):
    """The real disk, with faults.

    Attributes:
        refuse: Call (``write``, ``sync``, ``replace``, ``open``, ``truncate``, ``remove``) to the error of every such call.
        after: So many calls of that kind succeed first.
        part: A ``write`` that is refused takes so many bytes first, as a disk that fills up does.
        noted: Every call that changed something: name and what.
    """

    refuse: dict[str, int] = field(default_factory=dict)
    after: int = 0
    part: int = 0
    noted: list[tuple[str, Any]] = field(default_factory=list)
    _names: dict[int, Path] = field(default_factory=dict)

    def _ask(self, name: str) -> None:
        if name not in self.refuse:
            return
        if self.after > 0:
            self.after -= 1
            return
        number = self.refuse[name]
        raise OSError(number, os.strerror(number))

    def open(self, path: Path, flags: int, mode: int) -> int:
        self._ask("open")
        descriptor = super().open(path, flags, mode)
        self._names[descriptor] = path
        self.noted.append(("open", path))
        return descriptor

    def write(self, descriptor: int, content: bytes) -> int:
        try:
            self._ask("write")
        except OSError:
            if self.part:
                part, self.part = self.part, 0
                return super().write(descriptor, content[:part])
            raise
        self.noted.append(("write", (self._names.get(descriptor), content)))
        return super().write(descriptor, content)

    def sync(self, descriptor: int) -> None:
        self._ask("sync")
        self.noted.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        super().sync(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        self._ask("replace")
        super().replace(source, target)
        self.noted.append(("replace", target))

    def remove(self, path: Path) -> None:
        self._ask("remove")
        super().remove(path)
        self.noted.append(("remove", path))

    def truncate(self, path: Path, size: int) -> None:
        self._ask("truncate")
        super().truncate(path, size)
        self.noted.append(("truncate", path))


FULL = errno.ENOSPC
BROKEN = errno.EIO


class CutError(BaseException):
    """The machine went off at this call."""


@dataclass
class Cut(Disk):
    """Goes off before the n-th call that changes something, as a kill would."""

    calls: int = 10**9

    def _ask(self, name: str) -> None:
        super()._ask(name)
        self.calls -= 1
        if self.calls < 0:
            raise CutError(name)
