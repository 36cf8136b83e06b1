"""DAG006: network access while a DAG file is imported."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

# Seen in the text where the file could not be imported.
_CALLS = (
    "requests.",
    "urllib.request.",
    "httpx.",
    "socket.create_connection",
    "urllib3.",
    "boto3.client().",
    "boto3.resource().",
    "psycopg2.connect",
    "paramiko.",
)
_PURE = (
    "requests.Session",
    "requests.Request",
    "requests.adapters",
    "requests.auth",
    "httpx.Client",
    "httpx.Timeout",
    "urllib3.disable_warnings",
    "urllib.request.Request",
)


def check(workspace: Workspace) -> Iterator[Hit]:
    files = workspace.dags.parsed
    results = workspace.imports.dags if files else {}
    for file in files:
        result = results.get(file.path)
        if result is not None:
            for access in result.accesses:
                if access.kind == "network":
                    yield Hit(
                        f"importing the file connects to {access.target}", access.file, access.line, key="network"
                    )
            continue
        for call in file.calls:
            if call.name.startswith(_CALLS) and not call.name.startswith(_PURE):
                yield Hit(f"importing the file calls {call.name}", file.path, call.line, key="network")


RULE = Rule(
    id="DAG006",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="Network access at the top level",
    why=(
        "the DAG processor imports every file about every 30 seconds, on each scheduler: a call at the top level "
        "is made each time, counts against the import time-out, and a service that is down takes the DAG away"
    ),
    source="spec/07 B1.4, spec/05 T-06",
    fix="Move the call into a task; hand its result on by XCom, or write it to a file that is uploaded with the DAGs",
    check=check,
)
