"""Workflow commands that GitHub Actions turns into annotations."""

from __future__ import annotations

from mwaa_local.preflight.findings import Severity, When
from mwaa_local.preflight.report import Finding, Report

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def render(report: Report) -> str:
    """One command per finding and per thing that could not be checked; a summary line at the end."""
    lines = [_command(item) for item in report.findings]
    for item in report.unchecked:
        title = "mwaa-local: checked in part" if item.brief else "mwaa-local: not checked"
        lines.append(f"::warning title={_property(title)}::{_data(f'{item.what}: {item.why}. {item.hint}')}")
    errors, warnings = report.count(Severity.ERROR), report.count(Severity.WARNING)
    missed = sum(not item.brief for item in report.unchecked)
    words = [f"{errors} errors", f"{warnings} warnings", f"{missed} not checked", *report.reservations]
    lines.append(f"mwaa-local validate: {', '.join(words)}")
    return "\n".join(lines) + "\n"


def _command(item: Finding) -> str:
    properties = {"title": f"{item.rule.id} {item.rule.title}"}
    if item.path:
        properties = {"file": item.path, **({"line": str(item.line)} if item.line else {}), **properties}
    when = " (breaks on the target version)" if item.when is When.TARGET else ""
    shown = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{_LEVELS[item.severity]} {shown}::{_data(f'{item.message}{when}. Fix: {item.fix}')}"
