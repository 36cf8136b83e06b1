"""What each kind of probe calls well, and its one line when it is not."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mwaa_local.aws import client
from mwaa_local.engines.process import postgres, probes
from mwaa_local.engines.process.probes import Memory
from mwaa_local.errors import EndpointError, EngineError
from mwaa_local.runtime import status
from mwaa_local.runtime.status import Status


def ask(memory: Memory | None = None, **probe: Any) -> str:
    return probes.ask(probe, memory or Memory(os.getpid(), time.time() - 60))


class Web:
    """A server that answers with a status of the test's choice."""

    def __init__(self) -> None:
        self.status, self.paths = 200, list[str]()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.paths.append(self.path)
                self.send_response(web.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_none_is_well_while_it_runs() -> None:
    assert ask(kind="none") == ask() == ""


def test_a_probe_without_its_settings_or_of_no_known_kind_is_an_answer() -> None:
    assert ask(kind="http") == "probe lacks 'url'"
    assert ask(kind="strange") == "probe lacks 'strange'"


def test_only_what_reads_a_file_at_most_is_asked_without_a_thread() -> None:
    assert {"none", "file", "runtime"} == probes.QUICK


@pytest.mark.parametrize(("code", "said"), [(200, ""), (204, "HTTP 204 from {}"), (503, "HTTP 503 from {}")])
def test_http_wants_status_200(web: Web, code: int, said: str) -> None:
    web.status = code
    url = f"{web.url}/health"
    assert ask(kind="http", url=url) == said.format(url)
    assert ask(kind="http", url=web.url) == said.format(web.url)
    assert web.paths == ["/health", "/"]


def test_http_of_a_closed_port_and_of_a_server_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        said = ask(kind="http", url=f"http://127.0.0.1:{port}/")
        thread.join()
        assert said.startswith(("RemoteDisconnected", "ConnectionResetError"))
    assert ask(kind="http", url=f"http://127.0.0.1:{port}/").startswith("ConnectionRefusedError: ")


def test_the_database_is_asked_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "answers", lambda port, password: f"{port} {password}")
    assert ask(kind="postgres", port="5432", password="secret") == "5432 secret"


def test_the_schema_is_well_when_every_table_stands_at_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, str | None] = {"alembic_version": "a", "alembic_version_fab": "f"}
    monkeypatch.setattr(postgres, "schema_heads", lambda port, password, tables: {name: found[name] for name in tables})
    probe = {"kind": "schema", "port": 1, "password": "p", "heads": dict(found)}
    assert ask(**probe) == ""
    found["alembic_version"] = None
    assert ask(**probe) == "alembic_version is at None, not a"
    found["alembic_version_fab"] = "e"
    assert ask(**probe) == "alembic_version is at None, not a; alembic_version_fab is at e, not f"


def test_an_error_of_the_tool_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise errors.pop(0)

    errors = [EngineError("it does not answer", why="refused"), EngineError("it does not answer")]
    monkeypatch.setattr(postgres, "schema_heads", refuse)
    probe = {"kind": "schema", "port": 1, "password": "p", "heads": {"a": "b"}}
    assert [ask(**probe), ask(**probe)] == ["it does not answer: refused", "it does not answer"]


def test_a_started_endpoint_is_given_what_it_needs_once_for_each_process(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(client, "provision", lambda url, region, **what: given.append((url, region, what)))
    memory = Memory(1, 0.0)
    probe = {
        "kind": "aws",
        "url": f"{web.url}/",
        "path": "/_health",
        "region": "eu-west-1",
        "provision": {"queue": "q"},
    }
    web.status = 500
    assert ask(memory, **probe) == f"HTTP 500 from {web.url}/_health"
    assert given == [], "it does not answer yet"
    web.status = 200
    assert [ask(memory, **probe), ask(memory, **probe)] == ["", ""]
    assert given == [(f"{web.url}/", "eu-west-1", {"queue": "q"})]
    probe["provision"] = {"queue": "another"}
    assert ask(memory, **probe) == ""
    assert ask(Memory(2, 0.0), **probe) == ""
    assert len(given) == 3, "another wish, another process"


def test_an_endpoint_that_could_not_be_given_it_is_given_it_again(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = [EndpointError("no queue can be made")]
    monkeypatch.setattr(client, "provision", lambda *_, **__: (_ for _ in ()).throw(errors.pop()) if errors else None)
    memory = Memory(1, 0.0)
    probe = {"kind": "aws", "url": web.url, "path": "/", "region": "r", "provision": {"queue": "q"}}
    assert ask(memory, **probe) == "no queue can be made"
    assert ask(memory, **probe) == ""


def test_a_file_must_be_touched_since_the_start_and_lately(tmp_path: Path) -> None:
    file = tmp_path / "beat"
    now = time.time()

    def at(touched: float, started: float, max_age: float = 100) -> str:
        file.touch()
        os.utime(file, (touched, touched))
        return ask(Memory(1, started), kind="file", path=str(file), max_age=max_age)

    assert ask(kind="file", path=str(file), max_age=1).startswith("FileNotFoundError")
    assert at(now, now - 50) == ""
    assert at(now - 51, now - 50) == "no sign of life yet"
    assert at(now - 200, now - 300) == "last sign of life 200 s ago"
    assert at(now - 200, now - 300, max_age=1000) == ""


def boot(run_dir: Path, **values: Any) -> Status:
    record = Status(run_dir, "worker")
    record.set(**{"state": status.RUNNING, "health_at": time.time(), **values})
    return record


def test_the_supervisors_answer_is_the_components(tmp_path: Path) -> None:
    assert ask(kind="runtime", run_dir=str(tmp_path)) == "booting"
    record = boot(tmp_path, health_at=None, state=status.BOOTING)
    memory = Memory(os.getpid(), 0.0)
    assert ask(memory, kind="runtime", run_dir=str(tmp_path)) == "booting"
    record.set(health_at=time.time(), health="no heartbeat yet")
    assert ask(memory, kind="runtime", run_dir=str(tmp_path)) == "no heartbeat yet"
    record.set(health="")
    assert ask(memory, kind="runtime", run_dir=str(tmp_path)) == ""


def test_what_the_process_before_said_is_not_believed(tmp_path: Path) -> None:
    """Its file stays until the new one writes its own."""
    boot(tmp_path)
    assert ask(Memory(os.getpid(), 0.0), kind="runtime", run_dir=str(tmp_path)) == ""
    assert ask(Memory(os.getpid() + 1, 0.0), kind="runtime", run_dir=str(tmp_path)) == "booting"


def test_a_supervisor_that_fell_silent_is_not_believed_for_ever(tmp_path: Path) -> None:
    """The file did not change, and yet its answer did: it is weighed again."""
    record = boot(tmp_path)
    memory = Memory(os.getpid(), 0.0)
    assert ask(memory, kind="runtime", run_dir=str(tmp_path)) == ""
    record.set(health_at=time.time() - 100)
    file = tmp_path / status.FILE_NAME
    long_ago = time.time() - 60
    os.utime(file, (long_ago, long_ago))
    stat = file.stat()
    memory.seen, memory.answer = (stat.st_ino, stat.st_mtime_ns), ""
    assert "has not answered for 100 s" in ask(memory, kind="runtime", run_dir=str(tmp_path))


def test_a_fresh_file_is_read_once(tmp_path: Path) -> None:
    record = boot(tmp_path)
    memory = Memory(os.getpid(), 0.0)
    assert ask(memory, kind="runtime", run_dir=str(tmp_path)) == ""
    record.set(health="unwell")
    before = (tmp_path / status.FILE_NAME).stat()
    memory.seen, memory.answer = (before.st_ino, before.st_mtime_ns), "as it was"
    assert ask(memory, kind="runtime", run_dir=str(tmp_path)) == "as it was"
