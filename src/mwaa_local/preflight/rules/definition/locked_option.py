"""DEF004: a configuration option that MWAA locks."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _issues
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    return _issues.hits(workspace, "locked")


RULE = Rule(
    id="DEF004",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="Locked option",
    why=(
        "some options stay at MWAA's value whatever the definition says: changing them would break its login, "
        "its executor or deferred tasks"
    ),
    source="spec/04 section 5.4",
    fix="Remove the option",
    check=check,
)
