"""The runs of a smoke test: triggered, watched, ended; what failed is told with what its logs say."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mwaa_local.errors import EngineError
from mwaa_local.observability import tracebacks
from mwaa_local.observability.airflow_api import AirflowApi, Dag, RefusedError, TaskInstance
from mwaa_local.observability.smoke_results import FailedTask, RunResult

# Of the id of every run that a smoke test triggers; Airflow's scheduler runs it although the DAG is paused
# (mwaa_airflow.smoke_runs).
RUN_PREFIX = "mwaa-local-smoke__"
_POLL_S = 0.3
_SILENCE_S = 90.0
_TAIL_LINES = 20
_SCHEDULER_LINES = 5
# The worker sends lines every few seconds, and at its process's end.
_LOG_S = 6.0
_ATTEMPTS = 5


def run(
    api: AirflowApi,
    dags: Sequence[Dag],
    conf: Mapping[str, Any],
    *,
    slots: int,
    timeout_s: float,
    on_result: Callable[[RunResult], None] = lambda result: None,
    scheduler_lines: Callable[[], Iterable[str]] = tuple,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[RunResult]:
    """Trigger every DAG, some at once, and wait for all.

    Paused DAGs stay paused: Airflow's scheduler runs what carries ``RUN_PREFIX`` all the same, so that no schedule
    begins and nothing has to be put back. A run that has not ended when this returns, or is interrupted, is ended.

    Args:
        api: Airflow's.
        dags: What to run, in this order.
        conf: Given to every run.
        slots: Runs at once.
        timeout_s: Seconds for all of them together.
        on_result: Told each result as it comes.
        scheduler_lines: The scheduler's output, read where a task's own log is empty.
        clock: Seconds.
        sleep: Waits that many.

    Returns:
        One result for each DAG; one that cannot be triggered is a failed one.

    Raises:
        EngineError: The web server stays away.
    """
    return _Runs(api, conf, slots, clock() + timeout_s, on_result, scheduler_lines, clock, sleep).all(dags)


@dataclass(frozen=True)
class _Started:
    """A run that was triggered at ``begin``, in seconds of the clock."""

    run_id: str
    begin: float


class _Runs:
    """The runs of one smoke test."""

    def __init__(
        self,
        api: AirflowApi,
        conf: Mapping[str, Any],
        slots: int,
        end: float,
        on_result: Callable[[RunResult], None],
        scheduler_lines: Callable[[], Iterable[str]],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._api = api
        self._conf = conf
        self._slots = max(1, slots)
        self._end = end
        self._on_result = on_result
        self._scheduler_lines = scheduler_lines
        self._clock = clock
        self._sleep = sleep
        self._answered = clock()
        self._started: dict[str, _Started] = {}
        self._stumbles: Counter[str] = Counter()
        self._ids: dict[str, str] = {}
        self._results: list[RunResult] = []

    def all(self, dags: Sequence[Dag]) -> list[RunResult]:
        waiting = deque(dag.id for dag in dags)
        try:
            while waiting or self._started:
                late = self._clock() > self._end
                while waiting and not late and len(self._started) < self._slots:
                    if not self._trigger(waiting[0]):
                        break
                    waiting.popleft()
                for dag_id in list(self._started):
                    self._look(dag_id, late=late)
                if late:
                    for dag_id in waiting:
                        self._note(RunResult(dag_id, "", "timeout", 0.0, reason="not started: the time was up before"))
                    return self._results
                if self._started or waiting:
                    self._sleep(_POLL_S)
            return self._results
        finally:
            self._end_what_runs()

    def _note(self, result: RunResult) -> None:
        self._results.append(result)
        self._on_result(result)

    def _trigger(self, dag_id: str) -> bool:
        """Start a run; whether the DAG is done with: started, or refused."""
        # The same id at every attempt: an answer that was lost does not start a second run.
        run_id = self._run_id(dag_id)
        try:
            self._api.trigger(dag_id, self._conf, run_id=run_id)
        except RefusedError as error:
            self._answered = self._clock()
            if error.status == 409 and self._stumbles[dag_id]:
                pass
            elif error.status >= 500 and self._stumbles[dag_id] < _ATTEMPTS:
                self._stumbles[dag_id] += 1
                return False
            else:
                self._note(RunResult(dag_id, "", "refused", 0.0, reason=_refusal(error, self._conf)))
                return True
        except EngineError as error:
            self._stumbles[dag_id] += 1
            self._bear_silence(error)
            return False
        self._answered = self._clock()
        self._started[dag_id] = _Started(run_id, self._clock())
        return True

    def _run_id(self, dag_id: str) -> str:
        if dag_id not in self._ids:
            self._ids[dag_id] = RUN_PREFIX + datetime.now(UTC).isoformat(timespec="microseconds")
        return self._ids[dag_id]

    def _bear_silence(self, error: EngineError) -> None:
        """A busy or restarting web server is not the runs' failure; one that stays away is."""
        if self._clock() - self._answered > _SILENCE_S and self._clock() <= self._end:
            raise error

    def _look(self, dag_id: str, *, late: bool) -> None:
        run = self._started[dag_id]
        try:
            state = self._api.run_state(dag_id, run.run_id)
            self._answered = self._clock()
        except EngineError as error:
            self._bear_silence(error)
            state = "unknown"
        ended = state in ("success", "failed")
        if not ended and not late:
            return
        seconds = round(self._clock() - run.begin, 2)
        if state == "success":
            result = RunResult(dag_id, run.run_id, state, seconds)
        else:
            tasks = self._failed_tasks(dag_id, run.run_id)
            lines = () if tasks else _about(self._scheduler_lines(), dag_id, run.run_id)
            result = RunResult(dag_id, run.run_id, state if ended else "timeout", seconds, tasks, scheduler_lines=lines)
        if ended:
            del self._started[dag_id]
        self._note(result)

    def _end_what_runs(self) -> None:
        """Leave nothing running behind: a later test would share the workers with it."""
        for dag_id, run in self._started.items():
            try:
                self._api.end_run(dag_id, run.run_id)
            except RefusedError:
                continue  # gone, or at its end by now
            except EngineError:
                return  # nobody answers, and every further call would wait for its limit

    def _failed_tasks(self, dag_id: str, run_id: str) -> tuple[FailedTask, ...]:
        try:
            tasks = self._api.task_instances(dag_id, run_id)
        except EngineError:
            return ()  # the run's own state is told without them
        return tuple(
            self._failed_task(dag_id, run_id, task)
            for task in tasks
            if task.state not in ("success", "skipped", "removed", "upstream_failed", None)
        )

    def _failed_task(self, dag_id: str, run_id: str, task: TaskInstance) -> FailedTask:
        lines: list[str] = []
        failure = None
        silent = True
        try:
            events = self._whole_log(dag_id, run_id, task)
            lines = [line for event in events for line in tracebacks.render(event)]
            failure, silent = tracebacks.failure(events), tracebacks.says_nothing(events)
        except EngineError as error:
            lines = [f"(no log: {error.what}: {error.why})"]
        found = failure or tracebacks.Failure("")
        return FailedTask(
            task_id=task.task_id,
            state=str(task.state),
            try_number=task.try_number,
            log_tail=tuple(lines[-_TAIL_LINES:]),
            error=found.error,
            where=found.where,
            # A task that never began has no log of its own; only the scheduler knows why.
            scheduler_lines=_about(self._scheduler_lines(), dag_id, run_id, task.task_id) if silent else (),
        )

    def _whole_log(self, dag_id: str, run_id: str, task: TaskInstance) -> list[Any]:
        """A task's log; of one that has failed, with its exception, which may reach the log group after the state."""
        end = self._clock() + _LOG_S
        while True:
            events = self._api.task_events(dag_id, run_id, task)
            if task.state != "failed" or tracebacks.failure(events) is not None or self._clock() > end:
                return events
            self._sleep(_POLL_S)


def _refusal(error: RefusedError, conf: Mapping[str, Any]) -> str:
    """Why a DAG cannot be triggered, and what helps where it is its params."""
    if error.status != 400 or "param" not in error.detail.lower():
        return f"cannot be triggered: {error.detail}"
    return f"{'--conf does not fit' if conf else 'needs --conf'}: {error.detail}"


def _about(lines: Iterable[str], dag_id: str, run_id: str, task_id: str = "") -> tuple[str, ...]:
    """The scheduler's last lines that name a run, or one task of it."""
    words = [re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])") for word in (dag_id, task_id) if word]
    found = (line.strip() for line in lines if run_id in line and all(word.search(line) for word in words))
    return tuple(deque(found, maxlen=_SCHEDULER_LINES))
