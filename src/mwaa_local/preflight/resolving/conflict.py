"""Why requirements do not fit together: which line, which pin, who else asks for it, which version fits, what to write.

Found by asking the resolver again, with lines left out or loosened, not by reading its prose: each answer is a fact.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mwaa_local.packages import explain
from mwaa_local.packages.entries import Entry
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.indexes import from_settings, usable
from mwaa_local.packages.paths import redact
from mwaa_local.packages.requirements import Reading
from mwaa_local.preflight.resolving import metadata as resolve_metadata
from mwaa_local.preflight.resolving import uv as resolve_uv
from mwaa_local.preflight.resolving.types import Resolution, Situation

_BUDGET_S = 45.0
_AIRFLOW = "apache-airflow"
_PROVIDER = "apache-airflow-providers-"


@dataclass(frozen=True)
class Cause:
    """One reason why pip would fail.

    Attributes:
        entries: The lines that take part; they fit when one of them gives way.
        pin: What they collide with, ``name==version``; empty where that is not one pin.
        source: Where the pin comes from.
        requirers: Packages of the image that ask for the pinned one, with what they ask for.
        fits: Newest version of the first line's package that fits; ``None`` where none does.
        write: The line to write instead of the first one; empty where there is none.
        core: What the package asks of Airflow, where that is what does not fit; empty otherwise.
        untold: Why it cannot be told which version fits; empty where it can.
        missing: Nothing of that name or version exists for this Python and machine.
        detail: The resolver's own words, short.
    """

    entries: tuple[Entry, ...]
    pin: str = ""
    source: str = ""
    requirers: tuple[str, ...] = ()
    fits: str | None = None
    write: str = ""
    core: str = ""
    untold: str = ""
    missing: bool = False
    detail: str = ""


def causes(reading: Reading, situation: Situation, error: UnmetRequirementsError) -> list[Cause]:
    """The causes behind a failure.

    Args:
        reading: The file.
        situation: What it was resolved for.
        error: The failure; of kind ``conflict`` or ``no-match``.
    """
    search = _Search(reading, situation, time.monotonic() + _BUDGET_S)
    culprits: list[tuple[tuple[Entry, ...], UnmetRequirementsError | None]] = []
    direct = {
        (conflict.file, conflict.line): conflict
        for conflict in explain.direct_conflicts(reading, python=situation.python)
    }
    first = [entry for entry in reading.entries if (entry.file, entry.line) in direct]
    culprits += [((entry,), None) for entry in first]
    rest = [entry for entry in reading.entries if entry not in first]
    left: UnmetRequirementsError | None = search.fails(rest) if first and rest else (None if first else error)
    while left is not None and rest and left.kind in {"conflict", "no-match"}:
        group = search.culprit(rest, left)
        if not group:
            break
        culprits.append((group, left))
        rest = [entry for entry in rest if entry not in group]
        left = search.fails(rest) if rest else None
    good = rest if left is None else []
    loose = [group[0] for group, failure in culprits if failure is None or failure.kind == "conflict"]
    search.loosen_all(loose, [*good, *(entry for group, _ in culprits for entry in group[1:])])
    return [search.explained(group, failure, good) for group, failure in culprits]


@dataclass
class _Search:
    reading: Reading
    situation: Situation
    deadline: float
    together: dict[str, str] = field(default_factory=dict)

    def loosen_all(self, culprits: Sequence[Entry], others: Sequence[Entry]) -> None:
        """Versions that fit when all culprits give way at once: one run instead of one for each."""
        loose = [item for item in map(loosened, culprits) if item is not None]
        try:
            found = self._resolved([*others, *loose])
        except UnmetRequirementsError:
            return  # one of them fits in no version: each is asked by itself
        for entry in loose:
            if entry.name and entry.name in found.packages:
                self.together[entry.name] = found.packages[entry.name].version

    def _resolved(self, entries: Sequence[Entry]) -> Resolution:
        left = self.deadline - time.monotonic()
        if left <= 1:
            raise UnmetRequirementsError("time is up", kind="time")
        reading = replace(self.reading, entries=tuple(entries), require_hashes=False)
        return resolve_uv.resolve(reading, replace(self.situation, timeout_s=left), seen=True)

    def fails(self, entries: Sequence[Entry]) -> UnmetRequirementsError | None:
        """Why some of the lines do not resolve, or ``None`` if they do (or time is up)."""
        try:
            self._resolved(entries)
        except UnmetRequirementsError as error:
            return error if error.kind in {"conflict", "no-match"} else None
        return None

    def culprit(self, entries: Sequence[Entry], error: UnmetRequirementsError) -> tuple[Entry, ...]:
        """The lines of one cause: those that fail alone first, else those without any of which the rest resolves."""
        if len(entries) == 1:
            return tuple(entries)
        named = {(conflict.file, conflict.line) for conflict in error.conflicts}
        likely = [entry for entry in entries if (entry.file, entry.line) in named] or list(entries)
        if len(likely) == 1:
            return (likely[0],)
        for entry in likely:
            if time.monotonic() < self.deadline and self.fails([entry]) is not None:
                return (entry,)
        members = [entry for entry in likely if self.fails([other for other in entries if other is not entry]) is None]
        return tuple(members) if members and time.monotonic() < self.deadline else tuple(likely)

    def explained(self, group: tuple[Entry, ...], error: UnmetRequirementsError | None, good: Sequence[Entry]) -> Cause:
        """One cause with everything a user needs to mend it."""
        entry = group[0]
        pin, source = self._pin(entry, error)
        cause = Cause(group, pin, source, detail=_detail(error))
        if pin:
            cause = replace(cause, requirers=requirers(pin.partition("==")[0], self.situation))
        # Where nothing of that name exists the other lines do not matter.
        alone = error is not None and error.kind == "no-match"
        cause = self.fitting(replace(cause, missing=alone and not pin), [] if alone else [*good, *group[1:]])
        if entry.name and entry.name.startswith(_PROVIDER):
            cause = replace(cause, core=needs_airflow(entry, self.situation))
        return cause

    def _pin(self, entry: Entry, error: UnmetRequirementsError | None) -> tuple[str, str]:
        found = self.reading.pin(entry.name) if entry.name else None
        if found and entry.specifier and not _allows(entry.specifier, found[0]):
            return f"{entry.name}=={found[0]}", found[1]
        for conflict in error.conflicts if error else ():
            if conflict.pin and (conflict.file, conflict.line) == (entry.file, entry.line):
                own = f"{entry.name}=="
                pins = [pin for pin in conflict.pin.split(", ") if not pin.startswith(own)]
                return (", ".join(pins[:3]), conflict.source) if pins else ("", "")
        return "", ""

    def fitting(self, cause: Cause, others: Sequence[Entry]) -> Cause:
        """The cause with the newest version of its first line's package that fits the other lines."""
        entry = cause.entries[0]
        loose = loosened(entry)
        if loose is None or not entry.name:
            return cause
        if entry.name in self.together:
            return _fits(cause, self.together[entry.name])
        # Only one version can fit what a constraint holds; whether its archive can be had here is another matter.
        held = self.reading.pin(entry.name)
        try:
            found = self._resolved([*others, loose])
        except UnmetRequirementsError as error:
            if error.kind in {"conflict", "no-match"}:
                return cause
            return _fits(cause, held[0]) if held else replace(cause, untold=error.what)
        package = found.packages.get(entry.name)
        return _fits(cause, package.version) if package else cause


def _fits(cause: Cause, version: str) -> Cause:
    return replace(cause, fits=version, write=rewritten(cause.entries[0], version)) if version else cause


def loosened(entry: Entry) -> Entry | None:
    """The line without its versions and hashes; ``None`` for what is no package of an index."""
    if entry.kind != "index":
        return None
    try:
        parsed = Requirement(entry.text)
    except InvalidRequirement:
        return None
    parsed.specifier = SpecifierSet()
    return replace(entry, text=str(parsed), given=str(parsed), specifier=SpecifierSet(), hashes=())


def rewritten(entry: Entry, version: str) -> str:
    """The line with an exact version, extras and marker kept, the name as the user wrote it."""
    parsed = Requirement(entry.text)
    extras = f"[{','.join(sorted(parsed.extras))}]" if parsed.extras else ""
    marker = f" ; {parsed.marker}" if parsed.marker else ""
    return f"{parsed.name}{extras}=={version}{marker}"


def requirers(name: str, situation: Situation) -> tuple[str, ...]:
    """Packages of the image that ask for a package, as ``apache-airflow-core (>=1.4.36)``; needs the base set."""
    if situation.base is None:
        return ()
    wanted = canonicalize_name(name)
    found = []
    for other, text in resolve_metadata.installed(situation.base.site_packages).items():
        for item in resolve_metadata.parse(text).requires:
            if canonicalize_name(item.name) == wanted and "extra" not in str(item.marker or ""):
                found.append(f"{other} ({item.specifier})" if item.specifier else other)
                break
    return tuple(sorted(found))


def needs_airflow(entry: Entry, situation: Situation) -> str:
    """What a pinned package asks of Airflow where the environment's version is not it; empty otherwise."""
    exact = [item.version for item in entry.specifier if item.operator == "==" and "*" not in item.version]
    if not exact or not entry.name:
        return ""
    metadata = lookup(f"{entry.name}=={exact[0]}", situation)
    if metadata is None:
        return ""
    for item in metadata.requires:
        if (
            canonicalize_name(item.name) == _AIRFLOW
            and item.specifier
            and not item.specifier.contains(situation.version.airflow, prereleases=True)
        ):
            return f"{_AIRFLOW}{item.specifier}"
    return ""


def lookup(requirement: str, situation: Situation) -> resolve_metadata.Metadata | None:
    """Metadata of the release a requirement names, whatever else is pinned; ``None`` where it cannot be had."""
    parsed = Requirement(requirement)
    entry = Entry("lookup", 1, requirement, "index", requirement, str(canonicalize_name(parsed.name)), parsed.specifier)
    uv = replace(situation.uv, settings=replace(situation.uv.settings, no_deps=True, constraints=()))
    reading = Reading(
        Path("lookup"),
        "lookup",
        (entry,),
        indexes=usable(from_settings(uv.settings), {}),
    )
    try:
        found = resolve_uv.resolve(reading, replace(situation, uv=uv, present={}, timeout_s=15))
    except UnmetRequirementsError:
        return None
    return resolve_metadata.of(found.packages.values(), situation).get(str(entry.name))


def _allows(specifier: SpecifierSet, version: str) -> bool:
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _detail(error: UnmetRequirementsError | None) -> str:
    if error is None:
        return ""
    lines: Iterable[str] = error.explanation
    text = " ".join(line for line in lines if not line.startswith("No solution found"))
    return redact(text)[:400]
