"""What the worlds of the real engines share (tests/contract/engines)."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patience import until

from mwaa_local import model
from mwaa_local.model import Environment
from mwaa_local.observability.airflow_api import AirflowApi

HOLD = """
import hashlib
import time
from pathlib import Path

import pendulum
from airflow.sdk import dag, task

@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1), catchup=False, max_active_runs=9)
def hold():
    @task
    def wait(run_id=None):
        # Beside the DAG: the one folder that every engine shows live.
        while not Path(__file__).with_name("go-" + hashlib.sha256(run_id.encode()).hexdigest()).exists():
            time.sleep(0.2)
    wait()

hold()
"""


@dataclass
class RunningTask:
    """One run of the DAG."""

    worker: str
    api: AirflowApi
    run: str
    go: Path

    def end(self) -> str:
        """Let it end; the state it ended in."""
        self.go.touch()
        state = ""

        def ended() -> bool:
            nonlocal state
            state = str(self.api.run_state("hold", self.run))
            return state in ("success", "failed")

        until(ended, 120, every=0.5)
        return state


@contextmanager
def running_task(dags: Path, api: AirflowApi, engine: Callable[[], Any], avoid: str) -> Iterator[RunningTask]:
    """A task that runs on any worker but ``avoid``: those that land there are ended, and another one is begun."""
    until(lambda: "hold" in {dag.id for dag in api.dags()}, 120, api.import_errors, every=0.5)
    api.unpause("hold")
    for _ in range(20):
        run = api.trigger("hold", {})
        go = dags / ("go-" + hashlib.sha256(run.encode()).hexdigest())
        begun = time.monotonic()
        while not (busy := engine().busy()):
            assert time.monotonic() - begun < 120, api.task_instances("hold", run)
            time.sleep(0.3)
        (worker,) = busy
        task = RunningTask(worker, api, run, go)
        if worker != avoid:
            try:
                yield task
            finally:
                go.touch()
            return
        assert task.end() == "success"
        until(lambda: not engine().busy(), 60)
    raise AssertionError(f"twenty tasks in a row ran on {avoid}")


class RealWorld(ABC):
    """A project in a real engine.

    Args:
        project: Its folder.
        kind: The engine's name.
    """

    def __init__(self, project: Path, kind: str) -> None:
        self.project, self._kind = project, kind
        (project / "dags").mkdir(parents=True)
        (project / "dags" / "hold.py").write_text(HOLD)

    @abstractmethod
    def engine(self, name: str = "a") -> Any:
        """The engine of one of its environments."""

    @abstractmethod
    def _ask(self, name: str, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement in the metadata database; its rows."""

    def environment(self, name: str = "a") -> Environment:
        return model.load(self.project, flags={"Name": name, "Local.Engine": self._kind}, variables={})

    def running_task(self, avoid: str) -> AbstractContextManager[RunningTask]:
        addresses = self.engine().addresses()
        assert addresses is not None
        api = AirflowApi(addresses.web, addresses.airflow_version, timeout_s=90.0)
        return running_task(self.project / "dags", api, self.engine, avoid)

    def write(self, value: str, name: str = "a") -> None:
        self._ask(name, "CREATE TABLE IF NOT EXISTS of_the_test (value text)")
        self._ask(name, "DELETE FROM of_the_test")
        self._ask(name, f"INSERT INTO of_the_test VALUES ('{value}')")

    def read(self, name: str = "a") -> str | None:
        there = self._ask(name, "SELECT table_name FROM information_schema.tables WHERE table_name = 'of_the_test'")
        return str(self._ask(name, "SELECT value FROM of_the_test")[0][0]) if there else None
