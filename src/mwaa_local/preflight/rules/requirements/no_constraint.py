"""REQ005: a file without a constraint line."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.version import Version

from mwaa_local import catalog
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.reading is None or not outcome.reading.entries:
        return
    reading, since = outcome.reading, catalog.limits().constraint_injected_from
    if reading.injected:
        yield Hit(
            f"no --constraint line: MWAA adds its own for Airflow {workspace.version.airflow} "
            f"(this check did the same: {reading.source})",
            outcome.file,
            0,
            fix=f"--constraint {url(workspace)}",
            key="missing",
        )
    elif not reading.constrained and Version(workspace.version.airflow) < Version(since):
        yield Hit(
            "no --constraint line: pip takes the newest versions, which need not fit this Airflow",
            outcome.file,
            0,
            fix=f"--constraint {url(workspace)}",
            severity=Severity.WARNING,
            key="missing",
        )


def url(workspace: Workspace) -> str:
    """The address of Airflow's own file for the environment, quoted as the guide has it."""
    address = catalog.limits().constraint_url.format(airflow=workspace.version.airflow, python=workspace.version.python)
    return f'"{address}"'


RULE = Rule(
    id="REQ005",
    severity=Severity.INFO,
    area=Area.REQUIREMENTS,
    title="No constraint line",
    why="from Airflow 2.7.2 on MWAA applies its own constraint file when the text names none, so "
    "versions are held either way; a line in the file says so to every reader and to every "
    "other tool",
    source="spec/04 section 12.1, spec/10 section 4.1",
    fix="Put the --constraint line of your Airflow version at the top",
    check=check,
)
