"""Commands that MWAA's image has and lacks (spec/10 section 5.4), and commands that need a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from mwaa_local.catalog import _data


@dataclass(frozen=True)
class AbsentTool:
    """A command that the image lacks: the package that has it (empty for none), and what to do instead."""

    command: str
    package: str
    hint: str


@cache
def absent_tools() -> dict[str, AbsentTool]:
    """The commands known to be missing, by name."""
    return {
        name: AbsentTool(name, row["package"], row["hint"])
        for name, row in _data.read("image_tools.toml")["absent"].items()
    }


@cache
def present_tools() -> tuple[str, ...]:
    """Commands that the image has and that not every machine keeps in ``/usr/bin``."""
    return tuple(_data.read("image_tools.toml")["present"]["commands"])


def needs_network(command: str, arguments: Sequence[str]) -> bool:
    """Whether a command fetches something."""
    row = _data.read("image_tools.toml")["network"].get(command)
    if row is None:
        return False
    words: list[str] = row["words"]
    return not words or any(word in words for word in arguments)
