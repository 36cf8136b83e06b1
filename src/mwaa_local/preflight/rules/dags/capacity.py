"""DAG014: more DAGs than the class is made for."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog import environment_classes
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    if workspace.only is not None or not workspace.dags.imported:
        return
    class_, share = workspace.environment.environment_class, workspace.parsing.capacity_share
    results = workspace.imports.dags
    count = sum(len(result.dags) for result in results.values())
    line, path = workspace.definition.line("EnvironmentClass"), workspace.definition.path
    if count > class_.dag_capacity * share:
        larger = next((item.name for item in environment_classes().values() if item.dag_capacity * share >= count), "")
        fix = f"use {larger}, or fewer DAGs" if larger else "fewer DAGs per environment"
        yield Hit(
            f"{count} DAGs on {class_.name}: more than {class_.dag_capacity * share:g}, which is {share:.0%} of the "
            f"{class_.dag_capacity} that the class is made for",
            path,
            line,
            fix=fix,
            key="count",
        )
    seconds = sum(result.seconds for result in results.values())
    pace = seconds / workspace.environment.spec.parsing_processes
    interval = workspace.option_number(workspace.parsing.process_interval_option, 30)
    if pace > interval:
        yield Hit(
            (
                f"importing all files takes {seconds:.0f} s here, {pace:.0f} s with the "
                f"{workspace.environment.spec.parsing_processes} parsing processes of {class_.name}: longer than the "
                f"{interval:g} s between two rounds"
            ),
            path,
            line,
            fix="speed up the slow files, raise min_file_process_interval, or use a larger EnvironmentClass",
            key="pace",
        )


RULE = Rule(
    id="DAG014",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="More DAGs than the class carries",
    why=(
        "Airflow parses DAGs whether they are paused or not; above about half of the class's capacity the "
        "scheduler becomes overloaded, and tasks stay queued"
    ),
    source="spec/05 T-07, PF-22, spec/04 section 1.1",
    fix="Fewer DAGs, or a larger class",
    check=check,
)
