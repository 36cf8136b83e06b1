"""What tests of both engines share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Quiet:
    """Progress nobody sees."""

    @contextmanager
    def step(self, name: str) -> Iterator[Quiet]:
        yield self

    def note(self, text: str) -> None:
        pass
