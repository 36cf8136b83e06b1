"""DEF002: a field that MWAA's API does not have."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _issues
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    return _issues.hits(workspace, "unknown")


RULE = Rule(
    id="DEF002",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="Unknown field",
    why="MWAA's API refuses a request with a member it does not know, before anything is changed",
    source="spec/01 section 5.4",
    fix="Spell the field as the API does, or remove it",
    check=check,
)
