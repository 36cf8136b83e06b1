"""DAG018: the metadata database on Airflow 3."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.workspace import Workspace

_NAMES = (
    "airflow.settings.Session",
    "airflow.utils.session.create_session",
    "airflow.utils.session.provide_session",
    "airflow.utils.db.create_session",
    "airflow.utils.db.provide_session",
)


def check(workspace: Workspace) -> Iterator[Hit]:
    if workspace.version.major < 3:
        return
    for file in workspace.dags.parsed:
        for item in file.imports:
            if item.name in _NAMES and not item.guarded:
                yield Hit(
                    f"{item.name}: tasks have no access to the metadata database on Airflow 3",
                    file.path,
                    item.line,
                    key=item.name,
                )


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
