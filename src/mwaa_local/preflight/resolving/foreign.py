"""A file that names the constraints of another Airflow: what follows from that line, and what is wrong besides.

The commonest fault of an upgrade. Every provider collides then, and advice about each of them leads astray: the line is
the cause. Found by asking the resolver again, with the constraints and the pins that the environment's version has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mwaa_local.packages import explain, lines
from mwaa_local.packages.constraints import ConstraintFinder, ConstraintSource, pins
from mwaa_local.packages.entries import Entry
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.requirements import ConstraintPart, Reading
from mwaa_local.preflight.resolving import conflict as resolve_conflict
from mwaa_local.preflight.resolving import uv as resolve_uv
from mwaa_local.preflight.resolving.conflict import Cause
from mwaa_local.preflight.resolving.types import Situation

# Failures that another set of pins may mend; a line that pip cannot read is none.
KINDS = frozenset({"conflict", "no-match", "build", "other"})


@dataclass(frozen=True)
class Moved:
    """A line with the version that the environment's constraints have.

    Attributes:
        entry: The line.
        write: What to write instead.
        pin: ``name==version`` of the constraints.
        source: Where that pin is from.
    """

    entry: Entry
    write: str
    pin: str
    source: str


@dataclass(frozen=True)
class Foreign:
    """What a constraint line of another version does to a file that cannot be installed.

    Attributes:
        cause: The file fails because of that line.
        moved: Lines whose version goes with the old constraints, and what goes with the right ones.
        left: What is wrong with the right constraints too.
        error: The failure with the right constraints, of a kind that has no causes; ``None`` where there is none.
    """

    cause: bool
    moved: tuple[Moved, ...] = ()
    left: tuple[Cause, ...] = ()
    error: UnmetRequirementsError | None = None


def look(
    reading: Reading, situation: Situation, error: UnmetRequirementsError, finder: ConstraintFinder
) -> Foreign | None:
    """Take a failed file apart; ``None`` where no line of it names foreign constraints.

    Args:
        reading: The file.
        situation: What it was resolved for.
        error: Why it failed.
        finder: Finds the environment's own constraints.
    """
    if reading.foreign is None or error.kind not in KINDS:
        return None
    right = with_own(reading, situation, finder)
    moved = moves(right, situation.python)
    tried = _with(right, moved)
    try:
        resolve_uv.resolve(tried, situation, seen=True)
    except UnmetRequirementsError as second:
        if second.kind not in KINDS:
            return Foreign(True, moved)  # no index, no time: nothing speaks for another cause
        left = tuple(resolve_conflict.causes(tried, situation, second)) if second.kind in _SEARCHED else ()
        gone = {(entry.file, entry.line) for cause in left for entry in cause.entries}
        gone |= {(conflict.file, conflict.line) for conflict in second.conflicts}
        rest = tuple(entry for entry in reading.entries if (entry.file, entry.line) not in gone)
        return Foreign(
            _fails(replace(reading, entries=rest), situation) if rest else False,
            tuple(item for item in moved if (item.entry.file, item.entry.line) not in gone),
            left,
            None if left else second,
        )
    return Foreign(True, moved)


_SEARCHED = frozenset({"conflict", "no-match"})


def with_own(reading: Reading, situation: Situation, finder: ConstraintFinder) -> Reading:
    """The reading with the environment's constraints where a line names foreign ones."""
    version = situation.version
    own = _part(finder.for_airflow(version.airflow, version.python))
    parts = [replace(own, file=part.file, line=part.line) if part.foreign else part for part in reading.parts]
    return replace(reading, parts=tuple(parts))


def _part(source: ConstraintSource) -> ConstraintPart:
    kept = tuple(line.text for line in lines.lines(source.text, {}) if line.text)
    return ConstraintPart(source, kept, pins("\n".join(kept)))


def moves(reading: Reading, python: str) -> tuple[Moved, ...]:
    """Lines that exclude a pin outright, with the line that has the pin's version instead."""
    direct = {
        (conflict.file, conflict.line): conflict
        for conflict in explain.direct_conflicts(reading, python=python)
        if conflict.pin and not conflict.source.startswith("line ")
    }
    found = []
    for entry in reading.entries:
        conflict = direct.get((entry.file, entry.line))
        if conflict is None or resolve_conflict.loosened(entry) is None:
            continue
        version = conflict.pin.partition("==")[2]
        write = resolve_conflict.rewritten(entry, version)
        found.append(Moved(entry, write, conflict.pin, conflict.source))
    return tuple(found)


def _with(reading: Reading, moved: Sequence[Moved]) -> Reading:
    new = {(item.entry.file, item.entry.line): moved_entry(item.entry, item.write) for item in moved}
    entries = (new.get((entry.file, entry.line), entry) for entry in reading.entries)
    return replace(reading, entries=tuple(entries), require_hashes=False)


def moved_entry(entry: Entry, text: str) -> Entry:
    """A line with another text; its old hashes go."""
    loose = resolve_conflict.loosened(entry)
    assert loose is not None, "only packages of an index are rewritten"
    return replace(loose, text=text, given=text)


def _fails(reading: Reading, situation: Situation) -> bool:
    try:
        resolve_uv.resolve(reading, situation, seen=True)
    except UnmetRequirementsError as error:
        return error.kind in KINDS
    return False
