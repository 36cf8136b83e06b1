"""DAG010: a DAG file that the DAG processor passes over."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.readings.dags import might_hold_dag
from mwaa_local.preflight.readings.python import PythonFile
from mwaa_local.preflight.readings.text import TextFile
from mwaa_local.preflight.workspace import Workspace

_MAKERS = ("DAG", "dag")


def check(workspace: Workspace) -> Iterator[Hit]:
    dags = workspace.dags
    for file in dags.python:
        if not might_hold_dag(file.source.data):
            line = _builds_dag(file)
            if line:
                missing = "airflow" if b"airflow" not in file.source.data.lower() else "dag"
                yield Hit(
                    f"the file's text holds no {missing!r}, so it is taken for one without a DAG",
                    file.path,
                    line,
                    fix=f"add a comment with the words airflow and dag: # airflow {missing} file"
                    if missing == "dag"
                    else "add a comment that holds the word airflow",
                )
    for path in dags.files:
        if path.suffix == ".py" and path not in dags.looked_at:
            try:
                hidden = PythonFile(TextFile.read(path))
            except OSError:
                continue
            line = _builds_dag(hidden) if b"airflow" in hidden.source.data.lower() else 0
            if line:
                yield Hit(
                    "a line of .airflowignore hides this DAG file",
                    path,
                    line,
                    fix="take it out of .airflowignore",
                    severity=Severity.INFO,
                )


def _builds_dag(file: PythonFile) -> int:
    """The line where a file makes a DAG at its top level, 0 for none."""
    for call in file.calls:
        written = call.node.func.id if isinstance(call.node.func, ast.Name) else ""
        if (
            (written in _MAKERS or call.name.rpartition(".")[2] in _MAKERS)
            and (call.node.args or call.node.keywords)
            and "dag_id" not in [item.arg for item in call.node.keywords if isinstance(item.value, ast.Attribute)]
        ):
            return call.line
    return 0


RULE = Rule(
    id="DAG010",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="DAG file that is not parsed",
    why=(
        "only files whose text holds both `airflow` and `dag` are imported, and none that .airflowignore lists; "
        "a factory behind an import of your own is passed over without a word"
    ),
    source="spec/07 B1.4",
    fix="Add a comment with both words",
    check=check,
)
