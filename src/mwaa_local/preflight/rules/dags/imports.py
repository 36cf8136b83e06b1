"""DAG002: a DAG file that cannot be imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mwaa_local.preflight.advice import advice
from mwaa_local.preflight.findings import Area, Hit, Severity, Unchecked
from mwaa_local.preflight.imports import FileImport, ImportProblem, Imports
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _advice, _exports, _v3
from mwaa_local.preflight.rules.dags.syntax import KINDS
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit | Unchecked]:
    if not workspace.dags.imported:
        return
    imports = workspace.imports
    yield from imports.unchecked
    for path, result in imports.dags.items():
        file = workspace.dags.by_path.get(path)
        claimed = _v3.claimed(file) if file is not None and workspace.version.has("removals_of_3") else frozenset()
        for problem in result.problems:
            if result.late or _is_syntax(workspace, problem) or "AirflowTaskTimeout" in problem.text:
                continue  # DAG003, DAG001
            if problem.file == path and problem.line in claimed:
                continue  # DAG008 and DAG009 say what took its place
            if "UnknownExecutorException" in problem.text:
                continue  # DAG017
            if any(item.kind == "network" for item in result.accesses) and not _is_missing_module(problem):
                continue  # DAG006: the check itself cut the network
            yield (
                _stored(workspace, problem)
                if problem.stage != "import"
                else _outcome(workspace, imports, result, problem)
            )


def _is_syntax(workspace: Workspace, problem: ImportProblem) -> bool:
    """Whether DAG001 says it: not of a file that it does not look at, in plugins or in a folder of an archive."""
    return problem.text.startswith(KINDS) and (problem.file is None or problem.file in workspace.dags.by_path)


def _is_missing_module(problem: ImportProblem) -> bool:
    return problem.text.startswith(("ModuleNotFoundError", "ImportError"))


def _told(problem: ImportProblem) -> str:
    return advice.told(problem.message or problem.text)


def _stored(workspace: Workspace, problem: ImportProblem) -> Hit:
    """A DAG that imports, and that Airflow then cannot keep."""
    what = f"the DAG {problem.dag}" if problem.dag else "its DAGs"
    if problem.stage == "serialise":
        ends = "cannot be stored, which Airflow shows as an import error"
    elif workspace.version.has("unstorable_dag_ends_processor"):
        ends = "cannot be stored: the DAG processor ends at every start, and no DAG file is read any more"
    else:
        ends = "cannot be stored: it never appears, and the UI says nothing"
    line = problem.line or _line_of(workspace, problem)
    return Hit(
        f"the file imports, but {what} {ends}: {_told(problem)}",
        problem.file or workspace.environment.workflow.dags,
        line,
        excerpt="" if line else problem.text,
        fix=advice.stored(problem.message or problem.text, problem.traceback),
        key=f"{problem.dag} {problem.text}",
    )


def _line_of(workspace: Workspace, problem: ImportProblem) -> int:
    """The line that names the DAG, if one does; 0 otherwise."""
    file = workspace.dags.by_path.get(problem.file) if problem.file else None
    if file is None or not problem.dag:
        return 0
    quoted = (f'"{problem.dag}"', f"'{problem.dag}'", f"def {problem.dag}(")
    return next((n for n, line in enumerate(file.source.lines, 1) if any(word in line for word in quoted)), 0)


def _outcome(workspace: Workspace, imports: Imports, result: FileImport, problem: ImportProblem) -> Hit | Unchecked:
    shown = workspace.relative(problem.file) if problem.file else result.name
    reads = [item for item in result.accesses if item.kind != "network"]
    if reads and not advice.certain(problem.text):
        names = ", ".join(sorted({f"{item.kind} {item.target}" for item in reads})[:3])
        return Unchecked(
            f"import of {shown}",
            f"it depends on the {names}, which has no value here ({problem.text})",
            "read it inside a task, or export AIRFLOW_VAR_... in the startup script",
        )
    unsettled = _exports.doubt(workspace, problem, Path(result.name))
    if unsettled is not None:
        return unsettled
    if awaited := _advice.waits_for_requirements(workspace, problem):
        return Unchecked(
            f"import of {shown}",
            f"it needs {awaited} and requirements.txt could not be installed ({problem.text})",
            "mend requirements.txt first",
        )
    fix = _exports.advice(workspace, problem, Path(result.name)) or _advice.of(workspace, problem)
    message = problem.text if problem.text.startswith("the ") else f"import fails: {_told(problem)}"
    excerpt = "" if problem.line else problem.text
    return Hit(
        message,
        problem.file or workspace.environment.workflow.dags,
        problem.line,
        excerpt=excerpt,
        fix=fix,
        key=problem.text,
    )


RULE = Rule(
    id="DAG002",
    severity=Severity.ERROR,
    area=Area.DAGS,
    title="Import error",
    why=(
        "a file that cannot be imported on a component gives a broken DAG in the UI and none of its DAGs run. "
        "Checked by a real import in this Airflow version with requirements.txt installed"
    ),
    source="spec/07 B2.7, spec/05 T-03",
    fix="Mend what the file raises while it is imported",
    check=check,
)
