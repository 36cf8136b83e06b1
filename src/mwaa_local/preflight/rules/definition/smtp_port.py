"""DEF017: mail through port 25."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    if workspace.environment.spec.options.get("smtp.smtp_port", "").strip() == "25":
        yield Hit(
            "smtp.smtp_port is 25, which leaves no MWAA environment",
            workspace.definition.path,
            workspace.definition.option_line("smtp.smtp_port"),
        )


RULE = Rule(
    id="DEF017",
    severity=Severity.WARNING,
    area=Area.DEFINITION,
    title="Mail through port 25",
    why="outbound traffic to port 25 is blocked on MWAA unless AWS lifts the block on request; mail ends in a time-out",
    source="spec/04 section 5.1",
    fix='Use 587 with smtp.smtp_starttls: "True", or 465 with smtp.smtp_ssl',
    check=check,
)
