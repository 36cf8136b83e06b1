"""DAG013: tasks that may run longer than MWAA lets them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.python import PythonFile, text_of
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_DEFAULT_SENSOR_SECONDS = 7 * 24 * 3600  # Airflow's own sensors.default_timeout: nobody chose it


def check(workspace: Workspace) -> Iterator[Hit]:
    if not workspace.dags.imported:
        return
    limit = workspace.parsing.task_seconds
    for path, result in workspace.imports.dags.items():
        file = workspace.dags.by_path.get(path)
        for dag in result.dags:
            for task in dag["tasks"]:
                line = _line(file, str(task["task"]))
                if (task.get("execution_timeout") or 0) > limit:
                    yield Hit(
                        f"task {task['task']} has an execution_timeout of {_hours(task['execution_timeout'])}",
                        path,
                        line,
                        key=str(task["task"]),
                    )
                elif task.get("mode") == "poke" and (task.get("timeout") or 0) > limit:
                    chosen = task["timeout"] != _DEFAULT_SENSOR_SECONDS
                    yield Hit(
                        f"sensor {task['task']} may hold a worker slot for {_hours(task['timeout'])}",
                        path,
                        line,
                        fix='mode="reschedule", deferrable=True, or a shorter timeout',
                        severity=None if chosen else Severity.INFO,
                        key=str(task["task"]),
                    )


def _hours(seconds: Any) -> str:
    return f"{float(seconds) / 3600:g} hours"


def _line(file: PythonFile | None, task_id: str) -> int:
    for call in file.all_calls if file else ():
        if any(
            item.arg == "task_id" and text_of(item.value) == task_id.rpartition(".")[2] for item in call.node.keywords
        ):
            return call.line
    return 0


RULE = Rule(
    id="DAG013",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="Task longer than 12 hours",
    why=(
        "a task may run 12 hours on MWAA, the time its message stays hidden in the queue; then it is ended and "
        "reported as killed externally"
    ),
    source="spec/05 T-29, PF-20, spec/10 section 6.1",
    fix="Split it, or start the work elsewhere and wait for it with a deferrable operator",
    check=check,
)
