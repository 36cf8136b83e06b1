"""DAG008: arguments that Airflow 3 refuses."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _v3
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    if not workspace.version.has("removals_of_3"):
        return
    for file in workspace.dags.python:
        for item in _v3.removals(file):
            if item.kind == "argument":
                instead = (
                    f": {item.instead}" if " " in item.instead else f", use {item.instead}" if item.instead else ""
                )
                fix = f"write {item.instead}=" if item.instead and " " not in item.instead else "remove it"
                yield Hit(
                    f"{item.owner} has no argument {item.name} on Airflow 3{instead}",
                    file.path,
                    item.line,
                    fix=fix,
                    key=item.name,
                )


RULE = Rule(
    id="DAG008",
    severity=Severity.ERROR,
    area=Area.DAGS,
    title="Argument removed in Airflow 3",
    why="an unknown argument is an error while the file is imported: the DAG is broken",
    source="spec/07 section 0.2, spec/05 PF-21",
    fix="Use the new argument",
    check=check,
)
