"""DEF003: a value that MWAA refuses."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _issues
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    return _issues.hits(workspace, "value")


RULE = Rule(
    id="DEF003",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="Value MWAA refuses",
    why=(
        "each field has a type, a pattern, a range or a closed set of values; the API answers anything else with "
        "ValidationException"
    ),
    source="spec/01 section 5.4",
    fix="Use one of the allowed values",
    check=check,
)
