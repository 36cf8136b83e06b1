"""REQ010: packages that need something of the operating system that the image lacks."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog.system_libraries import system_needs
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.resolution is None:
        return
    script = workspace.startup.source.text if workspace.startup else ""
    for name, package in outcome.resolution.changes.items():
        need = system_needs().get(name)
        built = package.archive is not None and not package.archive.wheel
        if need is None or need.present or (need.when == "build" and not built):
            continue
        if need.provides and all(word in script for word in need.provides.split()[:1]):
            continue
        place = _requirements.place_of(outcome, name)
        verb = "needs" if need.when == "run" else "has no wheel here and its build needs"
        fix = (
            f"in the startup script: sudo dnf install -y {need.provides}"
            if need.provides
            else "take another package: the repositories of Amazon Linux 2023 do not have it"
        )
        severity = Severity.ERROR if need.when == "build" else Severity.WARNING
        yield Hit(
            f"{name} {package.version}{place.note} {verb} {need.needs}, which MWAA's image does not have",
            place.file,
            place.line,
            fix=fix,
            severity=severity,
            key=name,
        )


RULE = Rule(
    id="REQ010",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="Missing system library",
    why="a Python package that is only a door to a library of the operating system installs well "
    "and fails when it is used, or fails to build; the image holds what spec/10 lists and "
    "nothing else",
    source="spec/10 section 5.4, spec/04 section 8.3",
    fix="Install the library in the startup script",
    check=check,
)
