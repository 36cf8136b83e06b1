"""REQ017: hashes on some lines only, or wrong ones."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.reading is None:
        return
    reading, error = outcome.reading, outcome.error
    if error is not None and error.kind == "hash":
        lines = error.conflicts or ()
        for conflict in lines:
            yield Hit(
                f"{error.what}: {error.why}",
                outcome.place(conflict.file),
                conflict.line,
                fix=error.hint,
                key=conflict.requirement,
            )
        if not lines:
            yield Hit(f"{error.what}: {error.why}", outcome.file, 0, fix=error.hint)
        return
    with_hash = [entry for entry in reading.entries if entry.hashes]
    if not with_hash:
        return
    for entry in reading.entries:
        if (
            not entry.hashes
            and outcome.situation.present.get(entry.name or "") is None
            and entry.applies(workspace.version.python_patch)
        ):
            yield Hit(
                f"{entry.text} has no hash, line {with_hash[0].line} has one: pip then wants a hash for every package",
                outcome.place(entry.file),
                entry.line,
                key=entry.name or entry.text,
            )


RULE = Rule(
    id="REQ017",
    severity=Severity.ERROR,
    area=Area.REQUIREMENTS,
    title="Hashes missing or wrong",
    why="as soon as one line has a hash, pip wants one for every package it installs, dependencies "
    "included, and installs nothing otherwise",
    source="spec/04 section 12.1",
    fix="Give all of them (`pip-compile --generate-hashes` writes such a file) or none",
    check=check,
)
