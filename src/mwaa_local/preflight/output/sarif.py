"""SARIF 2.1.0, which code hosts show beside the lines."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from mwaa_local import __version__
from mwaa_local.preflight import registry
from mwaa_local.preflight.findings import Severity, When
from mwaa_local.preflight.report import Finding, Report, Rule

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
# The schema's published address: the value the standard asks for in `$schema`.
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(report: Report) -> str:
    """The report as a SARIF log with one run."""
    rules = [registry.rule(rule_id) for rule_id in report.rules]
    index = {rule.id: position for position, rule in enumerate(rules)}
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "mwaa-local",
                "version": __version__,
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"PROJECT": {"uri": report.project.as_uri() + "/"}},
        "results": [_result(item, index) for item in report.findings],
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": report.exit_code,
                "toolExecutionNotifications": [
                    {
                        "level": "warning",
                        "message": {
                            "text": f"{'checked in part' if item.brief else 'not checked'}: {item.what}: {item.why}"
                        },
                        **(
                            {"associatedRule": {"id": item.rule, "index": index[item.rule]}}
                            if item.rule in index
                            else {}
                        ),
                    }
                    for item in report.unchecked
                ],
            }
        ],
        "properties": {
            "airflowVersion": report.version,
            "target": report.target,
            "reservations": list(report.reservations),
        },
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in re.findall("[A-Za-z0-9]+", rule.title)),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": f"{rule.why} ({rule.source})"},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": [rule.area.value]},
    }


def _result(item: Finding, index: dict[str, int]) -> dict[str, Any]:
    text = item.message + (" [breaks on the target version]" if item.when is When.TARGET else "")
    result: dict[str, Any] = {
        "ruleId": item.rule.id,
        "ruleIndex": index[item.rule.id],
        "level": _LEVELS[item.severity],
        "message": {"text": f"{text}\nFix: {item.fix}"},
        "properties": {"when": item.when.value},
    }
    if item.path:
        inside = not item.path.startswith("/")
        location: dict[str, Any] = {
            "artifactLocation": {"uri": quote(item.path), "uriBaseId": "PROJECT"}
            if inside
            else {"uri": "file://" + quote(item.path)}
        }
        if item.line:
            location["region"] = {"startLine": item.line}
            if item.excerpt:
                location["region"]["snippet"] = {"text": item.excerpt}
        result["locations"] = [{"physicalLocation": location}]
    return result
