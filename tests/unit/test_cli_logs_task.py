"""``logs task DAG [RUN] [TASK]``: which run and which tasks are meant."""

from __future__ import annotations

from typing import Any

import pytest
from cli_support import CommandLine, command_line

from mwaa_local.cli import inspect
from mwaa_local.observability.airflow_api import RefusedError, TaskInstance

__all__ = ["command_line"]
RUNS = {"first": ["extract"], "second": ["extract", "load", "load"], "empty": []}


class Api:
    """One DAG with three runs."""

    missing = 404  # what it answers for a run that is not there; Airflow 2 gives an empty list

    def __init__(self, *_: Any) -> None:
        pass

    def latest_run(self, dag_id: str) -> str | None:
        if dag_id == "gone":
            raise RefusedError("GET /dags/gone", "here", 404, b"{}")
        if dag_id == "broken":
            raise RefusedError("GET /dags/broken", "here", 500, b"{}")
        return "second" if dag_id == "etl" else None

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        if run_id not in RUNS and self.missing:
            raise RefusedError("GET /dags/etl/dagRuns", "here", 404, b"{}")
        return [
            TaskInstance(
                task_id=task, state="success", try_number=1, map_index=at - 1 if task == "load" else -1, seconds=1.0
            )
            for at, task in enumerate(RUNS.get(run_id, []))
        ]

    def task_log(self, dag_id: str, run_id: str, task: TaskInstance, *, try_number: int | None) -> list[str]:
        return [f"{task.task_id} of {run_id}, try {try_number}"]


@pytest.fixture(params=[404, 0], ids=["airflow-3", "airflow-2"])
def task_logs(
    request: pytest.FixtureRequest, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    monkeypatch.setattr(inspect, "AirflowApi", type("Api", (Api,), {"missing": request.param}))
    return command_line


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["etl"], ["extract of second", "load of second", "load of second"]),
        (["etl", "first"], ["extract of first"]),
        (["etl", "second", "load"], ["load of second", "load of second"]),
        (["etl", "extract"], ["extract of second"]),
    ],
)
def test_what_is_meant(task_logs: CommandLine, words: list[str], shown: list[str]) -> None:
    done = task_logs("logs", "task", *words)
    assert done.code == 0, done.err
    assert [line.partition(",")[0] for line in done.out.splitlines() if not line.startswith("---")] == shown


def test_a_try_of_before(task_logs: CommandLine) -> None:
    done = task_logs("logs", "task", "etl", "--try", "4")
    assert "extract of second, try 4" in done.out and "try 4 (success)" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone"], ["DAG gone has no run yet"]),
        (["new"], ["DAG new has no run yet", "mwaa-local airflow dags trigger new"]),
        (
            ["etl", "nonsense"],
            ["run second has no task 'nonsense', and there is no run of that name", "tasks: extract, load\n"],
        ),
        (["etl", "first", "load"], ["run first has no task 'load'\n", "tasks: extract\n"]),
        (["etl", "third", "load"], ["DAG etl has no run 'third'", "its last run: second"]),
        ([], ["which task?"]),
        (["etl", "second", "load", "more"], ["which task?"]),
    ],
)
def test_what_is_not_there_is_said(task_logs: CommandLine, words: list[str], said: list[str]) -> None:
    done = task_logs("logs", "task", *words)
    assert (done.code, done.out) == (2, "")
    for sentence in said:
        assert sentence in done.err


def test_another_refusal_of_airflow_is_no_missing_run(task_logs: CommandLine) -> None:
    done = task_logs("logs", "task", "broken")
    assert done.code == 1
    assert "HTTP 500" in done.err
