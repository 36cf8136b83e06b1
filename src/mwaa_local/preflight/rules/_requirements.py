"""What several rules of the area share."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from optparse import Values
from pathlib import Path
from threading import Lock

from mwaa_local.packages import lines
from mwaa_local.packages.entries import Entry
from mwaa_local.preflight import resolve, resolve_conflict
from mwaa_local.preflight.resolve import Outcome
from mwaa_local.preflight.resolve_conflict import Cause
from mwaa_local.preflight.workspace import Workspace

_causes: weakref.WeakKeyDictionary[Workspace, list[Cause]] = weakref.WeakKeyDictionary()
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
    except (lines.LineError, UnicodeDecodeError, LookupError):
        return


def causes(workspace: Workspace) -> tuple[Outcome | None, list[Cause]]:
    """Why pip would fail, each cause once; worked out for the first rule that asks."""
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.error is None or outcome.reading is None:
        return outcome, []
    if outcome.error.kind not in {"conflict", "no-match"}:
        return outcome, []
    with _lock:
        if workspace not in _causes:
            _causes[workspace] = resolve_conflict.causes(outcome.reading, outcome.situation, outcome.error)
        return outcome, _causes[workspace]


def entries_of(outcome: Outcome, name: str) -> list[Entry]:
    """Lines that ask for a package themselves."""
    return [entry for entry in outcome.reading.entries if entry.name == name] if outcome.reading else []


def place_of(outcome: Outcome, name: str) -> tuple[Path, int]:
    """The line that asks for a package, or the file where another package asks for it."""
    found = entries_of(outcome, name)
    return (outcome.place(found[0].file), found[0].line) if found else (outcome.file, 0)


def private(workspace: Workspace) -> bool:
    """Whether the web server has no way to public addresses."""
    mode = workspace.definition.values.get("WebserverAccessMode")
    return mode is not None and mode.value == "PRIVATE_ONLY"
