"""Each output format against its own schema, with everything a report can hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import xmlschema
from preflight_support import script, write

from mwaa_local.preflight import reference, registry, run
from mwaa_local.preflight.findings import Area, Severity, Unchecked, When
from mwaa_local.preflight.output import FORMATS, json_report, text
from mwaa_local.preflight.report import Finding, Report
from mwaa_local.preflight.run import Request

FIXTURES = Path(__file__).parents[1] / "fixtures/preflight"
ROOT = Path(__file__).parents[2]


def finding(rule_id: str, **values: Any) -> Finding:
    rule = registry.rule(rule_id)
    given: dict[str, Any] = {
        "severity": rule.severity,
        "message": "it is so",
        "path": "dags/a b.py",
        "line": 3,
        "excerpt": "x = '[bold]'",
        "fix": rule.fix,
    }
    return Finding(rule, **{**given, **values})


@pytest.fixture
def full() -> Report:
    """Odd names, no file, control characters, each severity, something unchecked, an upgrade."""
    return Report(
        project=Path("/some where/project"),
        version="2.10.3",
        target="3.2.1",
        environment_class="mw1.small",
        findings=(
            finding("DEF009", severity=Severity.INFO, path="", line=0, excerpt=""),
            finding("PLG001", path="/elsewhere/plugins.zip", line=0, excerpt=""),
            finding("DAG002", message="a: b, c\n100%\x07\x00 ünï]]>", when=When.TARGET),
            finding("DAG006", when=When.BOTH),
        ),
        unchecked=(
            Unchecked("imports", "offline\nfor now", "go online", "DAG001", "3.2.1"),
            Unchecked("other", "why"),
            Unchecked("pins", "offline", "go online", "DEF009", "2.10.3", brief="without pins"),
        ),
        rules=("DAG001", "DAG002", "DAG006", "DEF009", "PLG001"),
        suppressed=2,
        seconds=1.23456,
        timings={"DAG002": 0.5},
        notes=("imported",),
    )


@pytest.fixture
def empty(tmp_path: Path) -> Report:
    return run.validate(Request(tmp_path))


def test_json(full: Report, empty: Report) -> None:
    jsonschema.Draft202012Validator.check_schema(json_report.schema())
    validator = jsonschema.Draft202012Validator(json_report.schema())
    for report in (full, empty):
        validator.validate(json.loads(FORMATS["json"](report)))
    document = json.loads(FORMATS["json"](full))
    assert document["summary"] == {
        "errors": 2,
        "warnings": 1,
        "infos": 1,
        "unchecked": 3,
        "suppressed": 2,
        "reservations": ["without pins"],
    }
    assert document["exit_code"] == 1
    assert document["findings"][0]["file"] is None
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**document, "more": 1})


def test_sarif(full: Report, empty: Report) -> None:
    schema = json.loads((FIXTURES / "sarif-2.1.0.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for report in (full, empty):
        validator.validate(json.loads(FORMATS["sarif"](report)))
    sarif = json.loads(FORMATS["sarif"](full))["runs"][0]
    assert [result["level"] for result in sarif["results"]] == ["note", "error", "error", "warning"]
    for result in sarif["results"]:
        assert sarif["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    location = sarif["results"][2]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": "dags/a%20b.py", "uriBaseId": "PROJECT"}
    assert location["region"]["startLine"] == 3
    assert sarif["originalUriBaseIds"]["PROJECT"]["uri"] == "file:///some%20where/project/"
    assert "locations" not in sarif["results"][0]
    # SARIF 2.1.0 section 3.49.7: a rule's name is not its id.
    assert not [rule for rule in sarif["tool"]["driver"]["rules"] if rule["name"] in ("", rule["id"])]
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"version": "2.1.0", "runs": [{"tool": {"driver": {}}}]})


def test_junit(full: Report, empty: Report) -> None:
    schema = xmlschema.XMLSchema(str(FIXTURES / "junit-10.xsd"))
    for report in (full, empty):
        schema.validate(FORMATS["junit"](report))
    root = xmlschema.XMLResource(FORMATS["junit"](full)).root
    assert {key: root.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "5",
        "failures": "2",
        "errors": "0",
    }
    cases = {case.get("name", "").split()[0]: case for case in root.iter("testcase")}
    assert [child.tag for child in cases["DAG001"]] == ["skipped"]
    assert [child.tag for child in cases["DAG002"]] == ["failure"]
    assert [child.tag for child in cases["DAG006"]] == ["system-out"]
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema.validate("<testsuites tests='1' wrong='1'/>")


def test_github(full: Report, empty: Report) -> None:
    lines = FORMATS["github"](full).splitlines()
    assert lines[0].startswith("::notice title=DEF009 celery.worker_autoscale::it is so")
    assert lines[1].startswith("::error file=/elsewhere/plugins.zip,title=PLG001")
    assert "::a: b, c%0A100%25" in lines[2]
    assert "(breaks on the target version)" in lines[2]
    assert lines[2].startswith("::error file=dags/a b.py,line=3,title=DAG002 Import error::")
    assert lines[4] == "::warning title=mwaa-local%3A not checked::imports: offline%0Afor now. go online"
    assert lines[-1] == "mwaa-local validate: 2 errors, 1 warnings, 2 not checked, without pins"
    assert lines[6].startswith("::warning title=mwaa-local%3A checked in part::pins: offline")
    assert len(lines) == 8
    assert len(FORMATS["github"](empty).splitlines()) == 2  # the hint about autoscaling, and the count


def test_text(full: Report) -> None:
    written = text.as_text(full)
    assert "error DAG002 breaks on 3.2.1 dags/a b.py:3 a: b, c" in written
    assert "3 | x = '[bold]'" in written
    assert "not checked imports: offline" in written
    assert "2 errors, 1 warning, 1 hint, 2 silenced by comments, 2 things not checked" in written
    assert "going from 2.10.3 to 3.2.1: 1 error that is not there today" in written
    assert "\x1b" not in written


def test_a_rule_is_explained_once(full: Report) -> None:
    twice = replace(full, findings=(finding("DAG002"), finding("DAG002", line=9)), target="")
    assert text.as_text(twice).count("why:") == 1
    assert text.as_text(twice).count("fix:") == 2


def test_formats_of_a_real_report(tmp_path: Path) -> None:
    report = run.validate(Request(write(tmp_path, script("exec a\nset -e\nwget x\n")), areas=(Area.STARTUP,)))
    assert [item["rule"] for item in json.loads(FORMATS["json"](report))["findings"]] == ["SUP004", "SUP003", "SUP007"]


def test_the_reference_page_is_what_the_rules_say() -> None:
    """Renew it with: python -m mwaa_local.preflight.reference > docs/reference/rules.md"""
    assert (ROOT / "docs/reference/rules.md").read_text(encoding="utf-8") == reference.page()


def test_a_verdict_made_with_less_than_mwaa_has_says_so_in_every_format(full: Report) -> None:
    assert text.as_text(full).count("without pins") == 1
    summary = next(line for line in text.as_text(full).splitlines() if "rules in" in line)
    assert "without pins" in summary and "2 things not checked" in summary
    assert "without pins" in FORMATS["github"](full).splitlines()[-1]
    assert "without pins" in FORMATS["junit"](full)
    sarif = json.loads(FORMATS["sarif"](full))["runs"][0]
    assert sarif["properties"]["reservations"] == ["without pins"]
    assert replace(full, findings=(), unchecked=full.unchecked[2:]).exit_code == 0
    assert replace(full, findings=()).exit_code == 2
