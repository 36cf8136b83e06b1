"""DAG007: variables and connections read while a DAG file is imported."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.python import text_of
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_CALLS = ("Variable.get", "BaseHook.get_connection", "Connection.get", "Connection.get_connection_from_secrets")


def check(workspace: Workspace) -> Iterator[Hit]:
    files = workspace.dags.parsed
    results = workspace.imports.dags if files else {}
    for file in files:
        result = results.get(file.path)
        if result is not None:
            for access in result.accesses:
                if access.kind != "network":
                    yield Hit(
                        f"importing the file reads the {access.kind} {access.target!r}",
                        access.file,
                        access.line,
                        key=access.target,
                    )
            continue
        for call in file.calls:
            if call.name.endswith(_CALLS):
                name = text_of(call.node.args[0]) if call.node.args else ""
                yield Hit(
                    (
                        "importing the file calls "
                        f"{call.name.rpartition('.')[0].rpartition('.')[2]}.{call.name.rpartition('.')[2]}({name!r})"
                    ),
                    file.path,
                    call.line,
                    key=name,
                )


RULE = Rule(
    id="DAG007",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="Variable or connection at the top level",
    why=(
        "each import, about every 30 seconds and file, asks the metadata database, or the secrets backend, which "
        "costs money per request and time against the import time-out"
    ),
    source="spec/07 B1.4, spec/05 T-06",
    fix="Read it inside the task, or by a template: {{ var.value.NAME }}, {{ conn.NAME.host }}",
    check=check,
)
