"""The smoke test against an Airflow API that answers as Airflow 3 and Airflow 2 do."""

from __future__ import annotations

import json
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import xmlschema

from mwaa_local.errors import EngineError, UsageError
from mwaa_local.model import SmokeSettings
from mwaa_local.observability import smoke
from mwaa_local.observability.airflow_api import AirflowApi, Dag, ImportFailure
from mwaa_local.observability.smoke import RunResult, SmokeResult

JUNIT = Path(__file__).parents[1] / "fixtures/preflight/junit-10.xsd"


DAG_FILE = "/usr/local/airflow/dags/load.py"


class FakeAirflow:
    """State of a small Airflow, served over HTTP in the shape of one API version."""

    def __init__(self, major: int) -> None:
        self.major = major
        self.dags: dict[str, dict[str, Any]] = {}
        self.ends: dict[str, str] = {}
        self.errors: list[dict[str, str]] = []
        self.unpaused: list[str] = []
        self.triggered: list[tuple[str, dict[str, Any]]] = []
        self.needs_token = major >= 3

    def add(
        self,
        dag_id: str,
        *,
        tags: tuple[str, ...] = ("smoke",),
        schedule: str | None = None,
        ends: str = "success",
        paused: bool = False,
    ) -> None:
        item: dict[str, Any] = {
            "dag_id": dag_id,
            "fileloc": f"/dags/{dag_id}.py",
            "is_paused": paused,
            "tags": [{"name": t} for t in tags],
        }
        item["timetable_summary" if self.major >= 3 else "schedule_interval"] = schedule
        self.dags[dag_id] = item
        self.ends[dag_id] = ends

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        path = path.partition("?")[0].removeprefix("/api/v2" if self.major >= 3 else "/api/v1")
        parts = path.strip("/").split("/")
        if path == "/importErrors":
            return {"import_errors": self.errors, "total_entries": len(self.errors)}
        if path == "/dags":
            return {"dags": list(self.dags.values()), "total_entries": len(self.dags)}
        if method == "PATCH":
            self.unpaused.append(parts[1])
            return {}
        if method == "POST":
            self.triggered.append((parts[1], body))
            return {"dag_run_id": "run-1"}
        if parts[-1] == "run-1":
            return {"state": self.ends[parts[1]]}
        if parts[-1] == "taskInstances":
            state = self.ends[parts[1]]
            tasks = [
                {
                    "task_id": "bad",
                    "state": state,
                    "try_number": 1,
                    "map_index": -1,
                    "duration": 1.0,
                    "start_date": "2026",
                }
            ]
            return {"task_instances": tasks, "total_entries": 1}
        if "logs" in parts:
            if self.major >= 3:
                frame = {"filename": DAG_FILE, "lineno": 12, "name": "month"}
                detail = [{"exc_type": "KeyError", "exc_value": "'month'", "frames": [frame]}]
                return {"content": [{"event": "boom \x07", "level": "error", "timestamp": "t", "error_detail": detail}]}
            trace = f'Traceback (most recent call last):\n  File "{DAG_FILE}", line 12, in month'
            return f"boom \x07\n{trace}\n    values['month']\nKeyError: 'month'"
        return None


@contextmanager
def served(fake: FakeAirflow) -> Iterator[AirflowApi]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            if self.path == "/auth/token":
                self.reply(201, {"access_token": "token-1"})
                return
            if fake.needs_token and self.headers.get("Authorization") != "Bearer token-1":
                self.reply(401, {})
                return
            length = int(self.headers.get("Content-Length") or 0)
            answer = fake.answer(self.command, self.path, json.loads(self.rfile.read(length)) if length else {})
            self.reply(404 if answer is None else 200, answer)

        do_GET = do_POST = do_PATCH = handle_any

        def reply(self, status: int, answer: Any) -> None:
            payload = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield AirflowApi(f"http://127.0.0.1:{server.server_port}", fake.major)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


SETTINGS = SmokeSettings(dags=(), tag="smoke", timeout_seconds=5)


@pytest.mark.parametrize("major", [2, 3])
def test_runs_succeed_and_paused_dags_are_unpaused(major: int) -> None:
    fake = FakeAirflow(major)
    fake.add("one", paused=True)
    fake.add("two")
    with served(fake) as api:
        chosen = smoke.choose(api.dags(), SETTINGS, (), None)
        results = smoke.run(api, chosen, {"key": 1}, timeout_s=5)
    assert [(r.dag_id, r.state) for r in results] == [("one", "success"), ("two", "success")]
    assert fake.unpaused == ["one"]
    assert fake.triggered[0][1]["conf"] == {"key": 1}
    assert SmokeResult(runs=tuple(results)).passed


@pytest.mark.parametrize("major", [2, 3])
def test_a_failed_run_carries_its_log(major: int) -> None:
    fake = FakeAirflow(major)
    fake.add("bad", ends="failed")
    with served(fake) as api:
        (result,) = smoke.run(api, api.dags(), {}, timeout_s=5)
    assert result.state == "failed"
    (task,) = result.failed_tasks
    assert "boom" in task.log_tail[0]
    assert f'File "{DAG_FILE}", line 12' in "\n".join(task.log_tail), "the traceback"
    assert (task.where, task.error) == ("dags/load.py:12 in month", "KeyError: 'month'")
    assert not SmokeResult(runs=(result,)).passed


def test_a_run_is_triggered_with_a_logical_date_of_now() -> None:
    fake = FakeAirflow(3)
    fake.add("daily")
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    with served(fake) as api:
        api.trigger("daily", {})
    asked = datetime.fromisoformat(fake.triggered[0][1]["logical_date"])
    assert before <= asked <= datetime.now(UTC), "never in the future: Airflow 3 would wait for it"


def test_a_run_that_never_ends_is_a_timeout() -> None:
    fake = FakeAirflow(3)
    fake.add("slow", ends="running")
    with served(fake) as api:
        (result,) = smoke.run(api, api.dags(), {}, timeout_s=0.1)
    assert result.state == "timeout"


def test_choice_named_then_definition_then_tag() -> None:
    dags = [
        Dag("a", "/a", False, False, frozenset({"smoke"})),
        Dag("b", "/b", False, True, frozenset({"smoke", "x"})),
        Dag("c", "/c", False, False, frozenset()),
    ]
    assert [d.id for d in smoke.choose(dags, SETTINGS, ["c"], None)] == ["c"]
    assert [d.id for d in smoke.choose(dags, SmokeSettings(("b",), "smoke", 5), (), None)] == ["b"]
    assert [d.id for d in smoke.choose(dags, SETTINGS, (), None)] == ["a"], "a scheduled DAG runs only when asked for"
    assert [d.id for d in smoke.choose(dags, SETTINGS, (), "x")] == ["b"]
    with pytest.raises(UsageError, match="does not exist"):
        smoke.choose(dags, SETTINGS, ["nope"], None)
    with pytest.raises(UsageError, match="carries the tag"):
        smoke.choose(dags, SETTINGS, (), "nothing")


def test_waiting_for_parsing_ends_when_every_file_is_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("from airflow.sdk import DAG")
    (tmp_path / "broken.py").write_text("from airflow.sdk import DAG, nothing")
    (tmp_path / "helper.py").write_text("x = 1")
    fake = FakeAirflow(3)
    fake.add("good")
    fake.errors = [{"filename": "/dags/broken.py", "stack_trace": "ImportError: nothing"}]
    with served(fake) as api:
        dags, errors = smoke.wait_until_parsed(api, tmp_path, (), timeout_s=5)
    assert [d.id for d in dags] == ["good"]
    assert errors == [ImportFailure("/dags/broken.py", "ImportError: nothing")]


def test_waiting_for_a_dag_that_never_comes_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("from airflow.sdk import DAG")
    with served(FakeAirflow(3)) as api:
        assert smoke.wait_until_parsed(api, tmp_path, ("late",), timeout_s=0.3) == ([], [])


def test_junit_holds_failures_and_survives_control_characters(tmp_path: Path) -> None:
    task = smoke.FailedTask("t", "failed", 1, ("boom \x07 <&>",), "KeyError: '\x07'", "dags/load.py:12")
    failed = RunResult("bad", "r", "failed", 1.5, (task,))
    result = SmokeResult(
        (ImportFailure("/dags/x.py", "Traceback"),), (failed, RunResult("ok", "r", "success", 2.0)), ("no environment",)
    )
    path = tmp_path / "deep" / "smoke.xml"
    smoke.write_junit(result, path)
    xmlschema.XMLSchema(str(JUNIT)).validate(path)
    suite = ET.parse(path).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("4", "3")
    failure = suite.find("testcase[@name='bad']/failure")
    assert failure is not None and failure.text is not None
    assert failure.text.startswith("task t (try 1) dags/load.py:12: KeyError: '?'"), "the user's line comes first"
    assert "boom ? <&>" in failure.text
    assert failure.get("message") == "task t (try 1) dags/load.py:12: KeyError: '?'; run r ended failed"
    assert [entry.name for entry in path.parent.iterdir()] == ["smoke.xml"]


def test_an_unreachable_web_server_is_one_clear_error() -> None:
    with pytest.raises(EngineError, match="does not answer"):
        AirflowApi("http://127.0.0.1:9", 3, timeout_s=1).dags()


def test_a_web_server_that_stumbles_does_not_fail_the_runs() -> None:
    fake = FakeAirflow(3)
    fake.add("one")
    with served(fake) as api:
        real, calls = api.run_state, []

        def stumbling(dag_id: str, run_id: str) -> str:
            calls.append(dag_id)
            if len(calls) < 3:
                raise EngineError("Airflow's web server does not answer")
            return real(dag_id, run_id)

        api.run_state = stumbling  # type: ignore[method-assign]
        (result,) = smoke.run(api, api.dags(), {}, timeout_s=10)
    assert result.state == "success"
