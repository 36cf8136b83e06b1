"""DEF001: mwaa.yaml cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _issues
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    return _issues.hits(workspace, "unreadable")


RULE = Rule(
    id="DEF001",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="Definition cannot be read",
    why=(
        "mwaa.yaml is the one description of the environment; nothing of it counts while it is no YAML mapping "
        "of fields"
    ),
    source="design section 5",
    fix="Mend the line; `Name: local` alone is a whole definition",
    check=check,
)
