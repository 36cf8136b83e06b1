"""The docker engine keeps the contract of every engine (tests/contract/engines)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from engine_contract import EngineContract
from engine_world import HOLD, RunningTask, running_task
from test_docker_engine_life import UP_SECONDS

from mwaa_local import model
from mwaa_local.engines.docker.engine import DockerEngine, why_unusable
from mwaa_local.engines.docker.plan import project_name
from mwaa_local.model import Environment
from mwaa_local.observability.airflow_api import AirflowApi


class DockerWorld:
    """A project of the docker engine."""

    seconds = UP_SECONDS

    def __init__(self, project: Path) -> None:
        self.project = project
        (project / "dags").mkdir(parents=True)
        (project / "dags" / "hold.py").write_text(HOLD)

    def environment(self, name: str = "a") -> Environment:
        return model.load(self.project, flags={"Name": name, "Local.Engine": "docker"}, variables={})

    def engine(self, name: str = "a") -> DockerEngine:
        variables = {**os.environ, "MWAA_LOCAL_CACHE_DIR": str(self.project.parent / "cache")}
        return DockerEngine(self.environment(name), variables)

    def running_task(self, avoid: str) -> AbstractContextManager[RunningTask]:
        addresses = self.engine().addresses()
        assert addresses is not None
        api = AirflowApi(addresses.web, addresses.airflow_version, timeout_s=90.0)
        return running_task(self.project / "dags", api, self.engine, avoid)

    def kill(self, component: str) -> None:
        # Everything in the container but its init; the shell may be hit as well.
        words = ["exec", "--user", "root", self._container(component), "sh", "-c", "kill -9 -1"]
        subprocess.run(["docker", *words], capture_output=True, timeout=60, check=False)

    def write(self, value: str, name: str = "a") -> None:
        self._ask(name, "CREATE TABLE IF NOT EXISTS of_the_test (value text)")
        self._ask(name, f"DELETE FROM of_the_test; INSERT INTO of_the_test VALUES ('{value}')")

    def read(self, name: str = "a") -> str | None:
        there = self._ask(name, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'of_the_test'")
        return self._ask(name, "SELECT value FROM of_the_test") if there != "0" else None

    def _ask(self, name: str, statement: str) -> str:
        words = ["exec", self._container("postgres", name), "psql", "-U", "adminuser", "-d", "AirflowMetadata", "-qtAc"]
        done = subprocess.run(["docker", *words, statement], capture_output=True, timeout=60, text=True, check=True)
        return done.stdout.strip()

    def _container(self, component: str, name: str = "a") -> str:
        project = project_name(self.environment(name))
        labels = [f"com.docker.compose.project={project}", f"com.docker.compose.service={component}"]
        words = ["ps", "--quiet", *(word for label in labels for word in ("--filter", f"label={label}"))]
        done = subprocess.run(["docker", *words], capture_output=True, timeout=60, text=True, check=True)
        return done.stdout.split()[0]


@pytest.fixture(scope="class")
def world(bases: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerWorld]:
    made = DockerWorld(tmp_path_factory.mktemp("contract") / "project")
    assert why_unusable(made.environment(), os.environ) is None
    yield made
    for name in ("b", "a"):
        made.engine(name).reset()


@pytest.mark.timeout(2400)
class TestDockerEngine(EngineContract):
    """All of it."""
