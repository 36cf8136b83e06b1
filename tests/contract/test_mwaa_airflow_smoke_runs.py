"""The scheduler's queries on real Airflow versions: a smoke run passes although its DAG is paused, nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mwaa_airflow_support import VERSIONS, airflow_python, run, variables

from mwaa_airflow.smoke_runs import PREFIX
from mwaa_local.observability import smoke_runs

# What each version's scheduler asks, on rows that it would meet.
PROGRAM = """
import datetime, importlib, json, pkgutil
import airflow
from airflow import settings
from airflow.models import TaskInstance
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
import airflow.models
from airflow.models.base import Base
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import Column, Integer, Table, event, select
from mwaa_airflow import smoke_runs

major = int(airflow.__version__[0])
for found in pkgutil.iter_modules(airflow.models.__path__, "airflow.models."):
    importlib.import_module(found.name)
if "ab_user" not in Base.metadata.tables:
    Table("ab_user", Base.metadata, Column("id", Integer, primary_key=True))
# Rows that these queries do not look at are left out.
event.listen(settings.engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=OFF"))
Base.metadata.create_all(settings.engine)
if CONTAINED:
    smoke_runs.install()
    smoke_runs.install()

T = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
number = [0]

def add(session, dag_id, run_id, paused, minute, end=None, kind="manual", state="queued", queued=True):
    number[0] += 1
    began = T + datetime.timedelta(minutes=minute)
    if not session.scalar(select(DagModel.dag_id).where(DagModel.dag_id == dag_id)):
        row = {"dag_id": dag_id, "is_paused": paused, "max_active_runs": 16, "max_active_tasks": 16,
               "has_task_concurrency_limits": False, "has_import_errors": False,
               "next_dagrun_create_after": T}
        row.update({"is_stale": False, "bundle_name": "b"} if major >= 3 else {"is_active": True})
        columns = DagModel.__table__.c
        for column in columns:
            if not column.nullable and column.name not in row and column.default is None and not column.server_default:
                row[column.name] = 1
        session.execute(DagModel.__table__.insert(), [row])
    row = {"id": number[0], "dag_id": dag_id, "run_id": run_id, "state": state, "run_type": kind, "log_template_id": 1,
           "queued_at": began if queued else None,
           "end_date": T + datetime.timedelta(minutes=end) if end else None}
    date = T + datetime.timedelta(seconds=number[0])
    row.update({"logical_date": date, "run_after": date} if major >= 3
               else {"execution_date": date, "external_trigger": kind == "manual" or not queued})
    session.execute(DagRun.__table__.insert(), [row])

ROWS = json.loads(ROWS_TEXT)
with create_session() as session:
    for row in ROWS:
        add(session, **row)
answer = {}
with create_session() as session:
    if hasattr(DagRun, "next_dagruns_to_examine"):
        ask = lambda state: DagRun.next_dagruns_to_examine(state, session)
    else:
        ask = lambda state: (DagRun.get_queued_dag_runs_to_set_running(session) if state == DagRunState.QUEUED
                             else DagRun.get_running_dag_runs_to_examine(session))
    for state in (DagRunState.QUEUED, DagRunState.RUNNING):
        answer[str(state.value)] = sorted(found.dag_id + " " + found.run_id for found in ask(state))
with create_session() as session:
    found, _ = DagModel.dags_needing_dagruns(session)
    answer["to schedule"] = sorted(dag.dag_id for dag in found)
    # The shape of the query for tasks to queue, and of the one that looks after the runs of paused DAGs.
    for name, condition in (("tasks", ~DagModel.is_paused), ("paused", DagModel.is_paused == True)):
        wanted = select(TaskInstance).join(TaskInstance.dag_run).join(TaskInstance.dag_model).where(condition)
        text = str(session.scalars(wanted).all()) and ""
        runs = select(DagRun).join(DagRun.dag_model).where(condition)
        answer[name] = sorted(found.dag_id + " " + found.run_id for found in session.scalars(runs))
print("ANSWER" + json.dumps(answer))
"""


def asked(version: str, folder: Path, rows: list[dict[str, object]], *, contained: bool = True) -> dict[str, list[str]]:
    """What the scheduler of a version finds among such rows."""
    env = variables(version, folder / "home", "http://127.0.0.1:9")
    code = f"CONTAINED = {contained}\nROWS_TEXT = {json.dumps(rows)!r}\n{PROGRAM}"
    done = run(airflow_python(version), code, env, seconds=120)
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert done.returncode == 0 and lines, done.stdout[-3000:] + done.stderr[-3000:]
    answer: dict[str, list[str]] = json.loads(lines[0].removeprefix("ANSWER"))
    return answer


SMOKE = f"{PREFIX}2026-01-01T00:00:00"
ROWS: list[dict[str, object]] = [
    {"dag_id": "paused", "run_id": "manual__before", "paused": True, "minute": 0},
    {"dag_id": "paused", "run_id": SMOKE, "paused": True, "minute": 10, "end": 20, "state": "running"},
    {"dag_id": "target", "run_id": "manual__of_an_operator", "paused": True, "minute": 15},
    {"dag_id": "paused", "run_id": "scheduled__1", "paused": True, "minute": 15, "kind": "scheduled"},
    {"dag_id": "target", "run_id": "manual__after", "paused": True, "minute": 25},
    {"dag_id": "open", "run_id": "scheduled__2", "paused": False, "minute": 15, "kind": "scheduled"},
]


def test_both_sides_mean_the_same_runs() -> None:
    assert smoke_runs.RUN_PREFIX == PREFIX


@pytest.mark.parametrize("version", VERSIONS)
def test_a_smoke_run_and_what_it_starts_pass_and_nothing_else(version: str, tmp_path: Path) -> None:
    answer = asked(version, tmp_path, ROWS)
    assert answer["running"] == [f"paused {SMOKE}"]
    assert answer["queued"] == ["open scheduled__2", "target manual__of_an_operator"]
    assert answer["to schedule"] == ["open"], "a paused DAG gets no scheduled run"
    assert answer["tasks"] == ["open scheduled__2", f"paused {SMOKE}", "target manual__of_an_operator"]
    assert answer["paused"] == ["paused manual__before", "paused scheduled__1", "target manual__after"]


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_smoke_run_a_paused_dag_is_paused(version: str, tmp_path: Path) -> None:
    rows = [row for row in ROWS if row["run_id"] != SMOKE]
    answer = asked(version, tmp_path, rows)
    assert answer["queued"] == ["open scheduled__2"]
    assert answer == asked(version, tmp_path / "plain", rows, contained=False)


def test_the_runs_of_a_subdag_pass_too(tmp_path: Path) -> None:
    # SubDagOperator makes them running at once, of the type "scheduled", triggered from outside.
    rows = [
        ROWS[1] | {"end": None},
        {"dag_id": "paused.part", "run_id": "scheduled__3", "paused": True, "minute": 12, "kind": "scheduled",
         "state": "running", "queued": False},
    ]  # fmt: skip
    assert asked("2.10.3", tmp_path, rows)["running"] == [f"paused {SMOKE}", "paused.part scheduled__3"]
