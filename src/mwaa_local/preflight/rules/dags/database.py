"""DAG018: the metadata database on Airflow 3."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mwaa_local.catalog.upgrade import database_calls
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.python import Call, PythonFile
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

# Helpers that open a session, wherever Airflow lets them be imported from.
_HELPERS = frozenset({"create_session", "provide_session", "create_session_async"})
_SESSIONS = ("airflow.settings.Session", "airflow.settings.NonScopedSession", "airflow.settings.engine")
_MODELS = frozenset({"DagRun", "TaskInstance", "DagModel", "TaskReschedule", "XCom", "DagBag", "Log", "Job", "Pool"})


def check(workspace: Workspace) -> Iterator[Hit]:
    if not workspace.version.has("task_sdk"):
        return
    for file in workspace.dags.parsed:
        told: set[str] = set()
        for item in file.imports:
            if item.guarded or not item.name.startswith("airflow."):
                continue
            if item.name in _SESSIONS or item.name.rpartition(".")[2] in _HELPERS:
                told.add(item.name)
                yield _hit(item.name, file, item.line)
        for call in file.all_calls:
            asked = _asked(call, frozenset(told))
            if asked:
                yield _hit(asked[0], file, call.line, asked[1])


def _hit(name: str, file: PythonFile, line: int, instead: str = "") -> Hit:
    return Hit(
        f"{name}: tasks have no access to the metadata database on Airflow 3",
        file.path,
        line,
        fix=f"ask {instead}" if instead else "",
        key=name,
    )


def _asked(call: Call, told: frozenset[str]) -> tuple[str, str] | None:
    """What a call asks the database, and what to ask instead; nothing when it does not, or its import was told."""
    name = call.name
    if any(name == session or name.startswith((f"{session}.", f"{session}().")) for session in _SESSIONS):
        return None if any(name.startswith(item) for item in told) else (name.split("(")[0], "")
    for end, instead in database_calls().items():
        owner, _, method = end.rpartition(".")
        # A class counts where it is Airflow's; a method alone has a name that nobody else has.
        if owner and name.startswith("airflow.") and name.endswith(f".{end}"):
            return end, instead
        if not owner and isinstance(call.node.func, ast.Attribute) and call.node.func.attr == method:
            return f"{method}()", instead
    if name.rpartition(".")[2] == "query" and any(
        isinstance(item, ast.Name) and item.id in _MODELS for item in call.node.args
    ):
        return f"{name}({', '.join(sorted({item.id for item in call.node.args if isinstance(item, ast.Name)}))})", ""
    return None


RULE = Rule(
    id="DAG018",
    severity=Severity.ERROR,
    area=Area.DAGS,
    title="Direct database access on Airflow 3",
    why=(
        "tasks of Airflow 3 talk to the web server component only (the Execution API); opening a session in a "
        "task raises an error"
    ),
    source="spec/01 section 6, spec/10 section 2.3",
    fix="Use airflow.sdk (Variable, Connection, XCom) or the REST API",
    check=check,
)
