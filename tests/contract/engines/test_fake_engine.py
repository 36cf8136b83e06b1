"""The fake engine keeps the contract: what is tried with it holds for the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from engine_contract import EngineContract
from fake_engine import FakeEngine, Machine

from mwaa_local import model
from mwaa_local.model import Environment


@dataclass
class FakeTask:
    worker: str
    machine: Machine
    state: Path

    def end(self) -> str:
        self.machine.tasks[self.state].discard(self.worker)
        return "success"


@dataclass
class FakeWorld:
    project: Path
    machine: Machine = field(default_factory=Machine)
    seconds: float = 5.0

    def environment(self, name: str = "a") -> Environment:
        return model.load(self.project, flags={"Name": name}, variables={})

    def engine(self, name: str = "a") -> Any:
        return FakeEngine(self.environment(name), self.machine)

    @contextmanager
    def running_task(self, avoid: str) -> Iterator[FakeTask]:
        state = self.environment().state
        self.machine.tasks[state] = {"worker-2"}
        yield FakeTask("worker-2", self.machine, state)

    def kill(self, component: str) -> None:
        self.machine.running[self.environment().state][component] = self.machine.start()

    def write(self, value: str, name: str = "a") -> None:
        self.machine.databases[self.environment(name).state]["value"] = value

    def read(self, name: str = "a") -> str | None:
        found: str | None = self.machine.databases[self.environment(name).state].get("value")
        return found


@pytest.fixture(scope="class")
def world(tmp_path_factory: pytest.TempPathFactory) -> FakeWorld:
    return FakeWorld(tmp_path_factory.mktemp("project"))


class TestFakeEngine(EngineContract):
    """All of it."""
