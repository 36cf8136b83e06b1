"""What a smoke test found, and its JUnit report."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass, field
from typing import Any

from mwaa_local.observability.airflow_api import ImportFailure


@dataclass(frozen=True)
class FailedTask:
    """A task that failed and the last lines of its log.

    Attributes:
        error: The exception that ended it; empty where its log holds none.
        where: The user's own file and line that it came through, ``dags/load.py:12 in month``, or empty.
        scheduler_lines: What the scheduler said of it, where its own log is empty.
    """

    task_id: str
    state: str
    try_number: int
    log_tail: tuple[str, ...]
    error: str = ""
    where: str = ""
    scheduler_lines: tuple[str, ...] = ()

    @property
    def cause(self) -> str:
        """Where it failed and why, in one line; its state where nothing more is known."""
        return f"task {self.task_id} (try {self.try_number}) " + (
            ": ".join(filter(None, (self.where, self.error))) or " ".join((self.state, *self.scheduler_lines[-1:]))
        )


@dataclass(frozen=True)
class RunResult:
    """One smoke run.

    Attributes:
        run_id: Empty where none was started.
        state: Airflow's, ``timeout`` at the limit, ``refused`` where Airflow did not start it.
        seconds: From trigger to end.
        reason: Why there was no run.
        scheduler_lines: What the scheduler said of a run that failed without a failed task.
    """

    dag_id: str
    run_id: str
    state: str
    seconds: float
    failed_tasks: tuple[FailedTask, ...] = ()
    reason: str = ""
    scheduler_lines: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[str, ...]:
        """Why it did not succeed, a line for each failed task."""
        if self.failed_tasks:
            return tuple(task.cause for task in self.failed_tasks)
        return (self.reason or " ".join((f"ended {self.state}", *self.scheduler_lines[-1:])),)


@dataclass(frozen=True)
class SmokeResult:
    """Everything the smoke test saw."""

    import_errors: tuple[ImportFailure, ...] = ()
    runs: tuple[RunResult, ...] = ()
    problems: tuple[str, ...] = field(default_factory=tuple)

    @property
    def passed(self) -> bool:
        """Whether nothing failed and something ran."""
        return not self.import_errors and not self.problems and all(run.state == "success" for run in self.runs)

    def as_dict(self) -> dict[str, Any]:
        """The document of ``smoke --json``."""
        return {"schema": "mwaa-local/smoke/1", "passed": self.passed, **asdict(self)}


def as_junit(result: SmokeResult) -> str:
    """The result as JUnit XML: one case for imports, one for each run."""
    suite = ET.Element("testsuite", name="mwaa-local smoke")
    imports = ET.SubElement(suite, "testcase", classname="dags", name="import errors", time="0")
    if result.import_errors:
        failure = ET.SubElement(imports, "failure", message=f"{len(result.import_errors)} DAG files do not import")
        failure.text = "\n\n".join(f"{error.file}\n{error.trace}" for error in result.import_errors)
    for item in result.runs:
        case = ET.SubElement(suite, "testcase", classname="runs", name=item.dag_id, time=str(item.seconds))
        if item.state != "success":
            failure = ET.SubElement(case, "failure", message=_message(item))
            failure.text = "\n\n".join(
                [
                    *("\n".join((task.cause, *task.log_tail, *task.scheduler_lines)) for task in item.failed_tasks),
                    *([] if item.failed_tasks else ["\n".join((*item.causes, *item.scheduler_lines))]),
                ]
            )
    for problem in result.problems:
        case = ET.SubElement(suite, "testcase", classname="smoke", name="environment", time="0")
        ET.SubElement(case, "failure", message=problem)
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("time", str(round(sum(float(case.get("time", "0")) for case in cases), 2)))
    return _xml(suite)


def _message(run: RunResult) -> str:
    """What a CI page shows of a failed run before anyone opens it: the first cause."""
    return "; ".join([run.causes[0], f"run {run.run_id} ended {run.state}" if run.run_id else f"no run: {run.state}"])


def _xml(element: ET.Element) -> str:
    # Log lines may hold control characters, which XML 1.0 has no way to carry.
    for node in element.iter():
        if node.text:
            node.text = _printable(node.text)
        for name, value in node.items():
            node.set(name, _printable(value))
    text: bytes = ET.tostring(element, encoding="utf-8", xml_declaration=True)
    return text.decode()


def _printable(text: str) -> str:
    return "".join(c if c in "\t\n" or (ord(c) >= 0x20 and c not in "\ufffe\uffff") else "?" for c in text)
