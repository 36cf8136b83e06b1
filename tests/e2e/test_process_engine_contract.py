"""The process engine keeps the contract of every engine (tests/contract/engines)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from engine_contract import EngineContract
from engine_world import HOLD, RunningTask, running_task
from process_engine_support import UP_SECONDS

from mwaa_local import model
from mwaa_local.engines import plan
from mwaa_local.engines.process import postgres
from mwaa_local.engines.process.engine import ProcessEngine
from mwaa_local.model import Environment, secrets
from mwaa_local.observability.airflow_api import AirflowApi


class ProcessWorld:
    """A project of the process engine."""

    seconds = UP_SECONDS

    def __init__(self, project: Path) -> None:
        self.project = project
        (project / "dags").mkdir(parents=True)
        (project / "dags" / "hold.py").write_text(HOLD)

    def environment(self, name: str = "a") -> Environment:
        return model.load(self.project, flags={"Name": name, "Local.Engine": "process"}, variables={})

    def engine(self, name: str = "a") -> ProcessEngine:
        return ProcessEngine(self.environment(name), dict(os.environ))

    def running_task(self, avoid: str) -> AbstractContextManager[RunningTask]:
        addresses = self.engine().addresses()
        assert addresses is not None
        api = AirflowApi(addresses.web, addresses.airflow_version, timeout_s=90.0)
        return running_task(self.project / "dags", api, self.engine, avoid)

    def kill(self, component: str) -> None:
        (found,) = (one for one in self.engine().observe().components if one.name == component)
        assert found.pid
        os.kill(found.pid, signal.SIGKILL)

    def write(self, value: str, name: str = "a") -> None:
        self._ask(name, "CREATE TABLE IF NOT EXISTS of_the_test (value text)")
        self._ask(name, "DELETE FROM of_the_test")
        self._ask(name, f"INSERT INTO of_the_test VALUES ('{value}')")

    def read(self, name: str = "a") -> str | None:
        rows = self._ask(name, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'of_the_test'")
        return str(self._ask(name, "SELECT value FROM of_the_test")[0][0]) if rows[0][0] else None

    def _ask(self, name: str, statement: str) -> list[Any]:
        layout = self.engine(name).layout
        made = plan.last(layout.plan)
        assert made is not None
        password = secrets.load_or_create(layout.secrets).database_password
        with postgres.connection(made.ports["postgres"], password) as opened, opened.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture(scope="class")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessWorld]:
    made = ProcessWorld(tmp_path_factory.mktemp("contract") / "project")
    yield made
    for name in ("b", "a"):
        made.engine(name).reset()


@pytest.mark.timeout(900)
class TestProcessEngine(EngineContract):
    """All of it."""
