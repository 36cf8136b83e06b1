"""Health of each component, and the status file that carries it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from runtime_support import inputs, variables

from mwaa_local.errors import StartupScriptError
from mwaa_local.runtime import health, listeners, status
from mwaa_local.runtime.health import Health, Probe
from mwaa_local.runtime.status import Status


class Cursor:
    """A cursor that answers the heartbeat question with given rows."""

    def __init__(self, rows: list[tuple[str, float]]) -> None:
        self.rows = rows
        self.asked: list[Any] = []

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, _: str, values: Any) -> None:
        self.asked.append(values)

    def fetchall(self) -> list[tuple[str, float]]:
        return self.rows


class Connection:
    """A connection with one cursor."""

    def __init__(self, rows: list[tuple[str, float]]) -> None:
        self.one = Cursor(rows)

    def cursor(self) -> Cursor:
        return self.one


ALL = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}


@pytest.mark.parametrize(
    ("rows", "ok", "words"),
    [
        ([], False, "no heartbeat yet of scheduler, dag-processor, triggerer"),
        ([("SchedulerJob", 1.0), ("DagProcessorJob", 2.0)], False, "no heartbeat yet of triggerer"),
        ([("SchedulerJob", 1.0), ("DagProcessorJob", 2.0), ("TriggererJob", 99.0)], False, "triggerer (99 s old)"),
        ([("SchedulerJob", 1.0), ("DagProcessorJob", -0.1), ("TriggererJob", 3.0)], True, "scheduler 1 s ago"),
    ],
)
def test_scheduler_component(rows: list[tuple[str, float]], ok: bool, words: str) -> None:
    connection = Connection(rows)
    found = health.jobs(connection, ALL, 1000.0)
    assert found.ok is ok
    assert words in found.detail
    started, kinds = connection.one.asked[0]
    assert started.timestamp() == 1000.0
    assert kinds == ["SchedulerJob", "DagProcessorJob", "TriggererJob"]


def test_a_component_without_triggerer_needs_no_triggerer() -> None:
    found = health.jobs(
        Connection([("SchedulerJob", 1.0), ("DagProcessorJob", 1.0)]),
        {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob"},
        1000.0,
    )
    assert found.ok


def test_worker_by_its_heartbeat_file(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    began = time.time() - 100
    assert health.worker(file, began) == Health(False, "the worker is not ready to take tasks yet")
    file.touch()
    assert health.worker(file, began).ok
    os.utime(file, (began + 10, began + 10))
    assert "stands still" in health.worker(file, began).detail
    os.utime(file, (began - 10, began - 10))  # of an earlier boot
    assert health.worker(file, began).detail == "the worker is not ready to take tasks yet"


@pytest.fixture
def web() -> Iterator[tuple[int, list[str]]]:
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200 if "health" in self.path else 500)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, paths
    server.shutdown()
    server.server_close()


def test_webserver_by_its_own_address(web: tuple[int, list[str]]) -> None:
    port, paths = web
    assert health.webserver(inputs("webserver", "3.2.1", MWAA_LOCAL__WEB_PORT=str(port))).ok
    assert health.webserver(inputs("webserver", "2.10.3", MWAA_LOCAL__WEB_PORT=str(port))).ok
    base = {"AIRFLOW__API__BASE_URL": "http://localhost:8080/team/airflow"}
    assert health.webserver(inputs("webserver", "3.2.1", base, MWAA_LOCAL__WEB_PORT=str(port))).ok
    assert paths == ["/api/v2/monitor/health", "/health", "/team/airflow/api/v2/monitor/health"]


def test_a_silent_web_server_is_an_answer_too() -> None:
    found = Probe(inputs("webserver", MWAA_LOCAL__WEB_PORT="1"), ["webserver"], time.time()).ask()
    assert not found.ok
    assert "ConnectionRefusedError" in found.detail


def test_a_database_that_is_away_is_an_answer_too() -> None:
    found = Probe(inputs("scheduler", MWAA__DB__POSTGRES_PORT="1"), list(ALL), time.time()).ask()
    assert not found.ok
    assert "OperationalError" in found.detail
    assert "\n" not in found.detail


def test_status_tells_an_engine_everything(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert health.from_status(run) == Health(False, "it has not started")
    record = Status(run, "worker")
    assert not health.from_status(run).ok
    with record.phase("files") as detail:
        detail.append("3 plugin files")
    assert health.from_status(run).detail == "booting (done: files)"
    record.set(health="the worker is not ready", health_at=time.time())
    assert health.from_status(run) == Health(False, "the worker is not ready")
    record.set(health="", health_at=time.time())
    record.ready()
    assert health.from_status(run) == Health(True, "healthy")
    record.set(health_at=time.time() - 100)
    assert "has not answered for 100 s" in health.from_status(run).detail
    record.fail(StartupScriptError("the script failed", where="startup.sh", why="line 1", hint="do this"))
    assert health.from_status(run) == Health(False, "failed: the script failed")
    kept = status.read(run)
    assert kept is not None
    assert kept["error"] == {
        "id": "startup-script",
        "what": "the script failed",
        "where": "startup.sh",
        "why": "line 1",
        "hint": "do this",
    }
    assert kept["phases"][0]["detail"] == "3 plugin files"


def test_the_check_from_outside_needs_a_boot(tmp_path: Path) -> None:
    given = variables(MWAA_LOCAL__RUN_DIR=str(tmp_path))
    assert health.check(given) == Health(False, "it has not started")
    record = Status(tmp_path, "worker")
    assert health.check(given).detail == "booting"
    record.process("worker", 1)
    assert health.check(given).detail == "the worker is not ready to take tasks yet"
    (tmp_path / "worker-heartbeat").touch()
    assert health.check(given).ok


def test_status_is_whole_at_every_moment(tmp_path: Path) -> None:
    record = Status(tmp_path, "worker")
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            record.set(health="x" * (number % 5000))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            assert status.read(tmp_path) is not None
    finally:
        stop.set()
        writer.join()
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_full_disk_does_not_end_the_component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Status(tmp_path, "worker")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    record.set(health="cannot be kept")
    monkeypatch.undo()
    record.note("later")
    kept = json.loads((tmp_path / "status.json").read_text())
    assert (kept["health"], kept["notes"]) == ("cannot be kept", ["later"])


def test_a_stranger_on_the_web_servers_port_is_no_health(tmp_path: Path) -> None:
    stranger = subprocess.Popen(
        [sys.executable, "-u", "-c", _STRANGER], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert stranger.stdout is not None
        port = stranger.stdout.readline().strip()
        asked = inputs("webserver", "3.2.1", MWAA_LOCAL__WEB_PORT=port)
        assert health.webserver(asked).ok, "somebody answers"
        foreign = Probe(asked, ["webserver"], time.time(), sleeper.pid).ask()
        assert not foreign.ok
        assert "another process" in foreign.detail
        assert Probe(asked, ["webserver"], time.time(), stranger.pid).ask().ok
        assert Probe(asked, ["webserver"], time.time()).ask().ok, "a child's socket counts"
    finally:
        for child in (stranger, sleeper):
            child.kill()
            child.wait()
        assert stranger.stdout is not None
        stranger.stdout.close()


_STRANGER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"{}")
    def log_message(self, *args): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port)
server.serve_forever()
"""


# -- who listens, and what is closed -----------------------------------------------------------------------------------


def test_the_process_that_listens_is_told_from_the_others() -> None:
    child = subprocess.Popen(["/bin/sleep", "600"])
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as client:
                own = client.getsockname()[1]
                assert listeners.listens([os.getpid()], port) is True
                assert listeners.listens([child.pid, os.getpid()], port) is True
                assert listeners.listens([child.pid], port) is False
                assert listeners.listens([], port) is False
                assert listeners.listens([os.getpid()], own) is False, "a connection is no listener"
        assert listeners.listens([os.getpid()], port) is False
    finally:
        child.kill()
        child.wait()
    assert listeners.listens([child.pid], port) is False, "one that is gone listens nowhere"


def test_what_cannot_be_seen_is_neither_yes_nor_no(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def refuse(_folder: str) -> list[str]:
            raise PermissionError(13, "Permission denied")

        with monkeypatch.context() as patch:
            patch.setattr(listeners.os, "listdir", refuse)
            assert listeners.listens([1], port) is None

        def none(*_: Any, **__: Any) -> str:
            raise FileNotFoundError

        monkeypatch.setattr(Path, "read_text", none)
        assert listeners.listens([os.getpid()], port) is None


class Database:
    """A database that fails or answers, and counts how often it was closed."""

    def __init__(self, rows: list[tuple[str, float]] | None) -> None:
        self.rows, self.closed = rows, 0
        self.asked: list[Any] = []

    def cursor(self) -> Any:
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def execute(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.rows is None:
            raise OSError("server closed the connection\nunexpectedly " + "x" * 300)

    def fetchall(self) -> Any:
        return self.rows

    def close(self) -> None:
        self.closed += 1


def test_a_connection_is_kept_while_it_answers_and_made_anew_after_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Database([("SchedulerJob", 1.4)]), Database(None), Database([("SchedulerJob", 2.0)])]
    first, broken, last = made
    monkeypatch.setattr(health, "connect", lambda _database: made.pop(0))
    probe = health.Probe(inputs("scheduler"), ["scheduler"], 1000.0)
    assert probe.ask() == health.Health(True, "scheduler 1 s ago")
    assert probe.ask().ok and len(made) == 2, "one connection for both"
    first.rows = None
    said = probe.ask()
    assert not said.ok and said.detail.startswith("OSError: server closed the connection unexpectedly xxx")
    assert len(said.detail) == 200 and first.closed == 1
    assert not probe.ask().ok and broken.closed == 1
    assert probe.ask() == health.Health(True, "scheduler 2 s ago")
    probe.close()
    probe.close()
    assert last.closed == 1
    since = first.asked[0][1][0]
    assert since.timestamp() == 1000.0, "older signs of life do not count"


def test_a_scheduler_without_a_database_says_so() -> None:
    given = replace(inputs("scheduler"), database=None)
    assert health.Probe(given, ["scheduler"], 0.0).ask() == health.Health(False, "no metadata database is named")


def test_a_sign_of_life_is_old_after_mwaas_own_limit(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    beat.touch()
    for age, ok in ((28, True), (33, False)):
        os.utime(beat, (time.time() - age, time.time() - age))
        assert health.worker(beat, time.time() - 400).ok is ok
        assert health.jobs(Database([("SchedulerJob", age)]), {"scheduler": "SchedulerJob"}, 0.0).ok is ok


@pytest.mark.parametrize(("component", "version", "asked"), [
    ("webserver", "3.2.1", ["/execution/health/ping"]), ("webserver", "2.10.3", []), ("worker", "3.2.1", []),
])  # fmt: skip
def test_only_a_web_server_of_airflow_3_is_warmed_up(component: str, version: str, asked: list[str]) -> None:
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(500)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.timeout = 20
    thread = threading.Thread(target=server.handle_request if asked else lambda: None)
    thread.start()
    health.warm_up(inputs(component, version, MWAA_LOCAL__WEB_PORT=str(server.server_port)))
    thread.join(20)
    server.server_close()
    assert paths == asked
    health.warm_up(
        inputs(component, version, MWAA_LOCAL__WEB_PORT=str(server.server_port))
    )  # nobody answers: no matter
