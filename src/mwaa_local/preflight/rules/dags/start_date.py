"""DAG015: a start date that moves."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.python import PythonFile, text_of
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_NOW = (
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "pendulum.now",
    "pendulum.today",
    "pendulum.yesterday",
    "timezone.utcnow",
)


def _dates(file: PythonFile) -> Iterator[ast.expr]:
    for call in file.calls:
        for keyword in call.node.keywords:
            if keyword.arg == "start_date":
                yield keyword.value
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and text_of(key) == "start_date":
                    yield value


def check(workspace: Workspace) -> Iterator[Hit]:
    for file in workspace.dags.parsed:
        if b"start_date" not in file.source.data:
            continue
        for value in _dates(file):
            for inner in ast.walk(value):
                if not isinstance(inner, ast.Call):
                    continue
                name = file.dotted(inner.func)
                if name.endswith(_NOW):
                    yield Hit(
                        f"start_date is computed with {name}() at every import",
                        file.path,
                        inner.lineno,
                        key="start_date",
                    )


RULE = Rule(
    id="DAG015",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="Moving start date",
    why="the file is imported again every 30 seconds: the first interval never ends, so a scheduled DAG is never run",
    source="spec/07 section 0.2",
    fix="Write a fixed date: start_date=datetime(2024, 1, 1)",
    check=check,
)
