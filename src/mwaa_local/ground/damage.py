"""What was once whole and cannot be read as it was written: as data, for those who refuse, tell or repair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Damage:
    """One damaged or missing part of the state.

    Attributes:
        path: The file or folder.
        what: What is wrong with it, a clause.
        line: Where in the file, from 1; 0 for the whole of it.
        unreadable: The file is there and the system does not give its content.
    """

    path: Path
    what: str
    line: int = 0
    unreadable: bool = False

    def __str__(self) -> str:
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.what}"


class DamagedError(Exception):
    """What was kept cannot be read as it was written; nothing was changed.

    Args:
        found: Each damage.
    """

    def __init__(self, found: list[Damage]) -> None:
        super().__init__("; ".join(map(str, found)))
        self.found = found
