"""JUnit XML: one test case per rule, failed by its errors; warnings are its output."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from mwaa_local.preflight import registry
from mwaa_local.preflight.findings import Severity, When
from mwaa_local.preflight.report import Finding, Report

# XML 1.0 has no way to write these.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def render(report: Report) -> str:
    """The report as a ``testsuites`` document."""
    suite = ElementTree.Element("testsuite", name="mwaa-local validate")
    failures = skipped = 0
    for rule_id in report.rules:
        rule = registry.rule(rule_id)
        case = ElementTree.SubElement(
            suite,
            "testcase",
            name=f"{rule.id} {rule.title}",
            classname=f"mwaa-local.{rule.area.value}",
            time=f"{report.timings.get(rule_id, 0):.3f}",
        )
        found = [item for item in report.findings if item.rule.id == rule_id]
        bad = [item for item in found if item.severity is Severity.ERROR]
        mild = [item for item in found if item.severity is not Severity.ERROR]
        missed = [item for item in report.unchecked if item.rule == rule_id]
        if bad:
            failures += 1
            failure = ElementTree.SubElement(
                case, "failure", type=rule.id, message=_clean(f"{len(bad)} found: {bad[0].place} {bad[0].message}")
            )
            failure.text = _clean("\n\n".join(_words(item) for item in bad))
        elif missed:
            skipped += 1
            ElementTree.SubElement(
                case, "skipped", message=_clean("; ".join(f"{item.what}: {item.why}" for item in missed))
            )
        if mild:
            ElementTree.SubElement(case, "system-out").text = _clean("\n\n".join(_words(item) for item in mild))
    for words in report.reservations:
        ElementTree.SubElement(suite, "system-out").text = _clean(f"verdict {words}")
    counts = {
        "tests": str(len(report.rules)),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(skipped),
        "time": f"{report.seconds:.3f}",
    }
    for name, value in counts.items():
        suite.set(name, value)
    root = ElementTree.Element("testsuites", {key: value for key, value in counts.items() if key != "skipped"})
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _words(item: Finding) -> str:
    when = " [breaks on the target version]" if item.when is When.TARGET else ""
    return (
        f"{item.place or 'workspace'}: {item.severity.value}: {item.message}{when}\n  {item.excerpt}\n  fix: {item.fix}"
    )
