"""A text file as rules see it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# Nothing a person writes by hand is larger; a data file beside DAGs may be, and is not read whole for a line of
# evidence.
MAX_BYTES = 4_000_000


# Longest first: UTF-32's mark of one order begins as UTF-16's does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding(data: bytes) -> str:
    """The encoding of a text by its byte order mark: what editors and shells of Windows write."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")


@dataclass(frozen=True)
class TextFile:
    """A file, read once.

    Attributes:
        path: Absolute.
        data: Its bytes, at most ``MAX_BYTES``.
    """

    path: Path
    data: bytes

    @classmethod
    def read(cls, path: Path) -> TextFile:
        """Read a file.

        Raises:
            OSError: It cannot be read.
        """
        with path.open("rb") as stream:
            return cls(path, stream.read(MAX_BYTES))

    @cached_property
    def text(self) -> str:
        """The text; bytes that are no UTF-8 become a replacement character, a byte order mark is kept out."""
        return self.data.decode("utf-8", errors="replace").removeprefix("\ufeff")

    @cached_property
    def shown(self) -> list[str]:
        """Lines as a person sees them: in the encoding that a byte order mark names, whatever a program makes of it."""
        text = self.data.decode(encoding(self.data), errors="replace").removeprefix("\ufeff")
        return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")

    @cached_property
    def lines(self) -> list[str]:
        """Lines without their ends."""
        return self.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def line(self, number: int) -> str:
        """A line by its 1-based number; empty when there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""
