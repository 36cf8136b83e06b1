"""The report as one JSON document of a declared, versioned shape: ``report.schema.json`` beside this module."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from typing import Any

from mwaa_local.preflight.findings import Severity, Unchecked
from mwaa_local.preflight.report import Finding, Report, Rule

SCHEMA_VERSION = 1


def schema() -> dict[str, Any]:
    """The JSON schema of the document."""
    text = (resources.files(__package__) / "report.schema.json").read_text(encoding="utf-8")
    result: dict[str, Any] = json.loads(text)
    return result


def document(report: Report) -> dict[str, Any]:
    """The report as plain data."""
    return {
        "schema": SCHEMA_VERSION,
        "project": str(report.project),
        "airflow_version": report.version,
        "target": report.target or None,
        "environment_class": report.environment_class,
        "exit_code": report.exit_code,
        "summary": {
            **{f"{severity.value}s": report.count(severity) for severity in (Severity.ERROR, Severity.WARNING)},
            "infos": report.count(Severity.INFO),
            "unchecked": len(report.unchecked),
            "suppressed": report.suppressed,
            "reservations": list(report.reservations),
        },
        "findings": [_finding(item) for item in report.findings],
        "unchecked": [_unchecked(item) for item in report.unchecked],
        "rules": list(report.rules),
        "notes": list(report.notes),
        "seconds": round(report.seconds, 3),
        "seconds_by_rule": report.timings,
    }


def _finding(item: Finding) -> dict[str, Any]:
    return {
        "rule": item.rule.id,
        "area": item.rule.area.value,
        "severity": item.severity.value,
        "title": item.rule.title,
        "message": item.message,
        "file": item.path or None,
        "line": item.line or None,
        "excerpt": item.excerpt,
        "why": item.rule.why,
        "source": item.rule.source,
        "fix": item.fix,
        "when": item.when.value,
    }


def _unchecked(item: Unchecked) -> dict[str, Any]:
    return {
        "what": item.what,
        "why": item.why,
        "hint": item.hint,
        "brief": item.brief,
        "rule": item.rule or None,
        "airflow_version": item.version or None,
    }


def render(report: Report) -> str:
    """The document as text."""
    return json.dumps(document(report), indent=2) + "\n"


def rules_document(rules: Iterable[Rule]) -> dict[str, Any]:
    """What ``--list-rules`` and ``--explain`` tell, for programs."""
    rows = [
        {
            "id": rule.id,
            "severity": rule.severity.value,
            "area": rule.area.value,
            "title": rule.title,
            "why": rule.why,
            "source": rule.source,
            "fix": rule.fix,
        }
        for rule in rules
    ]
    return {"schema": "mwaa-local/rules/1", "rules": rows}
