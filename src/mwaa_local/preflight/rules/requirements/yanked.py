"""REQ014: releases that were withdrawn."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.resolution is None:
        return
    for name, package in outcome.resolution.changes.items():
        if package.yanked is not None:
            place = _requirements.place_of(outcome, name)
            yield Hit(
                f"{name} {package.version}{place.note} was withdrawn by its authors"
                + (f": {package.yanked}" if package.yanked else ""),
                place.file,
                place.line,
                key=name,
            )


RULE = Rule(
    id="REQ014",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="Withdrawn release",
    why="pip still installs a release that is named exactly, with a warning in a log nobody reads; "
    "the authors withdrew it for a reason",
    source="spec/07 B2.7",
    fix="Take the next release",
    check=check,
)
