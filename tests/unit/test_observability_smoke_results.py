"""What a smoke test found, in words, in its JSON document and in its JUnit report."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from mwaa_local.observability.airflow_api import ImportFailure
from mwaa_local.observability.smoke_results import FailedTask, RunResult, SmokeResult, as_junit

GOOD = RunResult("good", "r1", "success", 1.25)


@pytest.mark.parametrize(
    ("task", "cause"),
    [
        (FailedTask("t", "failed", 2, (), "KeyError: 1", "dags/a.py:3"), "task t (try 2) dags/a.py:3: KeyError: 1"),
        (FailedTask("t", "failed", 2, (), "KeyError: 1"), "task t (try 2) KeyError: 1"),
        (FailedTask("t", "queued", 0, (), scheduler_lines=("a", "b")), "task t (try 0) queued b"),
        (FailedTask("t", "failed", 1, ("log",)), "task t (try 1) failed"),
        (FailedTask("t", "failed", 1, (), "E", scheduler_lines=("a",)), "task t (try 1) E"),
    ],
)
def test_the_cause_of_a_failed_task(task: FailedTask, cause: str) -> None:
    assert task.cause == cause
    assert RunResult("d", "r", "failed", 1, (task,), "reason", ("line",)).causes == (cause,)


@pytest.mark.parametrize(
    ("run", "causes"),
    [
        (RunResult("d", "", "refused", 0, reason="needs --conf"), ("needs --conf",)),
        (RunResult("d", "r", "timeout", 9), ("ended timeout",)),
        (RunResult("d", "r", "failed", 9, scheduler_lines=("a", "b")), ("ended failed b",)),
    ],
)
def test_the_cause_of_a_run_without_a_failed_task(run: RunResult, causes: tuple[str, ...]) -> None:
    assert run.causes == causes


def test_the_document() -> None:
    result = SmokeResult((ImportFailure("/a.py", "T"),), (GOOD,), ("no environment",))
    document = json.loads(json.dumps(result.as_dict()))
    assert (document["schema"], document["passed"]) == ("mwaa-local/smoke/1", False)
    assert document["import_errors"] == [{"file": "/a.py", "trace": "T"}]
    assert document["problems"] == ["no environment"]
    assert document["runs"][0]["dag_id"] == "good"
    assert SmokeResult(runs=(GOOD,)).as_dict()["passed"] is True


def suite_of(result: SmokeResult) -> ET.Element:
    return ET.fromstring(as_junit(result))


def cases(result: SmokeResult) -> dict[str, ET.Element]:
    return {str(case.get("name")): case for case in suite_of(result).iter("testcase")}


def test_a_report_without_failures() -> None:
    suite = suite_of(SmokeResult(runs=(GOOD, RunResult("more", "r2", "success", 2.506))))
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "time")} == {
        "name": "mwaa-local smoke", "tests": "3", "failures": "0", "errors": "0", "time": "3.76",
    }  # fmt: skip
    assert [(case.get("classname"), case.get("name"), case.get("time")) for case in suite] == [
        ("dags", "import errors", "0"), ("runs", "good", "1.25"), ("runs", "more", "2.506"),
    ]  # fmt: skip
    assert not list(suite.iter("failure"))


def test_each_failure_tells_all_it_knows() -> None:
    first = FailedTask("one", "failed", 1, ("log 1", "log 2"), "KeyError: 1", "dags/a.py:3")
    second = FailedTask("two", "queued", 0, (), scheduler_lines=("never began",))
    result = SmokeResult(
        (ImportFailure("/a.py", "Trace A"), ImportFailure("/b.py", "Trace B")),
        (
            RunResult("tasks", "r", "failed", 1, (first, second)),
            RunResult("bare", "r", "failed", 1, scheduler_lines=("line 1", "line 2")),
            RunResult("refused", "", "refused", 0, reason="needs --conf"),
        ),
        ("the worker is gone",),
    )
    found = {name: case.find("failure") for name, case in cases(result).items()}
    told = {name: (node.get("message"), node.text) for name, node in found.items() if node is not None}
    assert told == {
        "import errors": ("2 DAG files do not import", "/a.py\nTrace A\n\n/b.py\nTrace B"),
        "tasks": (
            "task one (try 1) dags/a.py:3: KeyError: 1; run r ended failed",
            "task one (try 1) dags/a.py:3: KeyError: 1\nlog 1\nlog 2\n\ntask two (try 0) queued never began\nnever began",
        ),
        "bare": ("ended failed line 2; run r ended failed", "ended failed line 2\nline 1\nline 2"),
        "refused": ("needs --conf; no run: refused", "needs --conf"),
        "environment": ("the worker is gone", None),
    }
    assert suite_of(result).get("failures") == "5"


def test_what_xml_cannot_hold_is_replaced() -> None:
    odd = "a\x00b\x1fc\ufffed\uffffe\tf\ng ü 😀"
    found = cases(SmokeResult((ImportFailure("/a.py", odd),), (), (odd,)))
    assert found["import errors"].findtext("failure") == "/a.py\na?b?c?d?e\tf\ng ü 😀"
    node = found["environment"].find("failure")
    assert node is not None and "a?b?c?d?e" in str(node.get("message"))
