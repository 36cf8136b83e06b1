"""pip's rule on pre-releases: one counts where a project has nothing else, or where someone asks for it.

uv goes one step further and takes one where every final release is excluded by the rest of the file. pip calls that a
conflict (spec/10 section 4.2), so what uv found with such a release is asked for again without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.requirements import Reading

# uv's sentences when it may not take one: somebody else's requirement names one; the project has nothing else.
ASKED = re.compile(r"`([\w.-]+)` was requested with a pre-release marker")
NOTHING_ELSE = re.compile(r"there are no versions of `?([\w.-]*\w)(?![\w.-]*\s*[<>=!~])")


class PreReleases:
    """What one resolution may take.

    Attributes:
        strict: uv is told to take only those that are asked for.
        refused: Project to the pre-release that uv took and pip would not.
    """

    def __init__(self, reading: Reading, *, free: bool = False, present: Mapping[str, str] | None = None) -> None:
        """Begin as uv does by itself.

        Args:
            reading: The file.
            free: ``--pre`` is given: every pre-release counts.
            present: What is installed already; its pre-releases may stay.
        """
        self.strict = False
        self.refused: dict[str, str] = {}
        self._free = free or reading.pre
        self._asked = {entry.name for entry in reading.entries if entry.specifier.prereleases}
        pinned = {name: pin for part in reading.parts for name, pin in part.pins.items()}
        self._marked = {
            str(canonicalize_name(name)) for name, pin in {**(present or {}), **pinned}.items() if _is_pre_release(pin)
        }

    def options(self) -> list[str]:
        """Words for uv, to be followed by ``constraints``."""
        return ["--prerelease", "explicit"] if self.strict else []

    def constraints(self) -> str:
        """Lines of a constraints file that name the pre-releases uv may take."""
        return "".join(f"{name}>=0a0\n" for name in sorted(self._marked)) if self.strict else ""

    def refuse(self, chosen: Mapping[str, str]) -> list[str]:
        """Projects of which uv took a pre-release that pip might not take; asking again is due where there is one.

        Args:
            chosen: Project to version of what would be installed.
        """
        if self.strict or self._free:
            return []
        known = self._asked | self._marked
        self.refused = {
            name: version for name, version in chosen.items() if _is_pre_release(version) and name not in known
        }
        self.strict = bool(self.refused)
        return sorted(self.refused)

    def learn(self, text: str) -> bool:
        """Read uv's failure; whether it would get further with a pre-release that pip takes as well.

        Args:
            text: What uv printed.
        """
        if not self.strict:
            return False
        found = {str(canonicalize_name(name)) for name in ASKED.findall(text)}
        found |= {str(canonicalize_name(name)) for name in NOTHING_ELSE.findall(text)} & set(self.refused)
        new = found - self._marked
        self._marked |= new
        for name in new:
            self.refused.pop(name, None)
        return bool(new)

    def told(self, error: UnmetRequirementsError) -> UnmetRequirementsError:
        """The failure with the pre-releases that would have fitted."""
        if not self.refused or error.kind not in {"conflict", "no-match", "other"}:
            return error
        found = ", ".join(f"{name} {version}" for name, version in self.refused.items())
        which = ", ".join(self.refused)
        name, version = next(iter(self.refused.items()))
        rule = f"{found} would fit, but pip takes a pre-release only where it is asked for or nothing else exists"
        hint = f"ask for the pre-release, {name}=={version}"
        return UnmetRequirementsError(
            f"No stable version of {which} fits", kind=error.kind, where=error.where,
            why="\n".join(filter(None, [error.what, error.why, rule])),
            hint=f"{error.hint}; or {hint}" if error.hint else hint,
            conflicts=error.conflicts, explanation=error.explanation, packages=error.packages, left_out=error.left_out,
            pre_releases=self.refused,
        )  # fmt: skip


def _is_pre_release(version: str) -> bool:
    try:
        return Version(version).is_prerelease
    except InvalidVersion:
        return False
