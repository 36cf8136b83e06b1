"""DAG004: one DAG id in two files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.python import PythonFile, text_of
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    if not workspace.dags.imported:
        return
    first: dict[str, Path] = {}
    for path, result in workspace.imports.dags.items():
        for dag in result.dags:
            name = str(dag["id"])
            if name in first and first[name] != path:
                file = workspace.dags.by_path.get(path)
                yield Hit(
                    f"DAG id {name!r} is also used in {workspace.relative(first[name])}",
                    path,
                    _line(file, name),
                    key=name,
                )
            first.setdefault(name, path)


def _line(file: PythonFile | None, dag_id: str) -> int:
    for call in file.all_calls if file else ():
        if call.name.rpartition(".")[2] in ("DAG", "dag"):
            values = [*call.node.args[:1], *(item.value for item in call.node.keywords if item.arg == "dag_id")]
            if any(text_of(value) == dag_id for value in values):
                return call.line
    return 0


RULE = Rule(
    id="DAG004",
    severity=Severity.ERROR,
    area=Area.DAGS,
    title="Duplicate DAG id",
    why=(
        "the DAG of the file that was parsed last takes the place of the other, in turns: runs and code belong "
        "to whichever won"
    ),
    source="spec/05 section 5, PF-22",
    fix="Give each DAG an id of its own",
    check=check,
)
