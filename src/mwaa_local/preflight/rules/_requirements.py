"""What several rules of the area share."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from optparse import Values
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from packaging.utils import canonicalize_name

from mwaa_local.packages import lines
from mwaa_local.packages.entries import Entry
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.preflight.resolving import conflict as resolve_conflict
from mwaa_local.preflight.resolving import foreign as resolve_foreign
from mwaa_local.preflight.resolving import metadata as resolve_metadata
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.resolving.conflict import Cause
from mwaa_local.preflight.resolving.foreign import Foreign
from mwaa_local.preflight.resolving.resolve import Outcome
from mwaa_local.preflight.workspace import Workspace

_causes: weakref.WeakKeyDictionary[Workspace, list[Cause]] = weakref.WeakKeyDictionary()
_foreign: weakref.WeakKeyDictionary[Workspace, Foreign | None] = weakref.WeakKeyDictionary()
_lock = Lock()


def option_lines(workspace: Workspace) -> Iterator[tuple[Path, int, Values]]:
    """Lines of the file itself that hold options only, up to the first that pip refuses."""
    source = workspace.requirements
    if source is None:
        return
    try:
        for line in lines.lines(lines.decode(source.data), resolve.container_variables(workspace)):
            if not line.text and not line.options.editables:
                yield source.path, line.number, line.options
    except (lines.LineError, *lines.UNREADABLE):
        return


def foreign(workspace: Workspace) -> Foreign | None:
    """What follows from a constraint line of another Airflow where the file fails; ``None`` where no line is one."""
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.error is None or outcome.resolved is None:
        return None
    with _lock:
        if workspace not in _foreign:
            finder = resolve.finder(workspace, outcome.situation)
            _foreign[workspace] = resolve_foreign.look(outcome.resolved, outcome.situation, outcome.error, finder)
        return _foreign[workspace]


def failure(workspace: Workspace) -> UnmetRequirementsError | None:
    """The failure that rules tell: not the one that only a constraint line of another Airflow brings."""
    outcome, lead = resolve.outcome(workspace), foreign(workspace)
    if outcome is None:
        return None
    return outcome.error if lead is None else lead.error


def causes(workspace: Workspace) -> tuple[Outcome | None, list[Cause]]:
    """Why pip would fail, each cause once; worked out for the first rule that asks.

    Without what follows from a constraint line of another Airflow, which REQ007 tells.
    """
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.error is None or outcome.reading is None:
        return outcome, []
    if (lead := foreign(workspace)) is not None:
        return outcome, list(lead.left)
    if outcome.error.kind not in {"conflict", "no-match"}:
        return outcome, []
    with _lock:
        if workspace not in _causes:
            reading = outcome.resolved or outcome.reading
            _causes[workspace] = resolve_conflict.causes(reading, outcome.situation, outcome.error)
        return outcome, _causes[workspace]


def entries_of(outcome: Outcome, name: str) -> list[Entry]:
    """Lines that ask for a package themselves."""
    return [entry for entry in outcome.reading.entries if entry.name == name] if outcome.reading else []


class Place(NamedTuple):
    """Where a package comes from.

    Attributes:
        line: 0 where no line can be made out.
        note: How the line leads to the package, to end a message with; empty when it names it.
    """

    file: Path
    line: int
    note: str = ""


def place_of(outcome: Outcome, name: str) -> Place:
    """The line that asks for a package, or for another one that leads to it."""
    if found := entries_of(outcome, name):
        return Place(outcome.place(found[0].file), found[0].line)
    chain = _chain(outcome, name)
    if not chain:
        return Place(outcome.file, 0)
    entry = entries_of(outcome, chain[-1])[0]
    return Place(outcome.place(entry.file), entry.line, f" (it comes with {', asked for by '.join(chain)})")


def _chain(outcome: Outcome, name: str) -> list[str]:
    """The packages that lead from one of the file's lines to a package, nearest to it first; the shortest way."""
    if outcome.resolution is None:
        return []
    asked_by: dict[str, list[str]] = {}
    for parent, metadata in resolve_metadata.of(outcome.resolution.changes.values(), outcome.situation).items():
        for item in metadata.requires:
            asked_by.setdefault(str(canonicalize_name(item.name)), []).append(parent)
    ways, seen = [[name]], {name}
    for way in ways:  # grows meanwhile
        for parent in asked_by.get(way[-1], ()):
            if parent in seen:
                continue
            seen.add(parent)
            longer = [*way, parent]
            if entries_of(outcome, parent):
                return longer[1:]
            ways.append(longer)
    return []


def private(workspace: Workspace) -> bool:
    """Whether the web server has no way to public addresses."""
    mode = workspace.definition.values.get("WebserverAccessMode")
    return mode is not None and mode.value == "PRIVATE_ONLY"
