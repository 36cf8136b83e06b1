"""REQ009: packages without a wheel for the target."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog.packaging_facts import packaging_facts
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
    for name, package in outcome.resolution.changes.items():
        if package.archive is None or package.archive.wheel or name in system_needs():
            continue
        place = _requirements.place_of(outcome, name)
        why = (
            f"its {len(package.wheels)} wheels are for other Pythons or machines"
            if package.wheels
            else "the release has no wheel at all"
        )
        text = (
            f"{name} {package.version}{place.note} is built from source in every container: {why}. The build "
            "downloads its own build requirements"
        )
        text += ", which a private web server cannot" if _requirements.private(workspace) else ""
        yield Hit(
            f"{text}; MWAA's image has {packaging_facts().image_builds_with}, not {packaging_facts().image_lacks}",
            place.file,
            place.line,
            key=name,
        )


RULE = Rule(
    id="REQ009",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="No wheel for the target",
    why="a source archive is built at every start of every container: that takes minutes of the "
    "nine that pip has, needs a compiler for C code, and needs an index for the build "
    "requirements",
    source="spec/10 sections 4.1 and 5.4, spec/05 (PF-12)",
    fix="Take a version with a wheel, or build one with `mwaa-local package --wheels --build` and "
    "ship it in plugins.zip",
    check=check,
)
