"""DAG011: files that are parsed for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.imports import SETTINGS_FILE
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    if not workspace.dags.imported:
        return
    for path, result in workspace.imports.dags.items():
        if not result.dags and not result.problems and path.name not in (SETTINGS_FILE, "__init__.py"):
            name = (
                path.relative_to(workspace.dags.path).as_posix()
                if path.is_relative_to(workspace.dags.path)
                else path.name
            )
            yield Hit(
                "the file is imported like a DAG file every 30 seconds and defines no DAG",
                path,
                fix=f"add {name} to dags/.airflowignore",
            )


RULE = Rule(
    id="DAG011",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="File without a DAG not in .airflowignore",
    why=(
        "the guide asks for every file that defines no DAG to be listed in .airflowignore: parsing happens for "
        "each file that looks like one, and takes the parser's time"
    ),
    source="spec/04 section 11.1, spec/07 B1.4",
    fix="List it in dags/.airflowignore; it can still be imported",
    check=check,
)
