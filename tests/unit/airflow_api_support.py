"""A small Airflow that answers over HTTP as Airflow 3 and Airflow 2 do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from mwaa_local.observability.airflow_api import AirflowApi

DAG_FILE = "/usr/local/airflow/dags/load.py"


class FakeAirflow:
    """State of a small Airflow, served over HTTP in the shape of one API version."""

    def __init__(self, major: int) -> None:
        self.major = major
        self.dags: dict[str, dict[str, Any]] = {}
        self.ends: dict[str, str] = {}
        self.errors: list[dict[str, str]] = []
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self.runs: dict[str, str] = {}
        self.refused: dict[str, tuple[int, str]] = {}
        self.most = 0
        self.log: list[dict[str, Any]] | None = None
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
            self.patched.append((path, body))
            return {}
        if method == "POST":
            if parts[1] in self.refused:
                status, detail = self.refused[parts[1]]
                return status, {"detail": detail}
            self.triggered.append((parts[1], body))
            self.runs[parts[1]] = body["dag_run_id"]
            self.most = max(self.most, len(self.runs))
            return {"dag_run_id": body["dag_run_id"]}
        if len(parts) == 4 and unquote(parts[-1]) == self.runs.get(parts[1]):
            if self.ends[parts[1]] in ("success", "failed"):
                self.runs = {dag: run for dag, run in self.runs.items() if dag != parts[1]}
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
            if self.log is not None:
                return {"content": self.log} if self.major >= 3 else "\n*** no such stream"
            if self.major >= 3:
                frame = {"filename": DAG_FILE, "lineno": 12, "name": "month"}
                detail = [{"exc_type": "KeyError", "exc_value": "'month'", "frames": [frame]}]
                return {"content": [{"event": "boom \x07", "level": "error", "timestamp": "t", "error_detail": detail}]}
            trace = f'Traceback (most recent call last):\n  File "{DAG_FILE}", line 12, in month'
            return f"boom \x07\n{trace}\n    values['month']\nKeyError: 'month'"
        return None


@contextmanager
def served(fake: FakeAirflow) -> Iterator[AirflowApi]:
    """A client of it."""
    with listening(fake) as address:
        yield AirflowApi(address, {2: "2.10.3", 3: "3.2.1"}[fake.major])


@contextmanager
def listening(fake: FakeAirflow) -> Iterator[str]:
    """Its address, while it listens."""

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
            self.reply(*answer) if isinstance(answer, tuple) else self.reply(404 if answer is None else 200, answer)

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
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
