"""DAG012: writing into the DAG folder."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from mwaa_local.catalog import limits
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.python import Call, PythonFile, text_of
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_METHODS = ("write_text", "write_bytes", "mkdir", "touch", "to_csv", "to_parquet", "to_json", "to_excel")
_FUNCTIONS = ("os.makedirs", "os.mkdir", "shutil.copy", "shutil.copyfile", "shutil.move")


def check(workspace: Workspace) -> Iterator[Hit]:
    home = re.escape(limits().home)
    folder = re.compile(rf"{home}/(dags|plugins)(/|$)")
    redirect = re.compile(rf">>?\s*({home}/dags|\$AIRFLOW_HOME/dags|\$\{{AIRFLOW_HOME\}}/dags)")
    for file in workspace.dags.python:
        if (
            b"/dags" not in file.source.data
            and b"__file__" not in file.source.data
            and b"/plugins" not in file.source.data
        ):
            continue
        for call in file.all_calls:
            target = _target(file, call)
            if target and (folder.search(target) or target == "__file__"):
                shown = "the folder of the DAG file" if target == "__file__" else target
                yield Hit(f"this writes to {shown}", file.path, call.line, key="write")
            command = next((text_of(item.value) for item in call.node.keywords if item.arg == "bash_command"), "")
            if redirect.search(command):
                yield Hit("the command writes into the DAG folder", file.path, call.line, key="write")


def _target(file: PythonFile, call: Call) -> str:
    """What a call writes to, as text; ``__file__`` for something built from it; empty when it only reads."""
    leaf = call.node.func.attr if isinstance(call.node.func, ast.Attribute) else call.name
    if call.name == "open" or leaf == "open":
        mode = (
            text_of(call.node.args[1])
            if len(call.node.args) > 1
            else next((text_of(item.value) for item in call.node.keywords if item.arg == "mode"), "r")
        )
        if not set(mode) & set("wax+") or not call.node.args:
            return ""
        return _text(file, call.node.args[0])
    if call.name in _FUNCTIONS and call.node.args:
        return _text(file, call.node.args[-1] if call.name.startswith("shutil") else call.node.args[0])
    if leaf in _METHODS:
        if leaf.startswith("to_"):
            return _text(file, call.node.args[0]) if call.node.args else ""
        return _text(file, call.node.func.value) if isinstance(call.node.func, ast.Attribute) else ""
    return ""


def _text(file: PythonFile, node: ast.expr) -> str:
    if any(isinstance(inner, ast.Name) and inner.id == "__file__" for inner in ast.walk(node)):
        return "__file__"
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value.startswith("/"):
            return inner.value
        if isinstance(inner, ast.Name):
            value = next(
                (
                    item.value
                    for item in file.tree.body
                    if isinstance(item, ast.Assign)
                    and any(isinstance(target, ast.Name) and target.id == inner.id for target in item.targets)
                ),
                None,
            )
            if value is not None and value is not node:
                if any(isinstance(part, ast.Name) and part.id == "__file__" for part in ast.walk(value)):
                    return "__file__"
                text = text_of(value)
                if text.startswith("/"):
                    return text
    return ""


RULE = Rule(
    id="DAG012",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="Writing into the DAG folder",
    why=(
        "the DAG folder of each container mirrors the bucket and is renewed every 30 seconds, deletions "
        "included; a file written there reaches neither the bucket nor another component, where the next task "
        "may run"
    ),
    source="spec/07 section 0.3, spec/04 sections 10.2 and 13",
    fix="Write to /tmp within one task, and to S3 between tasks",
    check=check,
)
