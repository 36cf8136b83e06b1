"""A port that a stranger took while an environment was starting: another one, or an error that names the process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import mwaa_local
from mwaa_local import model
from mwaa_local.engines import lifecycle, ports
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.ports import Wish
from mwaa_local.engines.process import engine as process
from mwaa_local.engines.process import keeper_client, site
from mwaa_local.engines.process import plan as process_plan
from mwaa_local.engines.process.engine import ProcessEngine
from mwaa_local.engines.process.lost_ports import Lost, LostPortError, Watch
from mwaa_local.errors import EngineError, MachineError
from mwaa_local.ground import processes

STARTING = {"webserver": {"state": "starting", "pid": 1}}


@contextmanager
def stranger(port: int, address: str = "127.0.0.1", **variables: str) -> Iterator[int]:
    """A process that listens on a port; its id."""
    code = f"import socket, time; s = socket.create_server(({address!r}, {port})); print(1, flush=True); time.sleep(99)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, **variables}
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        yield child.pid
        child.kill()


def test_the_list_of_the_system_has_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert server.getsockname()[1] in (processes.listening() or ())
        port = server.getsockname()[1]
    assert port not in (processes.listening() or ())


def test_a_stranger_is_seen_while_the_component_starts_and_named(tmp_path: Path) -> None:
    port = ports.any_free()
    watch = Watch({"web": port}, tmp_path)
    watch(STARTING)
    with stranger(port) as pid:
        watch._next = 0
        with pytest.raises(LostPortError) as caught:
            watch(STARTING)
        assert watch.look({"webserver": {"state": "healthy"}}) is None, "what answers well is ours"
    lost = caught.value.lost
    assert (lost.name, lost.port, lost.pid) == ("web", port, pid)
    assert "python" in lost.holder


def test_our_own_process_and_one_on_another_address_are_no_strangers(tmp_path: Path) -> None:
    port = ports.any_free()
    watch = Watch({"web": port}, tmp_path)
    with stranger(port, **{processes.MARK: f"{tmp_path}|webserver|1"}):
        assert watch.look(STARTING) is None
        assert watch.look(STARTING, failed=True) is None
    with stranger(port, "127.0.0.9"):
        watch = Watch({"web": port}, tmp_path)
        assert watch.look(STARTING) is None, "it was there when the port was chosen: in nobody's way"
        assert watch.look(STARTING, failed=True) is None


def test_a_holder_that_cannot_be_seen_counts_once_the_component_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = ports.any_free()
    watch = Watch({"web": port}, tmp_path)
    monkeypatch.setattr(processes, "listener", lambda _port: None)
    with stranger(port):
        assert watch.look(STARTING) is None
        found = watch.look({"webserver": {"state": "restarting", "pid": None}}, failed=True)
    assert found is not None
    assert "cannot see" in found.holder


def test_the_error_says_which_process_and_what_to_do() -> None:
    error = Lost("web", 8080, "process 7 (nc -l 8080)", 7).error([Wish("web", 8080, True, "Local.Ports.Web")])
    assert (error.what, error.where) == ("port 8080 is taken", "Local.Ports.Web")
    assert error.why == "process 7 (nc -l 8080) took it while the environment was starting"
    assert "kill 7" in error.hint
    assert "set Local.Ports.Web to another port" in error.hint


class Starts:
    """`up` of the process engine with a keeper that never was; each wait ends as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, waits: list[Any], **flags: Any) -> None:
        self.environment = model.load(folder, flags={"Local.Engine": "process", **flags}, variables={})
        self.engine = ProcessEngine(self.environment, {"MWAA_LOCAL_CACHE": str(folder / "cache"), "HOME": str(folder)})
        self.ports: list[int] = []
        self.keeper: list[str] = []
        self._waits = waits
        # Once it was started it runs, and is told of another port.
        monkeypatch.setattr(keeper_client, "runs", lambda layout: layout.state.name != "_site" and bool(self.keeper))
        monkeypatch.setattr(keeper_client, "report", lambda _layout: {"components": {}})
        monkeypatch.setattr(keeper_client, "start", lambda layout, _host: self._say(layout, "start"))
        monkeypatch.setattr(keeper_client, "reload", lambda layout: self._say(layout, "reload"))
        monkeypatch.setattr(process, "until_healthy", self._wait)
        monkeypatch.setattr(site, "until_healthy", lambda *_, **__: {})
        monkeypatch.setattr(self.engine, "_base_set", lambda *_: folder)
        monkeypatch.setattr(process.postgres, "describe", lambda _home: SimpleNamespace())
        monkeypatch.setattr(process_plan, "build", self._build)

    def _say(self, layout: Any, word: str) -> None:
        if layout.state.name != "_site":
            self.keeper.append(word)

    def _build(self, parts: process_plan.Parts) -> Plan:
        self.ports.append(parts.ports["web"])
        facts = {
            "ports": dict(parts.ports), "airflow_version": "3.2.1", "web": f"http://x:{parts.ports['web']}", "aws": "a",
            "bucket": "b",
        }  # fmt: skip
        return Plan(mwaa_local.__version__, {}, (Component("webserver", ("a", str(parts.ports["web"]))),), facts)

    def _wait(self, *_: Any, look: Any, **__: Any) -> dict[str, float]:
        self._waits.pop(0)(look)
        return {}

    def up(self) -> Any:
        progress: Any = SimpleNamespace(step=None)
        return lifecycle.up(self.engine, self.environment, progress, timeout_s=5)


def good(_look: Any) -> None:
    """Every component becomes healthy."""


def test_another_port_is_chosen_by_itself_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextmanager(_taking)() as theft:
        starts = Starts(monkeypatch, tmp_path, [theft, good])
        result = starts.up()
    assert len(starts.ports) == 2
    assert starts.ports[1] != starts.ports[0]
    assert starts.keeper == ["start", "reload"], "what runs already is not started anew"
    (note,) = [text for text in result.changes if "was taken by process" in text]
    assert note.startswith(f"web port {starts.ports[0]}")
    assert result.addresses.web.endswith(str(starts.ports[1]))


def _taking() -> Iterator[Any]:
    """A wait in which somebody takes the port that was chosen; held to the end of the test."""
    held: list[Any] = []

    def theft(look: Any) -> None:
        holder = stranger(look._ports["web"])
        holder.__enter__()
        held.append(holder)
        look({"webserver": {"state": "starting"}})

    yield theft
    for holder in held:
        holder.__exit__(None, None, None)


def test_a_port_that_the_user_fixed_is_an_error_that_names_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = ports.any_free()
    with contextmanager(_taking)() as theft:
        starts = Starts(monkeypatch, tmp_path, [theft], **{"Local.Ports.Web": port})
        with pytest.raises(MachineError, match=f"port {port} is taken") as caught:
            starts.up()
    assert "took it while the environment was starting" in caught.value.why
    assert "gunicorn" not in str(caught.value)


def test_a_component_that_failed_on_its_port_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def died(look: Any) -> None:
        holder = stranger(look._ports["web"])
        held.append(holder)
        holder.__enter__()
        raise EngineError("webserver cannot start", why="twelve lines of gunicorn")

    held: list[Any] = []
    starts = Starts(monkeypatch, tmp_path, [died] * 4)
    with pytest.raises(MachineError, match="is taken") as caught:
        starts.up()
    assert len(set(starts.ports)) == 4, "it tried others first"
    assert "twelve lines" not in str(caught.value)
    for holder in held:
        holder.__exit__(None, None, None)


def test_another_failure_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def died(_look: Any) -> None:
        raise EngineError("webserver cannot start", why="a bad plugin")

    with pytest.raises(EngineError, match="webserver cannot start"):
        Starts(monkeypatch, tmp_path, [died]).up()
