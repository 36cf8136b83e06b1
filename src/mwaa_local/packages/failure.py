"""The failure a ``requirements.txt`` can end in, with the lines and pins that caused it as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mwaa_local.errors import RequirementsError

Kind = Literal["conflict", "no-match", "build", "network", "disk", "time", "syntax", "hash", "other"]


@dataclass(frozen=True)
class Conflict:
    """One line of the user's that collides with something.

    Attributes:
        file: The file as the user knows it.
        line: Line number, from 1.
        requirement: The line's requirement.
        pin: What it collides with, ``name==version``; empty where that is not one pin.
        source: Where the pin comes from.
    """

    file: str
    line: int
    requirement: str
    pin: str = ""
    source: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}: {self.requirement}"
        return f"{text} collides with {self.pin} ({self.source})" if self.pin else text


class UnmetRequirementsError(RequirementsError):
    """``requirements.txt`` cannot be read, resolved or installed.

    Args:
        what: One sentence, what failed.
        kind: The class of the failure.
        conflicts: The user's lines that take part, with the pins they collide with.
        explanation: The resolver's own words, shortened.
        packages: Names of packages the failure is about (a source archive that does not build, for example).
        left_out: Package indexes that pip passes over, a sentence each.
        pre_releases: Project to a pre-release that would fit and that pip does not take by itself.
    """

    def __init__(
        self,
        what: str,
        *,
        kind: Kind,
        where: str = "",
        why: str = "",
        hint: str = "",
        conflicts: Sequence[Conflict] = (),
        explanation: Sequence[str] = (),
        packages: Sequence[str] = (),
        left_out: Sequence[str] = (),
        pre_releases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what, where=where, why=why, hint=hint)
        self.kind: Kind = kind
        self.conflicts = tuple(conflicts)
        self.explanation = tuple(explanation)
        self.packages = tuple(packages)
        self.left_out = tuple(left_out)
        self.pre_releases = dict(pre_releases or {})

    def as_dict(self) -> dict[str, Any]:
        """The error with its lines and pins, for ``--json`` readers and status files."""
        return {
            **super().as_dict(),
            "kind": self.kind,
            "conflicts": [asdict(conflict) for conflict in self.conflicts],
            "explanation": list(self.explanation),
            "packages": list(self.packages),
            "left_out": list(self.left_out),
        }
