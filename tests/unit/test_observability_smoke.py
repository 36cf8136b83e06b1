"""The smoke test against an Airflow API that answers as Airflow 3 and Airflow 2 do."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import xmlschema
from airflow_api_support import DAG_FILE, FakeAirflow, served

from mwaa_local.errors import EngineError, UsageError
from mwaa_local.model import SmokeSettings
from mwaa_local.observability import smoke, smoke_runs
from mwaa_local.observability.airflow_api import AirflowApi, Dag, ImportFailure, RefusedError
from mwaa_local.observability.smoke_results import FailedTask, RunResult, SmokeResult, as_junit

JUNIT = Path(__file__).parents[1] / "fixtures/preflight/junit-10.xsd"


SETTINGS = SmokeSettings(dags=(), tag="smoke", timeout_seconds=5)


@pytest.mark.parametrize("major", [2, 3])
def test_runs_succeed_and_paused_dags_stay_paused(major: int) -> None:
    fake = FakeAirflow(major)
    fake.add("one", paused=True)
    fake.add("two")
    with served(fake) as api:
        chosen = smoke.choose(api.dags(), SETTINGS, (), None)
        results = smoke_runs.run(api, chosen, {"key": 1}, slots=5, timeout_s=5)
    assert [(r.dag_id, r.state) for r in results] == [("one", "success"), ("two", "success")]
    assert fake.patched == [], "no pause state is touched, so none has to be restored"
    assert all(body["dag_run_id"].startswith(smoke_runs.RUN_PREFIX) for _, body in fake.triggered)
    assert fake.triggered[0][1]["conf"] == {"key": 1}
    assert SmokeResult(runs=tuple(results)).passed


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_no_more_runs_at_once_than_slots(slots: int) -> None:
    fake = FakeAirflow(3)
    for number in range(5):
        fake.add(f"dag_{number}")
    with served(fake) as api:
        results = smoke_runs.run(api, api.dags(), {}, slots=slots, timeout_s=30)
    assert [result.state for result in results] == ["success"] * 5
    assert fake.most == slots


@pytest.mark.parametrize(
    ("conf", "status", "detail", "reason"),
    [
        ({}, 400, "Invalid input for param month: No value passed", "needs --conf: Invalid input for param month"),
        ({"month": 1}, 400, "Invalid input for param month: 1 is not of type 'string'", "--conf does not fit: Invalid"),
        ({}, 400, "Dag with dag_id: 'asks' does not allow manual runs", "cannot be triggered: Dag with"),
        ({}, 500, "Internal Server Error", "cannot be triggered: Internal Server Error"),
    ],
)
def test_a_dag_that_cannot_be_triggered_fails_and_the_others_go_on(
    conf: dict[str, Any], status: int, detail: str, reason: str
) -> None:
    fake = FakeAirflow(3)
    fake.add("asks")
    fake.add("other")
    fake.refused["asks"] = (status, detail)
    with served(fake) as api:
        results = smoke_runs.run(api, api.dags(), conf, slots=1, timeout_s=30)
    assert [(result.dag_id, result.state) for result in results] == [("asks", "refused"), ("other", "success")]
    assert results[0].reason.startswith(reason)
    result = SmokeResult(runs=tuple(results))
    assert not result.passed
    failure = ET.fromstring(as_junit(result)).find("testcase[@name='asks']/failure")
    assert failure is not None and str(failure.get("message")).startswith(reason)


def test_an_answer_that_was_lost_starts_no_second_run() -> None:
    fake = FakeAirflow(3)
    fake.add("one")
    with served(fake) as api:
        real = api.trigger

        def losing(dag_id: str, conf: Any, *, run_id: str | None = None) -> str:
            if fake.triggered:
                raise RefusedError("POST", "", 409, b'{"detail": "exists"}')
            real(dag_id, conf, run_id=run_id)
            raise EngineError("Airflow's web server does not answer")

        api.trigger = losing  # type: ignore[method-assign]
        (result,) = smoke_runs.run(api, api.dags(), {}, slots=5, timeout_s=30)
    assert result.state == "success"
    assert len(fake.triggered) == 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt, EngineError("nobody answers")])
def test_what_still_runs_is_ended_when_the_test_is_interrupted(stop: Any) -> None:
    fake = FakeAirflow(3)
    fake.add("slow", ends="running")
    fake.add("fast")

    def interrupt(_: RunResult) -> None:
        raise stop

    with served(fake) as api, pytest.raises((KeyboardInterrupt, EngineError)):
        smoke_runs.run(api, sorted(api.dags(), key=lambda dag: dag.id == "fast"), {}, slots=5, timeout_s=30,
                       on_result=interrupt)  # fmt: skip
    ((path, body),) = fake.patched
    assert path.startswith("/dags/slow/dagRuns/") and body == {"state": "failed"}


@pytest.mark.parametrize("major", [2, 3])
def test_the_scheduler_speaks_for_a_task_whose_log_is_empty(major: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke_runs, "_LOG_S", 0.1)
    fake = FakeAirflow(major)
    fake.add("lost", ends="failed")
    fake.log = [{"event": "::group::Log message source details"}]
    asked: list[str] = []

    def scheduler() -> list[str]:
        run = str(fake.triggered[0][1]["dag_run_id"])
        asked.append(run)
        return [
            f"TaskInstance Finished: dag_id=lost, task_id=other, run_id={run}, state=failed",
            f"TaskInstance Finished: dag_id=lost, task_id=bad, run_id={run}, state=failed, executor_state=failed",
            "TaskInstance Finished: dag_id=lost, task_id=bad, run_id=manual__1, state=failed",
            f"<TaskInstance: not-lost.bad {run}>",
        ]

    with served(fake) as api:
        (result,) = smoke_runs.run(api, api.dags(), {}, slots=5, timeout_s=5, scheduler_lines=scheduler)
    (task,) = result.failed_tasks
    assert [line.partition(" run_id")[0] for line in task.scheduler_lines] == [
        "TaskInstance Finished: dag_id=lost, task_id=bad,"
    ]
    assert task.scheduler_lines[0] in task.cause


def test_a_dag_whose_turn_never_came_is_told() -> None:
    fake = FakeAirflow(3)
    fake.add("a_slow", ends="running")
    fake.add("b_late")
    with served(fake) as api:
        results = smoke_runs.run(api, api.dags(), {}, slots=1, timeout_s=0.5)
    assert [(r.dag_id, r.state) for r in results] == [("a_slow", "timeout"), ("b_late", "timeout")]
    assert results[1].reason.startswith("not started")
    assert [path.split("/")[2] for path, _ in fake.patched] == ["a_slow"], "what runs on is ended"


@pytest.mark.parametrize("major", [2, 3])
def test_a_failed_run_carries_its_log(major: int) -> None:
    fake = FakeAirflow(major)
    fake.add("bad", ends="failed")
    with served(fake) as api:
        (result,) = smoke_runs.run(api, api.dags(), {}, slots=5, timeout_s=5)
    assert result.state == "failed"
    (task,) = result.failed_tasks
    assert "boom" in task.log_tail[0]
    assert f'File "{DAG_FILE}", line 12' in "\n".join(task.log_tail), "the traceback"
    assert (task.where, task.error) == ("dags/load.py:12 in month", "KeyError: 'month'")
    assert not SmokeResult(runs=(result,)).passed


def test_a_run_is_triggered_with_a_logical_date_of_now() -> None:
    fake = FakeAirflow(3)
    fake.add("daily")
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    with served(fake) as api:
        api.trigger("daily", {}, run_id="r")
    asked = datetime.fromisoformat(fake.triggered[0][1]["logical_date"])
    assert before <= asked <= datetime.now(UTC), "never in the future: Airflow 3 would wait for it"


@pytest.mark.parametrize("major", [2, 3])
def test_the_exception_is_waited_for_when_the_log_arrives_after_the_state(major: int) -> None:
    fake = FakeAirflow(major)
    fake.add("bad", ends="failed")
    fake.log = []
    with served(fake) as api:
        real = api.task_events

        def late(*words: Any, **more: Any) -> list[Any]:
            found = real(*words, **more)
            fake.log = None
            return found

        api.task_events = late  # type: ignore[method-assign]
        (result,) = smoke_runs.run(api, api.dags(), {}, slots=5, timeout_s=5)
    assert result.failed_tasks[0].error == "KeyError: 'month'"


def test_a_run_that_never_ends_is_a_timeout() -> None:
    fake = FakeAirflow(3)
    fake.add("slow", ends="running")
    with served(fake) as api:
        (result,) = smoke_runs.run(api, api.dags(), {}, slots=5, timeout_s=0.1)
    assert result.state == "timeout"


def test_choice_named_then_definition_then_tag() -> None:
    dags = [
        Dag("a", "/a", False, False, frozenset({"smoke"})),
        Dag("b", "/b", False, True, frozenset({"smoke", "x"})),
        Dag("c", "/c", False, False, frozenset()),
    ]
    assert [d.id for d in smoke.choose(dags, SETTINGS, ["c"], None)] == ["c"]
    assert [d.id for d in smoke.choose(dags, SmokeSettings(("b",), "smoke", 5), (), None)] == ["b"]
    assert [d.id for d in smoke.choose(dags, SETTINGS, (), None)] == ["a"], "a scheduled DAG runs only when asked for"
    assert [d.id for d in smoke.choose(dags, SETTINGS, (), "x")] == ["b"]
    named = SmokeSettings(("b",), "smoke", 5)
    assert [d.id for d in smoke.choose(dags, named, (), "smoke")] == ["a", "b"], "a tag asked for beats named DAGs"
    with pytest.raises(UsageError, match="does not exist"):
        smoke.choose(dags, SETTINGS, ["nope"], None)
    with pytest.raises(UsageError, match="carries the tag"):
        smoke.choose(dags, SETTINGS, (), "nothing")


def test_waiting_for_parsing_ends_when_every_file_is_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("from airflow.sdk import DAG")
    (tmp_path / "broken.py").write_text("from airflow.sdk import DAG, nothing")
    (tmp_path / "helper.py").write_text("x = 1")
    fake = FakeAirflow(3)
    fake.add("good")
    fake.errors = [{"filename": "/dags/broken.py", "stack_trace": "ImportError: nothing"}]
    with served(fake) as api:
        dags, errors = smoke.wait_until_parsed(api, tmp_path, (), timeout_s=5)
    assert [d.id for d in dags] == ["good"]
    assert errors == [ImportFailure("/dags/broken.py", "ImportError: nothing")]


def test_waiting_for_a_dag_that_never_comes_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("from airflow.sdk import DAG")
    with served(FakeAirflow(3)) as api:
        assert smoke.wait_until_parsed(api, tmp_path, ("late",), timeout_s=0.3) == ([], [])


def test_junit_holds_failures_and_survives_control_characters() -> None:
    task = FailedTask("t", "failed", 1, ("boom \x07 <&>",), "KeyError: '\x07'", "dags/load.py:12")
    failed = RunResult("bad", "r", "failed", 1.5, (task,))
    result = SmokeResult(
        (ImportFailure("/dags/x.py", "Traceback"),), (failed, RunResult("ok", "r", "success", 2.0)), ("no environment",)
    )
    written = as_junit(result)
    xmlschema.XMLSchema(str(JUNIT)).validate(written)
    suite = ET.fromstring(written)
    assert (suite.get("tests"), suite.get("failures")) == ("4", "3")
    failure = suite.find("testcase[@name='bad']/failure")
    assert failure is not None and failure.text is not None
    assert failure.text.startswith("task t (try 1) dags/load.py:12: KeyError: '?'"), "the user's line comes first"
    assert "boom ? <&>" in failure.text
    assert failure.get("message") == "task t (try 1) dags/load.py:12: KeyError: '?'; run r ended failed"


def test_an_unreachable_web_server_is_one_clear_error() -> None:
    with pytest.raises(EngineError, match="does not answer"):
        AirflowApi("http://127.0.0.1:9", "3.2.1", timeout_s=1).dags()


def test_a_web_server_that_stumbles_does_not_fail_the_runs() -> None:
    fake = FakeAirflow(3)
    fake.add("one")
    with served(fake) as api:
        real, calls = api.run_state, []

        def stumbling(dag_id: str, run_id: str) -> str:
            calls.append(dag_id)
            if len(calls) < 3:
                raise EngineError("Airflow's web server does not answer")
            return real(dag_id, run_id)

        api.run_state = stumbling  # type: ignore[method-assign]
        (result,) = smoke_runs.run(api, api.dags(), {}, slots=5, timeout_s=60)
    assert result.state == "success"
