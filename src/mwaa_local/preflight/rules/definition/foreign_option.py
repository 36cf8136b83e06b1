"""DEF008: an option name of another major version of Airflow."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog import configuration_rows, service_options
from mwaa_local.catalog.airflow_names import option_names, variable_of
from mwaa_local.catalog.upgrade import foreign_option
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    version, major = workspace.version.airflow, workspace.version.series
    overridden = {row.name for row in configuration_rows(version) if row.layer == "essential"}
    options, names = workspace.environment.spec.options, option_names(version)
    path = workspace.definition.path
    for option in options:
        line = workspace.definition.option_line(option)
        now = names.names(option)[0]
        if variable_of(now) in overridden or option in service_options():
            continue  # DEF007 says it, or MWAA takes it under this name on every version
        if now != option and now in options:
            yield Hit(
                f"{option} is the old name of {now}, which is set too: Airflow does not read this value",
                path,
                line,
                fix=f"leave {now} alone",
            )
            continue
        change = foreign_option(option, version)
        if change is None:
            continue
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
