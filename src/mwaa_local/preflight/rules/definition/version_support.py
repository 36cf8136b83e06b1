"""DEF016: an Airflow version that MWAA no longer supports."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog import default_version
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    version = workspace.version
    if not version.is_supported:
        yield Hit(
            f"Airflow {version.airflow} is out of support on MWAA: no new environment of it can be made",
            workspace.definition.path,
            workspace.definition.line("AirflowVersion"),
            fix=f"plan the move: `mwaa-local validate --target {default_version()}`",
        )


RULE = Rule(
    id="DEF016",
    severity=Severity.WARNING,
    area=Area.DEFINITION,
    title="Version out of support",
    why=(
        "after the end of support an existing environment stays reachable, but none can be created or changed to "
        "that version"
    ),
    source="spec/01 section 5.2",
    fix="Move to a supported version",
    check=check,
)
