"""DAG005: a queue that no worker reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.imports import QUEUE
from mwaa_local.preflight.readings.python import PythonFile, text_of
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def _written(file: PythonFile) -> Iterator[tuple[str, int]]:
    """``queue`` arguments of operators and of ``default_args``, with their lines."""
    for call in file.all_calls:
        leaf = call.name.rpartition(".")[2]
        if (
            leaf.endswith(("Operator", "Sensor", "task", "dag", "DAG"))
            or ".task" in call.name
            or call.name.startswith("task.")
        ):
            for keyword in call.node.keywords:
                if keyword.arg == "queue" and text_of(keyword.value):
                    yield text_of(keyword.value), keyword.value.lineno
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and text_of(key) == "queue" and text_of(value):
                    yield text_of(value), key.lineno


def check(workspace: Workspace) -> Iterator[Hit]:
    allowed = {QUEUE, *workspace.parsing.queues}
    files = workspace.dags.parsed
    results = workspace.imports.dags if files else {}
    for file in files:
        result = results.get(file.path)
        used = (
            {str(task["queue"]) for dag in (result.dags if result else ()) for task in dag["tasks"]}
            if result and not result.problems
            else None
        )
        lines = dict(_written(file))
        for value, line in lines.items():
            if value not in allowed and (used is None or value in used):
                yield _hit(workspace, file, value, line)
        for value in sorted((used or set()) - allowed - set(lines)):
            yield _hit(workspace, file, value, 0)


def _hit(workspace: Workspace, file: PythonFile, value: str, line: int) -> Hit:
    also = f" or {', '.join(workspace.parsing.queues)}" if workspace.parsing.queues else ""
    return Hit(f"queue {value!r}: the environment has one queue of its own{also}", file.path, line, key=value)


RULE = Rule(
    id="DAG005",
    severity=Severity.ERROR,
    area=Area.DAGS,
    title="Queue that no worker reads",
    why=(
        "MWAA has exactly one queue, whose name is its own; a task sent to another stays queued until it fails, "
        "without any log"
    ),
    source="spec/05 T-24, PF-19, spec/10 section 6.3",
    fix="Remove the queue argument",
    check=check,
)
