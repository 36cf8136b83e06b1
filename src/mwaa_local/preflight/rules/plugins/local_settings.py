"""PLG015: airflow_local_settings.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.imports import SETTINGS_FILE
from mwaa_local.preflight.readings.python import PythonFile
from mwaa_local.preflight.readings.text import TextFile
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_HOOKS = frozenset(
    {
        "task_policy",
        "dag_policy",
        "task_instance_mutation_hook",
        "pod_mutation_hook",
        "get_airflow_context_vars",
        "get_dagbag_import_timeout",
    }
)


def check(workspace: Workspace) -> Iterator[Hit]:
    folder = workspace.plugins_folder
    paths = [
        path for path in (workspace.environment.workflow.dags / SETTINGS_FILE, folder / SETTINGS_FILE) if path.is_file()
    ]
    if not paths:
        return
    results = workspace.imports.settings
    for path in paths:
        result = results.get(path)
        for problem in result.problems if result else ():
            yield Hit(
                f"it fails, and with it every Airflow process: {problem.text}", path, problem.line, key=problem.text
            )
        file = PythonFile(TextFile.read(path))
        for node in file.tree.body:
            if isinstance(node, ast.FunctionDef) and node.name in _HOOKS:
                yield Hit(
                    f"Airflow does not see {node.name}: MWAA runs this file and keeps its own settings module",
                    path,
                    node.lineno,
                    severity=Severity.WARNING,
                    key=node.name,
                )


RULE = Rule(
    id="PLG015",
    severity=Severity.ERROR,
    area=Area.PLUGINS,
    title="airflow_local_settings.py",
    why=(
        "MWAA's own settings module executes the one in dags/ and plugins/ for its effects only; an exception in "
        "it stops every Airflow process, and policies it defines are not taken over"
    ),
    source="spec/10 section 5.2",
    fix="Register a policy through an Airflow plugin entry point of a package in requirements.txt",
    check=check,
)
