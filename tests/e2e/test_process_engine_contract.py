"""The process engine keeps the contract of every engine (tests/contract/engines)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from engine_contract import EngineContract
from engine_world import RealWorld
from process_engine_support import UP_SECONDS, ask_database

from mwaa_local.engines.process.engine import ProcessEngine


class ProcessWorld(RealWorld):
    """A project of the process engine."""

    seconds = UP_SECONDS

    def engine(self, name: str = "a") -> ProcessEngine:
        return ProcessEngine(self.environment(name), dict(os.environ))

    def kill(self, component: str) -> None:
        (found,) = (one for one in self.engine().observe().components if one.name == component)
        assert found.pid
        os.kill(found.pid, signal.SIGKILL)

    def _ask(self, name: str, statement: str) -> list[tuple[Any, ...]]:
        return ask_database(self.engine(name).layout, statement)


@pytest.fixture(scope="class")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessWorld]:
    made = ProcessWorld(tmp_path_factory.mktemp("contract") / "project", "process")
    yield made
    for name in ("b", "a"):
        made.engine(name).reset()


@pytest.mark.timeout(900)
class TestProcessEngine(EngineContract):
    """All of it."""
