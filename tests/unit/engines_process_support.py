"""The process engine over stand-ins for its keeper, installer and database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mwaa_local import model
from mwaa_local.engines import lifecycle, names, plan, ports
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.process import engine as process
from mwaa_local.engines.process import keeper_client, postgres, site
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
        self.site_running = False
        self.site_calls: list[Any] = []
        self.site_components: dict[str, Any] = {}
        self.components: dict[str, Any] = {}
        self.waits: list[tuple[list[str], float]] = []
        self.cluster: Any = postgres.Cluster(folder / "data", "same", Path("/pg/bin"))
        self.base = SimpleNamespace(
            path=folder / "set", notes=("a note of the set",), python="3.12.1", seconds=7.4, installed_now=False
        )
        self.progress = Quiet()

        def say(layout: Layout, word: str, running: bool) -> bool:
            if layout.state.name == names.SITE:
                self.site_calls.append(word)
                was, self.site_running = self.site_running, running
                return was
            return self._say(word, running)

        def pick(layout: Layout, own: Any, shared: Any) -> Any:
            return shared if layout.state.name == names.SITE else own

        monkeypatch.setattr(keeper_client, "runs", lambda layout: pick(layout, self.running, self.site_running))
        monkeypatch.setattr(keeper_client, "pid", lambda _layout: None)
        monkeypatch.setattr(
            keeper_client,
            "report",
            lambda layout: {"components": pick(layout, self.components, self.site_components)},
        )
        monkeypatch.setattr(keeper_client, "start", lambda layout, _host: say(layout, "start", True))
        monkeypatch.setattr(keeper_client, "reload", lambda layout: say(layout, "reload", True))
        monkeypatch.setattr(keeper_client, "stop", lambda layout, timeout_s: say(layout, f"stop {timeout_s:g}", False))
        monkeypatch.setattr(keeper_client, "kill", lambda layout: say(layout, "kill", False))
        monkeypatch.setattr(ports, "is_free", lambda _port: True)  # another environment may run on this machine
        monkeypatch.setattr(process, "until_healthy", self._wait)
        monkeypatch.setattr(site, "until_healthy", self._wait_for_site)
        monkeypatch.setattr(postgres, "describe", self._describe)
        monkeypatch.setattr(base, "ensure_base", self._base)
        self.load()

    def load(self, text: str = "", **flags: Any) -> None:
        (self.folder / "mwaa.yaml").write_text(f"Name: e\n{text}")
        self.environment = model.load(self.folder, flags={"Local.Engine": "process", **flags}, variables={})
        self.layout = Layout(self.environment.state)
        host = {"HOME": str(self.folder), "MWAA_LOCAL_CACHE_DIR": str(self.folder / "cache"), "PATH": "/usr/bin:/bin"}
        self.engine = ProcessEngine(self.environment, host)
        self.engine.busy = set  # type: ignore[method-assign,assignment]
        self.engine.snapshot = lambda target: None  # type: ignore[method-assign]
        self.engine.restore = lambda source: None  # type: ignore[method-assign]

    def _say(self, word: str, running: bool) -> bool:
        self.calls.append(word)
        was, self.running = self.running, running
        return was

    def _wait_for_site(self, layout: Layout, generation: str, names: list[str], *_: Any, **__: Any) -> dict[str, float]:
        made = plan.read(layout.plan)
        assert made is not None and made.generation == generation
        self.site_calls.append(("wait", *names))
        return {}

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
        return lifecycle.up(self.engine, self.environment, self.progress, timeout_s=timeout_s)

    @property
    def site_plan(self) -> Plan:
        made = plan.read(site.layout_of(self.environment).plan)
        assert made is not None
        return made

    @property
    def plan(self) -> Plan:
        made = plan.read(self.layout.plan)
        assert made is not None
        return made
