"""DAG021: arguments without effect on Airflow 3."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog.upgrade import idle_arguments
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    if not workspace.version.has("removals_of_3"):
        return
    table = idle_arguments()
    for file in workspace.dags.parsed:
        if not any(name.encode() in file.source.data for name in table):
            continue
        for call in file.all_calls:
            for keyword in call.node.keywords:
                if keyword.arg in table and call.name.rpartition(".")[2].endswith(
                    ("DAG", "dag", "Operator", "Sensor", "task")
                ):
                    yield Hit(
                        f"{keyword.arg} is accepted and does nothing on Airflow 3",
                        file.path,
                        keyword.value.lineno,
                        fix=f"use {table[keyword.arg]}",
                        key=keyword.arg,
                    )


RULE = Rule(
    id="DAG021",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="Argument without effect on Airflow 3",
    why="service level agreements were removed: nobody is told when a task is late",
    source="spec/07 section 0.2",
    fix="Use deadline alerts",
    check=check,
)
