"""DEF018: a workflow file that the definition names and that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_FIELDS = {
    "Local.Paths.Dags": "dags",
    "Local.Paths.Plugins": "plugins",
    "Local.Paths.Requirements": "requirements",
    "Local.Paths.StartupScript": "startup_script",
}


def check(workspace: Workspace) -> Iterator[Hit]:
    reading = workspace.definition
    for field, name in _FIELDS.items():
        path = getattr(workspace.environment.workflow, name)
        if field in reading.values and not path.exists():
            yield Hit(
                f"{field} names {workspace.relative(path)}, which does not exist", reading.path, reading.line(field)
            )


RULE = Rule(
    id="DEF018",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="Workflow file missing",
    why=(
        "a file that an environment names and that cannot be read makes the update fail (Unable to read version "
        "... of file ...)"
    ),
    source="spec/04 section 13",
    fix="Correct the path, or remove the field to use the default",
    check=check,
)
