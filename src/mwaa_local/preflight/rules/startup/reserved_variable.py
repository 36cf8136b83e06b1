"""SUP005: a reserved variable is set."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog import is_protected, reserved_variables
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    version = workspace.version.airflow
    reserved = {name: item for item in reserved_variables(version) for name in (item.name, item.as_printed)}
    for export in script.exports:
        item = reserved.get(export.name)
        if item is None and not is_protected(export.name, version):
            continue
        option = item.via_option if item else ""
        fix = f"set the configuration option {option} in mwaa.yaml instead" if option else "remove the line"
        yield Hit(
            f"{export.name} is reserved: MWAA puts its own value back after the script",
            script.source.path,
            export.line,
            fix=fix,
            key=export.name,
        )


RULE = Rule(
    id="SUP005",
    severity=Severity.WARNING,
    area=Area.STARTUP,
    title="Reserved variable",
    why="overwriting a reserved variable is no error and has no effect: MWAA restores its default without a word",
    source="spec/04 section 9.1, spec/10 section 2.6",
    fix="Remove the line",
    check=check,
)
