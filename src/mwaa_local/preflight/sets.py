"""The one place that asks for a package set's Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.model import Environment


@dataclass(frozen=True)
class PackageSet:
    """The Python of a package set.

    Attributes:
        python: Its interpreter.
        requirements: Whether ``requirements.txt`` is installed in it; ``None`` when there is none to install.
        note: What a reader should know about it (another Python minor version, where constraints came from).
        problem: Why the requirements could not be installed, empty when they could.
    """

    python: Path
    requirements: bool | None
    note: str = ""
    problem: str = ""


# (environment, variables of the user, variables the startup script exports) -> PackageSet; raises MwaaLocalError.
Locator = Callable[[Environment, Mapping[str, str], Mapping[str, str]], PackageSet]
