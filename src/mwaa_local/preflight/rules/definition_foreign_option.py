"""DEF008: an option name of another major version of Airflow."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog import configuration_rows
from mwaa_local.catalog.upgrade import foreign_option
from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    major = workspace.version.major
    overridden = {row.name for row in configuration_rows(workspace.version.airflow) if row.layer == "essential"}
    for option in workspace.environment.options:
        change = foreign_option(option, major)
        section, _, key = option.partition(".")
        if change is None or f"AIRFLOW__{section.upper()}__{key.upper()}" in overridden:
            continue
        line = workspace.definition.option_line(option)
        path = workspace.definition.path
        if change.still_read:
            yield Hit(
                f"Airflow {major} calls {option} {change.other}; the old name is still read",
                path,
                line,
                fix=f"write {change.other}",
                severity=Severity.INFO,
            )
        elif change.other:
            yield Hit(
                f"Airflow {major} has no option {option}: it is called {change.other}",
                path,
                line,
                fix=f"write {change.other}",
            )
        else:
            yield Hit(f"Airflow {major} has no option {option}", path, line, fix="remove it")


RULE = Rule(
    id="DEF008",
    severity=Severity.WARNING,
    area=Area.DEFINITION,
    title="Option of another Airflow version",
    why=(
        "MWAA exports any section.option as a variable; Airflow silently ignores the ones it does not know, and "
        "MWAA translates no names"
    ),
    source="spec/04 section 5.1, spec/07 B1.2",
    fix="Use this version's name",
    check=check,
)
