"""The smoke test's patience, on a clock of the test's own: a dead web server, lost answers, runs that do not end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mwaa_local.errors import EngineError
from mwaa_local.observability import smoke, smoke_runs
from mwaa_local.observability.airflow_api import Dag, ImportFailure, RefusedError, TaskInstance
from mwaa_local.observability.smoke_results import RunResult

DEAD = EngineError("Airflow's web server does not answer", why="refused")


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Airflow:
    """Answers as functions of the clock say; remembers what it was asked for."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.state: Callable[[str], str] = lambda dag_id: "success"
        self.tasks: list[TaskInstance] = []
        self.log: Callable[[TaskInstance], list[Any]] = lambda task: []
        self.on_trigger: Callable[[str], None] = lambda dag_id: None
        self.on_end: Callable[[str], None] = lambda dag_id: None
        self.triggered: list[tuple[str, str]] = []
        self.ended: list[str] = []
        self.logs = 0

    def trigger(self, dag_id: str, conf: Any, *, run_id: str | None = None) -> str:
        self.triggered.append((dag_id, str(run_id)))
        self.on_trigger(dag_id)
        return str(run_id)

    def run_state(self, dag_id: str, run_id: str) -> str:
        return self.state(dag_id)

    def end_run(self, dag_id: str, run_id: str) -> None:
        self.ended.append(dag_id)
        self.on_end(dag_id)

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        return self.tasks

    def task_events(self, dag_id: str, run_id: str, task: TaskInstance) -> list[Any]:
        self.logs += 1
        return self.log(task)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def airflow(clock: Clock) -> Airflow:
    return Airflow(clock)


def run(airflow: Airflow, *names: str, slots: int = 5, timeout_s: float = 600, **more: Any) -> list[RunResult]:
    dags = [Dag(name, f"/dags/{name}.py", False, False, frozenset()) for name in names]
    return smoke_runs.run(
        airflow, dags, {}, slots=slots, timeout_s=timeout_s, clock=airflow.clock, sleep=airflow.clock.sleep, **more
    )  # type: ignore[arg-type]


def dead(*_: object) -> Any:
    raise DEAD


# -- a web server that stays away --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["trigger", "state"])
def test_a_dead_web_server_is_raised_after_a_minute_and_a_half(airflow: Airflow, clock: Clock, where: str) -> None:
    if where == "trigger":
        airflow.on_trigger = dead
    else:
        airflow.state = dead
    with pytest.raises(EngineError, match="does not answer"):
        run(airflow, "one")
    assert 90 < clock.now - 1000 < 91
    assert airflow.ended == ([] if where == "trigger" else ["one"]), "what was started is ended, if anybody listens"


def test_silence_is_counted_from_the_last_answer(airflow: Airflow, clock: Clock) -> None:
    begin = clock.now

    def state(_: str) -> str:
        if clock.now - begin < 80 or 81 < clock.now - begin < 165:
            raise DEAD
        return "running" if clock.now - begin < 160 else "success"

    airflow.state = state
    (result,) = run(airflow, "one")
    assert result.state == "success"


def test_a_started_run_counts_as_an_answer(airflow: Airflow, clock: Clock) -> None:
    begin = clock.now

    def late(_: str) -> None:
        if clock.now - begin < 80:
            raise DEAD

    def state(_: str) -> str:
        if clock.now - begin < 160:
            raise DEAD
        return "success"

    airflow.on_trigger, airflow.state = late, state
    assert [result.state for result in run(airflow, "one")] == ["success"]


def test_at_the_limit_a_dead_web_server_is_a_timeout_and_no_error(airflow: Airflow, clock: Clock) -> None:
    airflow.state = dead
    assert [result.state for result in run(airflow, "one", timeout_s=30)] == ["timeout"]
    assert 30 < clock.now - 1000 < 31


# -- triggering --------------------------------------------------------------------------------------------------------


def refusing(status: int, *, times: int, detail: str = "no") -> Callable[[str], None]:
    left = [times]

    def trigger(_: str) -> None:
        if left[0]:
            left[0] -= 1
            raise RefusedError("POST /dags", "http://x", status, f'{{"detail": "{detail}"}}'.encode())

    return trigger


def test_a_server_error_is_tried_again_five_times_with_the_same_id(airflow: Airflow) -> None:
    airflow.on_trigger = refusing(503, times=5)
    assert [result.state for result in run(airflow, "one")] == ["success"]
    assert len(airflow.triggered) == 6
    assert len({run_id for _, run_id in airflow.triggered}) == 1


def test_after_that_it_is_a_refusal(airflow: Airflow) -> None:
    airflow.on_trigger = refusing(500, times=6, detail="broken")
    (result,) = run(airflow, "one")
    assert (result.state, result.reason, result.run_id) == ("refused", "cannot be triggered: broken", "")
    assert len(airflow.triggered) == 6


@pytest.mark.parametrize("status", [400, 404, 409, 499])
def test_a_plain_no_is_not_tried_again(airflow: Airflow, status: int) -> None:
    airflow.on_trigger = refusing(status, times=9)
    (result,) = run(airflow, "one")
    assert result.state == "refused"
    assert len(airflow.triggered) == 1


def test_a_conflict_after_a_lost_answer_is_the_run_itself(airflow: Airflow) -> None:
    answers: list[Exception] = [DEAD, RefusedError("POST", "", 409, b'{"detail": "exists"}')]

    def trigger(_: str) -> None:
        if answers:
            raise answers.pop(0)

    airflow.on_trigger = trigger
    assert [result.state for result in run(airflow, "one")] == ["success"]
    assert len(airflow.triggered) == 2


def test_every_run_has_an_id_of_its_own(airflow: Airflow) -> None:
    results = run(airflow, "one", "two", "three")
    assert [result.run_id for result in results] == [run_id for _, run_id in airflow.triggered]
    assert len({result.run_id for result in results}) == 3
    assert all(result.run_id.startswith("mwaa-local-smoke__2") for result in results)


def test_dags_are_started_in_the_order_given(airflow: Airflow) -> None:
    run(airflow, "c", "a", "b", slots=1)
    assert [dag_id for dag_id, _ in airflow.triggered] == ["c", "a", "b"]


@pytest.mark.parametrize("slots", [0, 1, 2])
def test_at_least_one_and_at_most_so_many_run_at_once(airflow: Airflow, clock: Clock, slots: int) -> None:
    began: dict[str, float] = {}
    most = [0]
    alive: set[str] = set()

    def trigger(dag_id: str) -> None:
        began[dag_id] = clock.now
        alive.add(dag_id)
        most[0] = max(most[0], len(alive))

    def state(dag_id: str) -> str:
        if clock.now - began[dag_id] < 5:
            return "running"
        alive.discard(dag_id)
        return "success"

    airflow.on_trigger, airflow.state = trigger, state
    assert len(run(airflow, "a", "b", "c", slots=slots)) == 3
    assert most[0] == max(slots, 1)


# -- ends --------------------------------------------------------------------------------------------------------------


def test_seconds_are_counted_from_the_trigger(airflow: Airflow, clock: Clock) -> None:
    airflow.state = lambda dag_id: "success" if clock.now >= 1012 else "queued"
    told: list[RunResult] = []
    results = run(airflow, "one", on_result=told.append)
    assert 12 <= results[0].seconds < 12.5
    assert told == results
    assert airflow.ended == []


def test_at_the_limit_what_ended_counts_and_the_rest_is_told(airflow: Airflow) -> None:
    airflow.state = lambda dag_id: {"good": "success", "bad": "failed"}.get(dag_id, "running")
    results = run(airflow, "slow", "good", "bad", "late", slots=2, timeout_s=10)
    assert {result.dag_id: result.state for result in results} == {
        "slow": "timeout", "good": "success", "bad": "failed", "late": "timeout",
    }  # fmt: skip
    assert len(results) == 4
    assert airflow.ended == ["slow", "late"]


def test_results_are_not_told_twice_at_the_limit(airflow: Airflow) -> None:
    airflow.state = lambda dag_id: "running"
    results = run(airflow, "a", "b", "c", slots=2, timeout_s=10)
    assert [(result.dag_id, result.state) for result in results] == [
        ("a", "timeout"), ("b", "timeout"), ("c", "timeout"),
    ]  # fmt: skip
    assert [result.reason for result in results] == ["", "", "not started: the time was up before"]
    assert results[2].run_id == ""
    assert airflow.ended == ["a", "b"]


def test_ending_goes_on_over_a_run_that_is_gone_and_stops_where_nobody_answers(airflow: Airflow) -> None:
    airflow.state = lambda dag_id: "running"
    answers: dict[str, Exception] = {"a": RefusedError("PATCH", "", 404, b"{}"), "b": DEAD}

    def end(dag_id: str) -> None:
        if dag_id in answers:
            raise answers[dag_id]

    airflow.on_end = end
    run(airflow, "a", "b", "c", timeout_s=1)
    assert airflow.ended == ["a", "b"], "each further call would wait for its limit"


# -- what a failed run tells -------------------------------------------------------------------------------------------


def task(state: str | None, name: str = "t", number: int = 1) -> TaskInstance:
    return TaskInstance(name, state, number, -1, 1.0)


def failing(airflow: Airflow, *tasks: TaskInstance, **more: Any) -> RunResult:
    airflow.state = lambda dag_id: "failed"
    airflow.tasks = list(tasks)
    (result,) = run(airflow, "one", **more)
    return result


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("failed", True), ("up_for_retry", True), ("running", True), ("queued", True),
        ("success", False), ("skipped", False), ("removed", False), ("upstream_failed", False), (None, False),
    ],
)  # fmt: skip
def test_tasks_that_are_to_blame(airflow: Airflow, state: str | None, told: bool) -> None:
    result = failing(airflow, task(state, number=3))
    assert [(item.task_id, item.state, item.try_number) for item in result.failed_tasks] == (
        [("t", str(state), 3)] if told else []
    )


def test_the_end_of_a_log_is_kept(airflow: Airflow) -> None:
    trace = ["Traceback (most recent call last):", '  File "/usr/local/airflow/dags/a.py", line 3, in f', "KeyError: 1"]
    airflow.log = lambda task: [*(f"[x] line {number}" for number in range(30)), *trace]
    (found,) = failing(airflow, task("failed")).failed_tasks
    assert len(found.log_tail) == 20
    assert found.log_tail[-1] == "KeyError: 1"
    assert (found.error, found.where) == ("KeyError: 1", "dags/a.py:3 in f")
    assert airflow.logs == 1, "a log with its exception is read once"


def test_a_log_without_exception_is_waited_for_six_seconds(airflow: Airflow, clock: Clock) -> None:
    airflow.log = lambda task: ["[x] all is well"]
    (found,) = failing(airflow, task("failed")).failed_tasks
    assert 6 < clock.now - 1000 < 7
    assert found.error == ""


def test_only_a_failed_tasks_log_is_waited_for(airflow: Airflow, clock: Clock) -> None:
    airflow.log = lambda task: ["[x] all is well"]
    failing(airflow, task("up_for_retry"))
    assert (clock.now, airflow.logs) == (1000, 1)


def test_a_log_that_cannot_be_had_is_told(airflow: Airflow) -> None:
    airflow.log = dead
    lines = ["one", "run_id"]
    (found,) = failing(airflow, task("failed"), scheduler_lines=lambda: lines).failed_tasks
    assert found.log_tail == ("(no log: Airflow's web server does not answer: refused)",)


def test_tasks_that_cannot_be_asked_for_leave_the_runs_own_state(airflow: Airflow) -> None:
    airflow.state = lambda dag_id: "failed"
    airflow.task_instances = dead  # type: ignore[method-assign]
    (result,) = run(airflow, "one")
    assert (result.state, result.failed_tasks) == ("failed", ())


def test_the_schedulers_last_five_lines_about_the_run(airflow: Airflow) -> None:
    def scheduler() -> list[str]:
        run_id = airflow.triggered[0][1]
        return [*(f" {number} one {run_id} " for number in range(7)), f"done-one {run_id}", f"onetwo {run_id}", "one"]

    result = failing(airflow, scheduler_lines=scheduler)
    assert [line.split()[0] for line in result.scheduler_lines] == ["2", "3", "4", "5", "6"]
    assert all(line == line.strip() for line in result.scheduler_lines)


def test_the_scheduler_is_silent_where_a_task_has_a_log_of_its_own(airflow: Airflow) -> None:
    airflow.log = lambda task: ["[2026] something"]
    result = failing(airflow, task("failed"), scheduler_lines=lambda: [f"one t {airflow.triggered[0][1]}"])
    assert result.failed_tasks[0].scheduler_lines == ()
    assert result.scheduler_lines == (), "the tasks speak for the run"


def test_a_run_that_succeeds_tells_nothing(airflow: Airflow) -> None:
    airflow.tasks = [task("failed")]
    (result,) = run(airflow, "one", scheduler_lines=lambda: [f"one {airflow.triggered[0][1]}"])
    assert (result.failed_tasks, result.scheduler_lines) == ((), ())


# -- until everything is parsed ----------------------------------------------------------------------------------------


class Parsing:
    """An Airflow that parses one file after another."""

    def __init__(
        self, clock: Clock, dags: Sequence[tuple[float, str]], errors: Sequence[tuple[float, str]] = ()
    ) -> None:
        self.clock = clock
        self.begin = clock.now
        self._dags, self._errors = dags, errors

    def dags(self) -> list[Dag]:
        seen = [name for at, name in self._dags if self.clock.now - self.begin >= at]
        return [Dag(name, f"/usr/local/airflow/dags/{name}.py", False, False, frozenset()) for name in seen]

    def import_errors(self) -> list[ImportFailure]:
        return [ImportFailure(name, "x") for at, name in self._errors if self.clock.now - self.begin >= at]


def waited(api: Parsing, folder: Path, wanted: Sequence[str] = (), timeout_s: float = 300) -> tuple[list[str], float]:
    dags, errors = smoke.wait_until_parsed(
        api, folder, wanted, timeout_s=timeout_s, clock=api.clock, sleep=api.clock.sleep
    )  # type: ignore[arg-type]
    return [dag.id for dag in dags] + [error.file for error in errors], api.clock.now - api.begin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "team").mkdir()
    (tmp_path / "a.py").write_text("from airflow.sdk import DAG")
    (tmp_path / "team/b.py").write_text("from AIRFLOW.sdk import dag")
    (tmp_path / "words.py").write_text("a dag is an animal")
    (tmp_path / "other.py").write_text("import airflow")
    (tmp_path / "note.txt").write_text("airflow dag")
    return tmp_path


def test_waiting_ends_with_the_last_file_that_is_a_dag_to_airflow(folder: Path, clock: Clock) -> None:
    names, seconds = waited(Parsing(clock, [(0, "a"), (4, "b")]), folder)
    assert names == ["a", "b"]
    assert 4 <= seconds < 4.5


def test_an_import_error_accounts_for_its_file(folder: Path, clock: Clock) -> None:
    names, seconds = waited(Parsing(clock, [(0, "a")], [(3, "/usr/local/airflow/dags/team/b.py")]), folder)
    assert names == ["a", "/usr/local/airflow/dags/team/b.py"]
    assert 3 <= seconds < 3.5


def test_waiting_ends_where_nothing_new_came_for_six_seconds(folder: Path, clock: Clock) -> None:
    names, seconds = waited(Parsing(clock, [(0, "a"), (5, "x"), (10, "y")], [(15, "/z.py")]), folder)
    assert names == ["a", "x", "y", "/z.py"], "each new thing starts the wait again"
    assert 21 < seconds < 22


def test_while_nothing_at_all_was_parsed_the_limit_counts(folder: Path, clock: Clock) -> None:
    names, seconds = waited(Parsing(clock, [(60, "a"), (60, "b")]), folder)
    assert (names, 60 <= seconds < 61) == (["a", "b"], True)
    names, seconds = waited(Parsing(clock, []), folder, timeout_s=30)
    assert (names, 30 < seconds < 31) == ([], True)


def test_a_wanted_dag_is_waited_for_though_every_file_is_parsed(folder: Path, clock: Clock) -> None:
    names, seconds = waited(Parsing(clock, [(0, "a"), (0, "b"), (3, "made_late")]), folder, ["made_late"])
    assert "made_late" in names
    assert 3 <= seconds < 3.5


def test_a_folder_without_dag_files_is_not_waited_for(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "other.py").write_text("import airflow")
    assert waited(Parsing(clock, []), tmp_path) == ([], 0)
