"""The process engine over stand-ins for its keeper, installer and database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mwaa_local import model
from mwaa_local.engines import plan, ports
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.process import engine as process
from mwaa_local.engines.process import keeper_client, postgres
from mwaa_local.engines.process.engine import ProcessEngine
from mwaa_local.packages import base


class Quiet:
    """Progress that only remembers the names of steps."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Any]:
        self.steps.append(name)
        yield SimpleNamespace(note=self.notes.append)


class Rig:
    """An engine whose keeper, installer and database are stand-ins that remember what they were asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.calls: list[Any] = []
        self.running = False
        self.components: dict[str, Any] = {}
        self.waits: list[tuple[list[str], float]] = []
        self.cluster: Any = postgres.Cluster(folder / "data", "same", Path("/pg/bin"))
        self.base = SimpleNamespace(
            path=folder / "set", notes=("a note of the set",), python="3.12.1", seconds=7.4, installed_now=False
        )
        self.progress = Quiet()
        say = self._say
        monkeypatch.setattr(keeper_client, "runs", lambda _layout: self.running)
        monkeypatch.setattr(keeper_client, "pid", lambda _layout: None)
        monkeypatch.setattr(keeper_client, "report", lambda _layout: {"components": self.components})
        monkeypatch.setattr(keeper_client, "start", lambda _layout, _host: say("start", True))
        monkeypatch.setattr(keeper_client, "reload", lambda _layout: say("reload", True))
        monkeypatch.setattr(keeper_client, "stop", lambda _layout, timeout_s: say(f"stop {timeout_s:g}", False))
        monkeypatch.setattr(keeper_client, "kill", lambda _layout: say("kill", False))
        monkeypatch.setattr(ports, "is_free", lambda _port: True)  # another environment may run on this machine
        monkeypatch.setattr(process, "until_healthy", self._wait)
        monkeypatch.setattr(postgres, "describe", self._describe)
        monkeypatch.setattr(base, "ensure_base", self._base)
        self.load()

    def load(self, text: str = "", **flags: Any) -> None:
        (self.folder / "mwaa.yaml").write_text(f"Name: e\n{text}")
        self.environment = model.load(self.folder, flags={"Local.Engine": "process", **flags}, variables={})
        self.layout = Layout(self.environment.state)
        host = {"HOME": str(self.folder), "MWAA_LOCAL_CACHE_DIR": str(self.folder / "cache"), "PATH": "/usr/bin:/bin"}
        self.engine = ProcessEngine(self.environment, host)

    def _say(self, word: str, running: bool) -> None:
        self.calls.append(word)
        self.running = running

    def _wait(
        self, _layout: Any, generation: str, names: list[str], _progress: Any, *, timeout_s: float, **_: Any
    ) -> dict[str, float]:
        made = plan.read(self.layout.plan)
        assert made is not None and made.generation == generation, "the plan that is waited for is the one that is kept"
        self.waits.append((list(names), timeout_s))
        return {"scheduler": 1.5}

    def _describe(self, home: Path) -> Any:
        home.mkdir(parents=True, exist_ok=True)
        return self.cluster

    def _base(self, wanted: Any, cache: Path, *, environment: Mapping[str, str], emit: Any) -> Any:
        self.calls.append(f"base {wanted.airflow}")
        return self.base

    def up(self, timeout_s: float = 5) -> Any:
        return self.engine.up(self.environment, self.progress, timeout_s=timeout_s)

    @property
    def plan(self) -> Plan:
        made = plan.read(self.layout.plan)
        assert made is not None
        return made
