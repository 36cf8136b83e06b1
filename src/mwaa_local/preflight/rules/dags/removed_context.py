"""DAG026: what Airflow 3 no longer puts into a task's context."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog.upgrade import removed_context_keys
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.tasks import ARGUMENT, KEY, TEMPLATE, context_uses
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_HOW = {
    TEMPLATE: ("the template's {name} is undefined on Airflow 3", "rendering it fails"),
    KEY: ("the context has no {name} on Airflow 3", "asking for it is a KeyError"),
    ARGUMENT: ("Airflow 3 gives a task's function no {name}", "the call fails for want of it"),
}
_MILD = {
    TEMPLATE: "unless a macro of the DAG has that name",
    KEY: "what stands in for it is taken",
    ARGUMENT: "its default is taken",
}


def check(workspace: Workspace) -> Iterator[Hit]:
    if not workspace.version.has("removals_of_3"):
        return
    gone = removed_context_keys()
    for file in workspace.dags.python:
        for use in context_uses(file):
            if use.name not in gone:
                continue
            what, then = _HOW[use.kind]
            yield Hit(
                f"{what.format(name=use.name)}: {then if use.certain else _MILD[use.kind]}",
                file.path,
                use.line,
                fix=f"write {gone[use.name]}" if use.kind == TEMPLATE else _in_python(gone[use.name]),
                severity=Severity.ERROR if use.certain else Severity.WARNING,
                key=f"{use.kind} {use.name}",
            )


def _in_python(instead: str) -> str:
    if instead.startswith("macros."):
        return "take logical_date from the context, and go a day on or back"
    if instead.startswith("airflow."):
        return f"import {instead}"
    return f"take {instead.partition(' | ')[0]} from the context"


RULE = Rule(
    id="DAG026",
    severity=Severity.ERROR,
    area=Area.DAGS,
    title="Task context removed in Airflow 3",
    why=(
        "the DAG loads and its task fails when it runs: Airflow 3 no longer gives tasks and templates execution_date, "
        "next_ds, prev_ds, tomorrow_ds, yesterday_ds and their like"
    ),
    source="spec/05 PF-21, Airflow's own list of context keys on both majors",
    fix="Use logical_date and the data interval; a run that was started by hand without a date has neither",
    check=check,
)
