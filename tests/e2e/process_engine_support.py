"""A real environment in the process engine, for the tests of this folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mwaa_local import model
from mwaa_local.engines import lifecycle, plan
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.names import AIRFLOW, SITE
from mwaa_local.engines.process import postgres
from mwaa_local.engines.process.engine import ProcessEngine
from mwaa_local.engines.protocol import ComponentState, UpResult
from mwaa_local.model import secrets
from mwaa_local.observability.airflow_api import AirflowApi

UP_SECONDS = 240.0

DAG = """
from datetime import datetime
try:
    from airflow.sdk import dag, get_current_context, task
except ImportError:
    from airflow.decorators import dag, task
    from airflow.operators.python import get_current_context

@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def two_tasks():
    @task
    def produce():
        import os
        print("home is", os.environ["AIRFLOW_HOME"], "greeting is", os.environ.get("GREETING"))
        print("link is", get_current_context()["ti"].log_url)
        return 20

    @task
    def consume(value):
        assert value == 20
        print("consumed", value)

    consume(produce())

two_tasks()
"""


class Silent:
    """A progress that remembers names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Silent]:
        self.names.append(name)
        yield self

    def note(self, text: str) -> None:
        """Nobody looks."""


@dataclass
class Running:
    """One project and its engine."""

    project: Path
    version: str
    flags: dict[str, Any] = field(default_factory=dict)
    result: UpResult | None = None

    def __post_init__(self) -> None:
        for name in ("dags", "plugins", "requirements", "startup"):
            (self.project / name).mkdir(parents=True, exist_ok=True)
        if not (self.project / "dags" / "two.py").exists():
            (self.project / "dags" / "two.py").write_text(DAG)

    @property
    def environment(self) -> model.Environment:
        flags = {"AirflowVersion": self.version, "Local.Engine": "process", **self.flags}
        return model.load(self.project, flags=flags, variables={})

    @property
    def engine(self) -> ProcessEngine:
        return ProcessEngine(self.environment, dict(os.environ))

    def up(self, timeout_s: float = UP_SECONDS) -> UpResult:
        engine, progress = self.engine, Silent()
        engine.prepare(self.environment, progress)
        self.result = lifecycle.up(engine, self.environment, progress, timeout_s=timeout_s)
        return self.result

    @property
    def api(self) -> AirflowApi:
        found = self.engine.addresses()
        assert found is not None
        return AirflowApi(found.web, self.version, timeout_s=90.0)  # a busy machine is no failure

    def component(self, name: str) -> ComponentState:
        return next(state for state in self.engine.components() if state.name == name)

    def pids(self) -> dict[str, int | None]:
        return {state.name: state.pid for state in self.engine.components()}

    def healthy(self, seconds: float = UP_SECONDS) -> None:
        wait(
            lambda: {state.state for state in self.engine.components()} == {"healthy"}, seconds, self.engine.components
        )

    def run_dag(self, dag_id: str, seconds: float = 120.0) -> str:
        """Trigger, wait for the end; returns the run's id after asserting success."""
        wait(lambda: dag_id in {dag.id for dag in self.api.dags()}, 60, self.api.import_errors)
        self.api.unpause(dag_id)
        run = self.api.trigger(dag_id, {})
        wait(lambda: self.api.run_state(dag_id, run) in ("success", "failed"), seconds)
        assert self.api.run_state(dag_id, run) == "success", self.api.task_instances(dag_id, run)
        return run

    def processes(self) -> set[int]:
        from mwaa_local.ground import processes

        return processes.marked(f"{self.environment.state}|") | processes.marked(f"{self.environment.site / SITE}|")


def wait(condition: Callable[[], bool], seconds: float, told: Callable[[], Any] = lambda: "") -> None:
    """Wait for a condition; what ``told`` says goes into the failure."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain: {told()}"
        time.sleep(0.1)


AIRFLOW = set(AIRFLOW)


def ask_database(layout: Layout, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement in the metadata database of an environment that runs; its rows."""
    made = plan.last(layout.plan)
    assert made is not None
    password = secrets.load_or_create(layout.secrets).database_password
    with postgres.connection(made.ports["postgres"], password) as opened, opened.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []
