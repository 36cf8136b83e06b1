"""REQ020: changes that leave packages of the image without what they need."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.utils import canonicalize_name

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import metadata as resolve_metadata
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.resolution is None or outcome.situation.base is None:
        return
    found = outcome.resolution
    replaced = {
        name: package
        for name, package in found.changes.items()
        if name in found.present and package.version != found.present[name]
    }
    if not replaced:
        return
    for other, text in resolve_metadata.installed(outcome.situation.base.site_packages).items():
        if other in found.packages:
            continue  # the resolver has seen what it needs
        for item in resolve_metadata.parse(text).requires:
            package = replaced.get(str(canonicalize_name(item.name)))
            if (
                package is None
                or "extra" in str(item.marker or "")
                or item.specifier.contains(package.version, prereleases=True)
            ):
                continue
            place = _requirements.place_of(outcome, package.name)
            yield Hit(
                f"{package.name}{place.note} goes from {found.present[package.name]} to {package.version}, "
                f"and {other} {found.present.get(other, '')} of the image needs "
                f"{item.name}{item.specifier}: pip installs it and only warns",
                place.file,
                place.line,
                key=f"{package.name} {other}",
            )


RULE = Rule(
    id="REQ020",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="Breaks a package of the image",
    why="pip looks only at what the file asks for. A package of the image that nothing in the file "
    "needs is not protected: pip replaces what it depends on, says so in one line of the log, "
    "and the package fails when Airflow uses it",
    source="spec/05 (PF-13, T-25), spec/10 section 4.4",
    fix="Keep the version of the image: leave the version out, or take that of the constraints",
    check=check,
)
