"""REQ008: lines whose version nothing decides."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.packages.paths import redact
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.resolving.conflict import rewritten
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.reading is None:
        return
    reading, found = outcome.reading, outcome.resolution
    for entry in reading.entries:
        if entry.kind != "index" or not entry.name or not entry.applies(workspace.version.python_patch):
            continue
        if any(item.operator in {"==", "==="} and "*" not in item.version for item in entry.specifier) or reading.pin(
            entry.name
        ):
            continue
        if reading.indexes.no_index or entry.name in outcome.situation.present:
            continue  # what lies in the links, or in the image, decides
        package = found.packages.get(entry.name) if found else None
        fix = f"write {rewritten(entry, package.version)}" if package else ""
        yield Hit(
            f"{redact(entry.text)} has no exact version, and no constraint gives one: pip takes the newest of the day",
            outcome.place(entry.file),
            entry.line,
            fix=fix,
            key=entry.name,
        )


RULE = Rule(
    id="REQ008",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="Unpinned requirement",
    why="each container installs by itself when it starts: one that is added weeks later gets "
    "another version than its neighbours, and a new release can break an environment nobody "
    "touched",
    source="spec/04 section 12.1, spec/05 (PF-12), spec/07 B2.2",
    fix="Pin it with ==",
    check=check,
)
