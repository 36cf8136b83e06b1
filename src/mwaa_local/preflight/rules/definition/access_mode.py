"""DEF006: a web server access mode that the version does not have."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _issues
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    return _issues.hits(workspace, "access")


RULE = Rule(
    id="DEF006",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="Access mode unknown to the version",
    why="PUBLIC_AND_PRIVATE exists from Airflow 3.2.1 on; on an earlier version the request is refused",
    source="spec/01 section 6",
    fix="Use PUBLIC_ONLY or PRIVATE_ONLY, or a newer AirflowVersion",
    check=check,
)
