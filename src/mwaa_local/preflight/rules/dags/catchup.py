"""DAG019: catch-up left to the default, which differs."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.python import keyword
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    if "scheduler.catchup_by_default" in workspace.environment.spec.options:
        return
    default = workspace.version.has("catchup_by_default")
    for file in workspace.dags.parsed:
        for call in file.calls:
            if call.name.rpartition(".")[2] not in ("DAG", "dag") or not call.node.keywords:
                continue
            schedule = keyword(call.node, "schedule") or keyword(call.node, "schedule_interval")
            none = schedule is None or getattr(schedule.value, "value", 0) is None
            if keyword(call.node, "catchup") is None and not none and keyword(call.node, "start_date") is not None:
                yield Hit(
                    (
                        f"catchup is not set: it is {default} on Airflow {workspace.version.series} and "
                        f"{not default} on the other major version"
                    ),
                    file.path,
                    call.line,
                    key=f"catchup{default}",
                )


RULE = Rule(
    id="DAG019",
    severity=Severity.INFO,
    area=Area.DAGS,
    title="Catch-up left to the default",
    why=(
        "scheduler.catchup_by_default is True on 2.10.3 and False on 3.2.1: after an upgrade a scheduled DAG no "
        "longer makes up for missed intervals, or the other way round"
    ),
    source="spec/04 section 5.1",
    fix="Say catchup=True or catchup=False",
    check=check,
)
