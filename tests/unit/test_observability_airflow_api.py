"""Airflow's REST API as the tool asks it: addresses, pages, tokens, refusals, in the shapes of both versions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mwaa_local.errors import EngineError
from mwaa_local.observability.airflow_api import AirflowApi, Dag, ImportFailure, RefusedError, TaskInstance


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass
class Server:
    """Answers each request with what ``answer`` makes of it."""

    answer: Callable[[Asked], Any] = lambda asked: {}
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def api(self, major: int) -> AirflowApi:
        return AirflowApi(self.url, {2: "2.10.3", 3: "3.2.1"}[major])


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            parts = urlsplit(self.path)
            query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            body = json.loads(self.rfile.read(length)) if length else None
            asked = Asked(self.command, parts.path, query, body, dict(self.headers))
            made.asked.append(asked)
            answer = made.answer(asked)
            status, content = answer if isinstance(answer, tuple) else (200, answer)
            payload = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = handle_any

        def log_message(self, *args: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.mark.parametrize(("major", "path"), [(3, "/api/v2/monitor/health"), (2, "/health")])
def test_health(server: Server, major: int, path: str) -> None:
    server.answer = lambda asked: {"scheduler": {"status": "healthy"}}
    assert server.api(major).health() == {"scheduler": {"status": "healthy"}}
    assert [(asked.method, asked.path) for asked in server.asked] == [("GET", path)]
    assert server.asked[0].headers["Accept"] == "application/json"
    assert "Authorization" not in server.asked[0].headers
    assert "Content-Type" not in server.asked[0].headers


@pytest.mark.parametrize(("total", "pages"), [(0, 1), (1, 1), (100, 1), (101, 2), (200, 2), (250, 3)])
def test_all_pages_are_read_and_no_more(server: Server, total: int, pages: int) -> None:
    def answer(asked: Asked) -> Any:
        begin, size = int(asked.query["offset"]), int(asked.query["limit"])
        items = [{"filename": f"{number:04}.py", "stack_trace": "x"} for number in range(total)][begin : begin + size]
        return {"import_errors": items, "total_entries": total}

    server.answer = answer
    assert [error.file for error in server.api(3).import_errors()] == [f"{number:04}.py" for number in range(total)]
    assert len(server.asked) == pages
    assert {asked.path for asked in server.asked} == {"/api/v2/importErrors"}


def test_import_errors_are_sorted_and_may_lack_anything(server: Server) -> None:
    items = [{"filename": "b.py", "stack_trace": "x"}, {"filename": None, "stack_trace": None}, {"filename": "a.py"}]
    server.answer = lambda asked: {"import_errors": items, "total_entries": 3}
    assert server.api(2).import_errors() == [
        ImportFailure("", ""),
        ImportFailure("a.py", ""),
        ImportFailure("b.py", "x"),
    ]
    assert server.asked[0].path == "/api/v1/importErrors"


@pytest.mark.parametrize("major", [2, 3])
def test_dags(server: Server, major: int) -> None:
    key = "timetable_summary" if major == 3 else "schedule_interval"
    items = [
        {"dag_id": "b", "fileloc": "/b.py", "is_paused": True, "tags": [{"name": "x"}, {"name": "y"}], key: "@daily"},
        {"dag_id": "a", "fileloc": None, "is_paused": None, "tags": None, key: None},
        {"dag_id": "c", key: "None"},
        {"dag_id": "d", key: ""},
        {"dag_id": "e", key: {"days": 1}},
    ]
    server.answer = lambda asked: {"dags": items, "total_entries": 5}
    assert server.api(major).dags() == [
        Dag("a", "", False, False, frozenset()),
        Dag("b", "/b.py", True, True, frozenset({"x", "y"})),
        Dag("c", "", False, False, frozenset()),
        Dag("d", "", False, False, frozenset()),
        Dag("e", "", False, True, frozenset()),
    ]
    assert ("only_active" in server.asked[0].query) is (major == 2), "2 lists DAGs whose file is gone otherwise"


@pytest.mark.parametrize("major", [2, 3])
def test_a_run_is_triggered_with_what_was_given_only(server: Server, major: int) -> None:
    server.answer = lambda asked: {"dag_run_id": "chosen"}
    before = datetime.now(UTC)
    assert server.api(major).trigger("a/b c", {"k": 1}) == "chosen"
    assert server.api(major).trigger("x", {}, run_id="mine") == "chosen"
    first, second = server.asked
    assert (first.method, unquote(first.path)) == ("POST", f"/api/v{major - 1}/dags/a/b c/dagRuns")
    assert first.headers["Content-Type"] == "application/json"
    assert (first.body["conf"], "dag_run_id" in first.body) == ({"k": 1}, False)
    assert second.body["dag_run_id"] == "mine"
    assert ("logical_date" in first.body) is (major == 3)
    if major == 3:
        asked = datetime.fromisoformat(first.body["logical_date"])
        assert abs((asked - before).total_seconds()) < 60 and asked.utcoffset() is not None
        assert asked.microsecond % 1000 == 0, "the precision of the UI"


def test_runs_are_looked_at_ended_and_let_go(server: Server) -> None:
    server.answer = lambda asked: {"state": "running"}
    api = server.api(3)
    run = "manual__2026-01-01T00:00:00+00:00"
    assert api.run_state("a", run) == "running"
    api.end_run("a", run)
    api.unpause("a")
    assert [(asked.method, unquote(asked.path), asked.body) for asked in server.asked] == [
        ("GET", f"/api/v2/dags/a/dagRuns/{run}", None),
        ("PATCH", f"/api/v2/dags/a/dagRuns/{run}", {"state": "failed"}),
        ("PATCH", "/api/v2/dags/a", {"is_paused": False}),
    ]
    assert "+" not in server.asked[0].path, "a plus in an address is a blank to some"


def test_the_newest_run(server: Server) -> None:
    server.answer = lambda asked: {"dag_runs": [{"dag_run_id": "r2"}, {"dag_run_id": "r1"}]}
    assert server.api(3).latest_run("a") == "r2"
    assert server.asked[0].query == {"limit": "1", "order_by": "-start_date"}
    server.answer = lambda asked: {"dag_runs": []}
    assert server.api(2).latest_run("a") is None


def test_tasks_come_in_the_order_they_started(server: Server) -> None:
    items = [
        {"task_id": "never", "state": None},
        {
            "task_id": "mapped",
            "state": "failed",
            "start_date": "2026-02",
            "map_index": 1,
            "try_number": 2,
            "duration": 3.5,
        },
        {"task_id": "mapped", "state": "success", "start_date": "2026-02", "map_index": 0, "try_number": None},
        {"task_id": "first", "state": "success", "start_date": "2026-01"},
        {"task_id": "also", "state": None, "start_date": None},
    ]
    server.answer = lambda asked: {"task_instances": items, "total_entries": 5}
    assert server.api(3).task_instances("a", "r") == [
        TaskInstance("first", "success", 0, -1, None),
        TaskInstance("mapped", "success", 0, 0, None),
        TaskInstance("mapped", "failed", 2, 1, 3.5),
        TaskInstance("also", None, 0, -1, None),
        TaskInstance("never", None, 0, -1, None),
    ]


@pytest.mark.parametrize(
    ("tried", "asked_for", "number"), [(0, None, 1), (1, None, 1), (3, None, 3), (3, 2, 2), (0, 4, 4)]
)
def test_the_log_of_a_try(server: Server, tried: int, asked_for: int | None, number: int) -> None:
    server.answer = lambda asked: {"content": [{"event": "hello", "level": "info"}, "plain"]}
    task = TaskInstance("t/x", "failed", tried, 4, None)
    assert server.api(3).task_log("a", "r", task, try_number=asked_for) == ["INFO - hello", "plain"]
    (asked,) = server.asked
    assert unquote(asked.path) == f"/api/v2/dags/a/dagRuns/r/taskInstances/t/x/logs/{number}"
    assert asked.query == {"full_content": "true", "map_index": "4"}


def test_airflow_2_gives_a_log_as_text(server: Server) -> None:
    server.answer = lambda asked: (200, b"one\ntw\xff\n")
    assert server.api(2).task_events("a", "r", TaskInstance("t", "failed", 1, -1, None)) == ["one", "tw\ufffd"]
    assert server.asked[0].headers["Accept"] == "text/plain"


def test_a_token_is_fetched_once_and_sent_with_everything_after(server: Server) -> None:
    def answer(asked: Asked) -> Any:
        if asked.path == "/auth/token":
            return 201, {"access_token": "T"}
        return {"state": "success"} if asked.headers.get("Authorization") == "Bearer T" else (401, {})

    server.answer = answer
    api = server.api(3)
    assert (api.run_state("a", "r"), api.run_state("a", "r")) == ("success", "success")
    assert [asked.path.rpartition("/")[2] for asked in server.asked] == ["r", "token", "r", "r"]


def test_a_token_that_is_not_given_leaves_the_refusal(server: Server) -> None:
    server.answer = lambda asked: (300 if asked.path == "/auth/token" else 401, {"access_token": "T"})
    with pytest.raises(RefusedError) as caught:
        server.api(3).run_state("a", "r")
    assert caught.value.status == 401
    assert len(server.asked) == 2


def test_airflow_2_has_no_token(server: Server) -> None:
    server.answer = lambda asked: (401, {"detail": "no"})
    with pytest.raises(RefusedError):
        server.api(2).run_state("a", "r")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [300, 301, 400, 404, 500])
def test_a_refusal_says_what_was_asked_and_what_airflow_said(server: Server, status: int) -> None:
    server.answer = lambda asked: (status, {"detail": "no such DAG"})
    with pytest.raises(RefusedError, match=r"refused GET /api/v2/dags/a/dagRuns\n") as caught:
        server.api(3).latest_run("a")
    error = caught.value
    assert (error.status, error.detail, error.where) == (status, "no such DAG", server.url)
    assert error.why == f'HTTP {status}: {{"detail": "no such DAG"}}'
    assert "mwaa-local status" in error.hint


def test_what_succeeded_is_no_refusal(server: Server) -> None:
    server.answer = lambda asked: (299, {"state": "queued"})
    assert server.api(3).run_state("a", "r") == "queued"


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        (b'{"detail": [{"loc": ["body"], "msg": "bad"}]}', '[{"loc": ["body"], "msg": "bad"}]'),
        (b'{"title": "x"}', '{"title": "x"}'),
        (b"[1]", "[1]"),
        (b"<html>" + b"x" * 600, "<html>" + "x" * 494),
        (b"\xff", "\ufffd"),
        (b"", ""),
    ],
)
def test_a_refusal_without_a_sentence_shows_the_answer(payload: bytes, detail: str) -> None:
    error = RefusedError("GET /x", "http://h", 500, payload)
    assert error.detail == detail
    assert len(error.why or "") <= len("HTTP 500: ") + 500


def test_silence_names_address_and_next_step() -> None:
    with pytest.raises(EngineError, match="web server does not answer") as caught:
        AirflowApi("http://127.0.0.1:9", "3.2.1", timeout_s=5).latest_run("a")
    assert caught.value.where == "http://127.0.0.1:9/api/v2/dags/a/dagRuns"
    assert caught.value.why
    assert "mwaa-local logs webserver" in caught.value.hint
    assert not isinstance(caught.value, RefusedError)


def test_an_answer_that_is_no_http_is_silence(server: Server) -> None:
    with pytest.raises(EngineError, match="does not answer"):
        server.answer = lambda asked: 1 / 0  # the connection ends without an answer
        server.api(3).health()
