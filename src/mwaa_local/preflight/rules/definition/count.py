"""DEF005: numbers of workers, schedulers or web servers outside of what the class allows."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _issues
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    return _issues.hits(workspace, "count")


RULE = Rule(
    id="DEF005",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="Count outside of the class's range",
    why=(
        "the environment class fixes how many schedulers and web servers there may be; the account's quota "
        "limits workers; a minimum above its maximum is refused"
    ),
    source="spec/04 sections 1-3, spec/01 section 5.4",
    fix="Use a number in the range, or another EnvironmentClass",
    check=check,
)
