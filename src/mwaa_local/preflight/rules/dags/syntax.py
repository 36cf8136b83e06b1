"""DAG001: a file that is no Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

KINDS = ("SyntaxError", "IndentationError", "TabError")


def check(workspace: Workspace) -> Iterator[Hit]:
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    parsed = {file.path for file in workspace.dags.parsed}
    results = workspace.imports.dags if parsed else {}
    for file in workspace.dags.python:
        result = results.get(file.path)
        if result is not None and file.path in parsed:
            # The version's own Python has looked at it; the tool's may be older or newer.
            for problem in result.problems:
                if problem.text.startswith(KINDS) and (problem.file in (None, file.path)):
                    yield Hit(
                        f"not Python {workspace.version.python}: {problem.text}", file.path, problem.line, key="syntax"
                    )
            continue
        if isinstance(file.parsed, SyntaxError):
            yield Hit(f"not Python {ours}: {file.parsed.msg}", file.path, file.parsed.lineno or 0, key="syntax")


RULE = Rule(
    id="DAG001",
    severity=Severity.ERROR,
    area=Area.DAGS,
    title="Syntax error",
    why=(
        "the file cannot be parsed by the Python of this Airflow version; its DAGs vanish from the list and the "
        "UI shows a broken DAG"
    ),
    source="spec/07 B2.7, spec/01 section 5.2",
    fix="Mend the line",
    check=check,
)
