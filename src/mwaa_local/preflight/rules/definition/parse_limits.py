"""DEF013: parsing limits that contradict each other or the class."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    reading, facts = workspace.definition, workspace.parsing
    options = workspace.environment.spec.options
    timeouts = ("core.dagbag_import_timeout", facts.processor_timeout_option)
    for name in (*timeouts, facts.parsing_processes_option):
        if name in options and not _is_number(options[name]):
            yield Hit(
                f"{name} is {options[name]!r}, not a number",
                reading.path,
                reading.option_line(name),
                fix="write a number",
                severity=Severity.ERROR,
            )
    if any(name in options for name in timeouts) and workspace.import_timeout >= workspace.processor_timeout:
        line = max(reading.option_line(name) for name in timeouts)
        yield Hit(
            (
                f"core.dagbag_import_timeout ({workspace.import_timeout:g} s) is not below "
                f"{facts.processor_timeout_option} ({workspace.processor_timeout:g} s)"
            ),
            reading.path,
            line,
            fix=f"raise {facts.processor_timeout_option} above {workspace.import_timeout:g}",
        )
    name = facts.parsing_processes_option
    limit = workspace.environment.spec.parsing_processes
    if name in options and workspace.option_number(name, 0) > limit:
        yield Hit(
            (
                f"{name} {options[name]} is more than {workspace.environment.environment_class.name} has threads "
                f"for ({limit})"
            ),
            reading.path,
            reading.option_line(name),
            fix=f"use at most {limit}, or a larger EnvironmentClass",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


RULE = Rule(
    id="DEF013",
    severity=Severity.WARNING,
    area=Area.DEFINITION,
    title="Parsing limits",
    why=(
        "a file processor that ends before the import may, hides the import error; more parsing processes than "
        "the class has threads starve the scheduler"
    ),
    source="spec/07 B1.3, B1.4",
    fix="Keep the import time-out below the processor's, and processes within the class",
    check=check,
)
