"""DAG017: another executor."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.python import text_of
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    for file in workspace.dags.parsed:
        if b"executor" not in file.source.data:
            continue
        for call in file.all_calls:
            for keyword in call.node.keywords:
                if keyword.arg == "executor" and text_of(keyword.value) and "Celery" not in text_of(keyword.value):
                    yield Hit(
                        f"executor {text_of(keyword.value)!r}: MWAA runs the CeleryExecutor only",
                        file.path,
                        keyword.value.lineno,
                        key=text_of(keyword.value),
                    )


RULE = Rule(
    id="DAG017",
    severity=Severity.ERROR,
    area=Area.DAGS,
    title="Executor MWAA does not run",
    why="the executor is fixed; a task that asks for another is an import error",
    source="spec/10 section 2.3",
    fix="Remove the argument; for containers use the ECS, EKS or Batch operators",
    check=check,
)
