"""DAG003: a DAG file that takes too long to import."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    if not workspace.dags.imported:
        return
    limit = workspace.import_timeout
    for path, result in workspace.imports.dags.items():
        timed_out = result.late or any("AirflowTaskTimeout" in problem.text for problem in result.problems)
        line = next((problem.line for problem in result.problems if problem.file == path), 0)
        if timed_out:
            yield Hit(
                f"importing it does not end within core.dagbag_import_timeout ({limit:g} s)",
                path,
                line,
                key="slow",
                severity=Severity.ERROR,
            )
        elif result.seconds > limit * workspace.parsing.slow_share:
            yield Hit(
                (
                    f"importing it takes {result.seconds:.1f} s here; MWAA stops it after {limit:g} s, on a "
                    "smaller machine"
                ),
                path,
                key="slow",
            )


RULE = Rule(
    id="DAG003",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="Import takes too long",
    why=(
        "each file is imported again and again by the DAG processor; one that takes longer than "
        "core.dagbag_import_timeout is given up, and its DAGs do not appear"
    ),
    source="spec/07 B1.4",
    fix=(
        "Move work out of the top level into tasks; as a last resort raise core.dagbag_import_timeout and the "
        "file processor's time-out"
    ),
    check=check,
)
