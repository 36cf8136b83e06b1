"""DAG009: modules and names that moved or vanished in Airflow 3."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _v3
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    if not workspace.version.has("removals_of_3"):
        return
    files = [(file, file.path) for file in workspace.dags.python]
    source = workspace.plugins
    files += [(file, source.place(entry)) for entry, file in source.python] if source else []
    for file, place in files:
        for item in _v3.removals(file):
            if item.kind == "import":
                fix = f"use {item.instead}" if item.instead else "leave it out: nothing takes its place"
                yield Hit(f"{item.name} is gone in Airflow 3", place, item.line, fix=fix, key=item.name)


RULE = Rule(
    id="DAG009",
    severity=Severity.ERROR,
    area=Area.DAGS,
    title="Import removed in Airflow 3",
    why="the module or name is not there any more, and MWAA adds no stand-in: the file cannot be imported",
    source="spec/07 section 0.2, spec/05 PF-21",
    fix="Import it from its new place",
    check=check,
)
