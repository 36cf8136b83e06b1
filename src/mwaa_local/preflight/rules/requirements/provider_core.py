"""REQ015: providers for another Airflow."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.packages.paths import redact
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome, causes = _requirements.causes(workspace)
    if outcome is None:
        return
    for cause in causes:
        if cause.core:
            entry = cause.entries[0]
            text = (
                f"{redact(entry.text)} needs {cause.core}; the environment has Airflow "
                f"{workspace.version.airflow}, which the file cannot change"
            )
            text += f"; {cause.fits} fits" if cause.fits else ""
            yield Hit(
                text,
                outcome.place(entry.file),
                entry.line,
                fix=f"write {cause.write}" if cause.write else "",
                key=entry.name or "",
            )


RULE = Rule(
    id="REQ015",
    severity=Severity.ERROR,
    area=Area.REQUIREMENTS,
    title="Provider for another Airflow",
    why="Airflow itself is an essential pin: a provider release that asks for a newer one cannot "
    "be installed, and nothing of the file is",
    source="spec/05 (PF-13, T-30), spec/10 section 4.4",
    fix="Take the provider version of the constraint file: leave the version out",
    check=check,
)
