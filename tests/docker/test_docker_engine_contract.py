"""The docker engine keeps the contract of every engine (tests/contract/engines)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from engine_contract import EngineContract
from engine_world import RealWorld
from test_docker_engine_life import UP_SECONDS

from mwaa_local.engines.docker.engine import DockerEngine, why_unusable
from mwaa_local.engines.docker.plan import project_name


class DockerWorld(RealWorld):
    """A project of the docker engine."""

    seconds = UP_SECONDS

    def engine(self, name: str = "a") -> DockerEngine:
        variables = {**os.environ, "MWAA_LOCAL_CACHE_DIR": str(self.project.parent / "cache")}
        return DockerEngine(self.environment(name), variables)

    def kill(self, component: str) -> None:
        # Everything in the container but its init; the shell may be hit as well.
        words = ["exec", "--user", "root", self._container(component), "sh", "-c", "kill -9 -1"]
        subprocess.run(["docker", *words], capture_output=True, timeout=60, check=False)

    def _ask(self, name: str, statement: str) -> list[tuple[Any, ...]]:
        words = ["exec", self._container("postgres", name), "psql", "-U", "adminuser", "-d", "AirflowMetadata", "-qtAc"]
        done = subprocess.run(["docker", *words, statement], capture_output=True, timeout=60, text=True, check=True)
        return [tuple(line.split("|")) for line in done.stdout.splitlines()]

    def _container(self, component: str, name: str = "a") -> str:
        project = project_name(self.environment(name))
        labels = [f"com.docker.compose.project={project}", f"com.docker.compose.service={component}"]
        words = ["ps", "--quiet", *(word for label in labels for word in ("--filter", f"label={label}"))]
        done = subprocess.run(["docker", *words], capture_output=True, timeout=60, text=True, check=True)
        return done.stdout.split()[0]


@pytest.fixture(scope="class")
def world(bases: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerWorld]:
    made = DockerWorld(tmp_path_factory.mktemp("contract") / "project", "docker")
    assert why_unusable(made.environment(), os.environ) is None
    yield made
    for name in ("b", "a"):
        made.engine(name).reset()


@pytest.mark.timeout(2400)
class TestDockerEngine(EngineContract):
    """All of it."""
