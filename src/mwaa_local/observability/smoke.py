"""The smoke test: no DAG import error, and the chosen DAGs succeed."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mwaa_local.errors import EngineError, UsageError
from mwaa_local.model import SmokeSettings
from mwaa_local.observability import tracebacks
from mwaa_local.observability.airflow_api import AirflowApi, Dag, ImportFailure, TaskInstance

_POLL_S = 0.3
_SETTLED_S = 6.0
_SILENCE_S = 90.0
_TAIL_LINES = 20
# Of the id of every run that a smoke test triggers; Airflow's scheduler runs it although the DAG is paused
# (mwaa_airflow.smoke_runs).
RUN_PREFIX = "mwaa-local-smoke__"


@dataclass(frozen=True)
class FailedTask:
    """A task that failed and the last lines of its log.

    Attributes:
        error: The exception that ended it; empty where its log holds none.
        where: The user's own file and line that it came through, ``dags/load.py:12 in month``, or empty.
    """

    task_id: str
    state: str
    try_number: int
    log_tail: tuple[str, ...]
    error: str = ""
    where: str = ""

    @property
    def cause(self) -> str:
        """Where it failed and why, in one line; its state where nothing more is known."""
        return f"task {self.task_id} (try {self.try_number}) " + (
            ": ".join(filter(None, (self.where, self.error))) or self.state
        )


@dataclass(frozen=True)
class RunResult:
    """One smoke run; ``state`` is Airflow's, or ``timeout`` at the limit. Seconds from trigger to end."""

    dag_id: str
    run_id: str
    state: str
    seconds: float
    failed_tasks: tuple[FailedTask, ...] = ()


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


def wait_until_parsed(
    api: AirflowApi,
    dags_folder: Path,
    wanted: Sequence[str],
    *,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[Dag], list[ImportFailure]]:
    """The DAGs and import errors once every DAG file was parsed.

    Airflow has no "all parsed" signal: a file counts as done when a DAG or an import error names it; helper modules
    never do, so the wait also ends when nothing new came for a few seconds.
    """
    expected = {path.name for path in dags_folder.rglob("*.py") if _looks_like_dag(path)}
    end = clock() + timeout_s
    last: tuple[int, int] = (-1, -1)
    changed = clock()
    while True:
        dags, errors = api.dags(), api.import_errors()
        done = {Path(dag.file).name for dag in dags} | {Path(error.file).name for error in errors}
        if expected <= done and set(wanted) <= {dag.id for dag in dags}:
            return dags, errors
        if (len(dags), len(errors)) != last:
            last, changed = (len(dags), len(errors)), clock()
        settled = bool(done) and clock() - changed > _SETTLED_S
        if settled or clock() > end or not expected:
            return dags, errors
        time.sleep(_POLL_S)


def _looks_like_dag(path: Path) -> bool:
    """Airflow's safe-mode heuristic: only files that mention both words are parsed."""
    try:
        text = path.read_bytes().lower()
    except OSError:
        return False
    return b"dag" in text and b"airflow" in text


def choose(dags: Sequence[Dag], settings: SmokeSettings, names: Sequence[str], tag: str | None) -> list[Dag]:
    """The DAGs to run: named ones, else those of the definition, else all unscheduled ones with the tag.

    Raises:
        UsageError: a named DAG does not exist, or nothing is left to run.
    """
    by_id = {dag.id: dag for dag in dags}
    chosen = list(names) or ([] if tag else list(settings.dags))
    if chosen:
        missing = [name for name in chosen if name not in by_id]
        if missing:
            raise UsageError(
                f"DAG {missing[0]!r} does not exist",
                why=f"parsed DAGs: {', '.join(by_id) or 'none'}",
                hint="check the name; `mwaa-local status` shows import errors",
            )
        return [by_id[name] for name in chosen]
    wanted = tag or settings.tag
    found = [dag for dag in dags if wanted in dag.tags and (tag or not dag.scheduled)]
    if not found:
        raise UsageError(
            f"no DAG carries the tag {wanted!r}",
            why=f"parsed DAGs: {', '.join(by_id) or 'none'}",
            hint=f"give a DAG tags=[{wanted!r}], or name DAGs with --dag",
        )
    return found


def run(
    api: AirflowApi,
    dags: Sequence[Dag],
    conf: Mapping[str, Any],
    *,
    timeout_s: float,
    on_result: Callable[[RunResult], None] = lambda result: None,
    clock: Callable[[], float] = time.monotonic,
) -> list[RunResult]:
    """Trigger every DAG at once and wait for all, at most ``timeout_s`` seconds."""
    started: dict[str, tuple[str, float]] = {}
    for dag in dags:
        if dag.paused:
            api.unpause(dag.id)
        started[dag.id] = (api.trigger(dag.id, conf), clock())
    end = clock() + timeout_s
    answered = clock()
    results: list[RunResult] = []
    while started:
        for dag_id, (run_id, begin) in list(started.items()):
            late = clock() > end
            try:
                state = api.run_state(dag_id, run_id)
                answered = clock()
            except EngineError:
                # A busy or restarting web server is not the runs' failure; one that stays away is.
                if clock() - answered > _SILENCE_S and not late:
                    raise
                state = "unknown"
            if state not in ("success", "failed") and not late:
                continue
            del started[dag_id]
            seconds = round(clock() - begin, 2)
            final = state if state in ("success", "failed") else "timeout"
            failed = () if final == "success" else _failed_tasks(api, dag_id, run_id)
            results.append(RunResult(dag_id, run_id, final, seconds, failed))
            on_result(results[-1])
        if started:
            time.sleep(_POLL_S)
    return results


def _failed_tasks(api: AirflowApi, dag_id: str, run_id: str) -> tuple[FailedTask, ...]:
    return tuple(
        _failed_task(api, dag_id, run_id, task)
        for task in api.task_instances(dag_id, run_id)
        if task.state not in ("success", "skipped", "removed", "upstream_failed", None)
    )


def _failed_task(api: AirflowApi, dag_id: str, run_id: str, task: TaskInstance) -> FailedTask:
    try:
        events = api.task_events(dag_id, run_id, task)
    except EngineError as error:
        return FailedTask(task.task_id, str(task.state), task.try_number, (f"(no log: {error.what}: {error.why})",))
    lines = [line for event in events for line in tracebacks.render(event)]
    failure = tracebacks.failure(events) or tracebacks.Failure("")
    tail = tuple(lines[-_TAIL_LINES:])
    return FailedTask(task.task_id, str(task.state), task.try_number, tail, failure.error, failure.where)


def write_junit(result: SmokeResult, path: Path) -> None:
    """The result as JUnit XML: one case for imports, one for each run; written whole or not at all."""
    suite = ET.Element("testsuite", name="mwaa-local smoke")
    imports = ET.SubElement(suite, "testcase", classname="dags", name="import errors", time="0")
    if result.import_errors:
        failure = ET.SubElement(imports, "failure", message=f"{len(result.import_errors)} DAG files do not import")
        failure.text = "\n\n".join(f"{error.file}\n{error.trace}" for error in result.import_errors)
    for item in result.runs:
        case = ET.SubElement(suite, "testcase", classname="runs", name=item.dag_id, time=str(item.seconds))
        if item.state != "success":
            failure = ET.SubElement(case, "failure", message=_message(item))
            failure.text = "\n\n".join("\n".join((task.cause, *task.log_tail)) for task in item.failed_tasks)
    for problem in result.problems:
        case = ET.SubElement(suite, "testcase", classname="smoke", name="environment", time="0")
        ET.SubElement(case, "failure", message=problem)
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("time", str(round(sum(float(case.get("time", "0")) for case in cases), 2)))
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(_xml(suite))
    partial.replace(path)


def _message(run: RunResult) -> str:
    """What a CI page shows of a failed run before anyone opens it: the first cause."""
    causes = [task.cause for task in run.failed_tasks]
    return "; ".join([*causes[:1], f"run {run.run_id} ended {run.state}"])


def _xml(element: ET.Element) -> bytes:
    # Log lines may hold control characters, which XML 1.0 has no way to carry.
    for node in element.iter():
        if node.text:
            node.text = _printable(node.text)
        for name, value in node.items():
            node.set(name, _printable(value))
    text: bytes = ET.tostring(element, encoding="utf-8", xml_declaration=True)
    return text


def _printable(text: str) -> str:
    return "".join(c if c in "\t\n" or (ord(c) >= 0x20 and c not in "\ufffe\uffff") else "?" for c in text)
