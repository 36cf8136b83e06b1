"""DEF011: task logs that nobody will be able to read."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    setting = workspace.environment.spec.logging["TaskLogs"]
    reading = workspace.definition
    line = reading.line("LoggingConfiguration.TaskLogs.LogLevel")
    if not setting.enabled:
        yield Hit(
            "task logs are switched off: the UI will say that it cannot read remote logs",
            reading.path,
            reading.line("LoggingConfiguration.TaskLogs.Enabled"),
        )
    elif setting.level in ("WARNING", "ERROR", "CRITICAL"):
        yield Hit(f"task logs below {setting.level} are dropped: most tasks will show an empty log", reading.path, line)


RULE = Rule(
    id="DEF011",
    severity=Severity.WARNING,
    area=Area.DEFINITION,
    title="Task logs off or above INFO",
    why="Airflow on MWAA reads task logs back from CloudWatch Logs; what was not written cannot be shown",
    source="spec/05 T-23, PF-07",
    fix="LoggingConfiguration: {TaskLogs: {Enabled: true, LogLevel: INFO}}",
    check=check,
)
