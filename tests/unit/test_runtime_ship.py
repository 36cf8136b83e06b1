"""Log shipping: streams, levels, and an endpoint that is dead, deaf or back again; a process never waits."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from patience import Stopwatch, until
from runtime_support import inputs

from mwaa_local.runtime import ship
from mwaa_local.runtime.ship import Levels, Shipper, Stream

STREAM = Stream("airflow-local-Worker", "worker_ip-1.log", ship.LEVELS["INFO"])


class LogsServer:
    """The two calls of CloudWatch Logs that shipping uses."""

    def __init__(self) -> None:
        self.events: dict[str, list[str]] = {}
        self.times: dict[str, list[int]] = {}
        self.refuses = False
        self.known: set[str] = set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                action = self.headers["X-Amz-Target"].rpartition(".")[2]
                stream = body["logStreamName"]
                status, answer = 200, {}
                if action == "CreateLogStream":
                    server.known.add(stream)
                elif stream not in server.known:
                    status, answer = 400, {"__type": "ResourceNotFoundException", "message": "no such stream"}
                elif server.refuses:
                    status, answer = 400, {"__type": "AccessDeniedException", "message": "no"}
                else:
                    server.times.setdefault(stream, []).extend(event["timestamp"] for event in body["logEvents"])
                    server.events.setdefault(stream, []).extend(event["message"] for event in body["logEvents"])
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._handler = Handler
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    def start(self, port: int = 0) -> str:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


@pytest.fixture
def server() -> Iterator[LogsServer]:
    made = LogsServer()
    yield made
    made.stop()


def shipper(url: str, said: list[str] | None = None, capacity: int = ship.QUEUE_LINES) -> Shipper:
    given = inputs(MWAA_LOCAL__AWS_ENDPOINT=url)
    tell = (said if said is not None else []).append
    return Shipper({"worker": STREAM}, lambda: ship.connect(given), tell, capacity)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("version", "manager"), [("3.2.1", "dag-processor-manager.log"), ("2.10.3", "dag_processor_manager.log")]
)
def test_streams_of_the_scheduler_component(version: str, manager: str) -> None:
    """spec/10 section 7.1: the triggerer's lines are in the scheduler's group, the DAG processor's stream has no host."""
    found = ship.streams(inputs("scheduler", version), "ip-10-0-0-1")
    group = {name: stream.group.rpartition("-")[2] for name, stream in found.items()}
    assert group == {
        "scheduler": "Scheduler",
        "triggerer": "Scheduler",
        "dag-processor": "DAGProcessing",
        "startup": "Scheduler",
        "requirements": "Scheduler",
    }
    assert found["dag-processor"].name == manager
    assert found["startup"].name.startswith("startup_script_execution_ip-10-0-0-1_")
    assert found["requirements"].name.startswith("requirements_install_ip-10-0-0-1_")
    assert found["triggerer"].name.startswith("triggerer_ip-10-0-0-1_")
    float(found["scheduler"].name.removeprefix("scheduler_ip-10-0-0-1_").removesuffix(".log"))


def test_what_is_not_configured_or_disabled_is_not_published() -> None:
    prefix = "MWAA__LOGGING__AIRFLOW_WORKER_LOG"
    assert ship.streams(inputs("worker", **{f"{prefix}S_ENABLED": "false"}), "h") == {}
    assert ship.streams(inputs("worker", **{f"{prefix}_GROUP_ARN": ""}), "h") == {}
    assert ship.streams(inputs("migrate-db"), "h") == {}


def test_startup_lines_are_published_whatever_the_components_level() -> None:
    found = ship.streams(inputs("worker", MWAA__LOGGING__AIRFLOW_WORKER_LOG_LEVEL="ERROR"), "h")
    assert found["worker"].level == 40
    assert found["startup"].level == found["requirements"].level == 20


@pytest.mark.parametrize(
    ("version", "level", "tag"),
    [("3.2.1", "ERROR", "INFO"), ("2.10.3", "ERROR", "ERROR"), ("2.11.0", "WARNING", "WARNING"), ("2.10.3", "DEBUG", "INFO"),
     ("2.10.3", "CRITICAL", "INFO"), ("2.10.3", "INFO", "INFO")],
)  # fmt: skip
def test_the_tag_before_lines_of_script_and_pip(version: str, level: str, tag: str) -> None:
    """spec/10 sections 3.6, 4.3 and 7.3; a component's own lines go as they are."""
    found = ship.streams(inputs("worker", version, MWAA__LOGGING__AIRFLOW_WORKER_LOG_LEVEL=level), "h")
    assert found["startup"].event("hello") == found["requirements"].event("hello") == f"[{tag}] - hello"
    assert found["worker"].event("hello") == "hello"


def test_tagged_lines_arrive_tagged(server: LogsServer) -> None:
    given = inputs(MWAA_LOCAL__AWS_ENDPOINT=server.start())
    sender = Shipper({"startup": Stream("g", "s.log", 20, "INFO")}, lambda: ship.connect(given), print)
    sender.line("startup", "50 % of {it}", 20)
    sender.close(10)
    assert server.events == {"s.log": ["[INFO] - 50 % of {it}"]}


def test_levels_of_lines_in_both_styles() -> None:
    levels = Levels()
    assert levels.of("plain first line") == 20
    assert levels.of("2026-01-01T00:00:00Z [error    ] broken [airflow.x]") == 40
    assert levels.of("Traceback (most recent call last):") == 40
    assert levels.of("[2026-01-01T00:00:00.000+0000] {scheduler.py:1} WARNING - careful") == 30
    assert levels.of("2026-01-01T00:00:00Z [info     ] fine") == 20
    assert levels.of("2026-01-01T00:00:00Z [critical ] worse") == 50


def test_only_the_configured_level_and_above_is_sent(server: LogsServer) -> None:
    """spec/08 section 3.2."""
    given = inputs(MWAA_LOCAL__AWS_ENDPOINT=server.start())
    stream = Stream("g", "s.log", ship.LEVELS["WARNING"])
    sender = Shipper({"worker": stream}, lambda: ship.connect(given), print)
    sender.line("worker", "x [info     ] no")
    sender.line("worker", "x [warning  ] yes")
    sender.line("worker", "its second line")
    sender.line("worker", "x [error    ] The basic metric validator will be deprecated")
    sender.line("unknown", "x [error    ] no stream")
    sender.close(10)
    assert server.events == {"s.log": ["x [warning  ] yes", "its second line"]}


def test_lines_taken_before_the_start_arrive_in_order(server: LogsServer) -> None:
    sender = shipper(server.start())
    for number in range(50):
        sender.line("worker", f"line {number} with % and {{}}")
    sender.start()
    sender.line("worker", "last")
    sender.close(10)
    assert server.events["worker_ip-1.log"] == [*(f"line {number} with % and {{}}" for number in range(50)), "last"]


def test_a_dead_endpoint_never_makes_a_line_wait_and_is_said_once() -> None:
    said: list[str] = []
    sender = shipper(f"http://127.0.0.1:{free_port()}", said, capacity=1_000)
    sender.start()
    watch = Stopwatch()
    for number in range(30_000):
        sender.line("worker", f"line {number}")
    assert watch.given() < 5
    until(lambda: any("asking again" in text for text in said))
    assert sender.dropped > 20_000
    time.sleep(1.5)
    assert len(said) == len(set(said)) == 2
    watch = Stopwatch()
    sender.close(1.0)
    assert watch.given() < 3


def test_a_deaf_endpoint_does_not_hold_the_exit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections and never answers
        sender = shipper(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        sender.start()
        sender.line("worker", "line")
        time.sleep(1.0)
        watch = Stopwatch()
        sender.close(1.0)
        assert watch.given() < 3


def test_lines_of_an_outage_arrive_when_the_endpoint_is_back(
    server: LogsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(ship, "_BATCH_SECONDS", 0.5)
    port = free_port()
    said: list[str] = []
    sender = shipper(f"http://127.0.0.1:{port}", said)
    sender.start()
    sender.line("worker", "during")
    until(lambda: bool(said))
    server.start(port)
    sender.line("worker", "after")
    until(lambda: server.events.get("worker_ip-1.log") == ["during", "after"])
    sender.close(5)


def test_the_users_own_settings_never_reach_the_client(monkeypatch: pytest.MonkeyPatch, server: LogsServer) -> None:
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    sender = shipper(server.start())
    sender.line("worker", "line")
    sender.close(10)
    assert server.events == {"worker_ip-1.log": ["line"]}


def test_when_the_queue_is_full_the_oldest_line_goes_and_that_is_said_once(server: LogsServer) -> None:
    """What was said last is what explains an outage."""
    said: list[str] = []
    sender = shipper(server.start(), said, capacity=3)
    for number in range(5):
        sender.line("worker", f"line {number}")
    assert sender.dropped == 2
    assert said == ["log lines wait for the AWS endpoint: the oldest are dropped"]
    sender.close(10)
    assert server.events["worker_ip-1.log"] == ["line 2", "line 3", "line 4"]


def test_a_queue_that_is_just_full_drops_nothing(server: LogsServer) -> None:
    sender = shipper(server.start(), capacity=3)
    for number in range(3):
        sender.line("worker", f"line {number}")
    assert sender.dropped == 0
    sender.close(10)
    assert len(server.events["worker_ip-1.log"]) == 3


def test_events_have_the_times_at_which_lines_were_taken_and_a_batch_is_sorted_by_them(
    server: LogsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CloudWatch Logs refuses a batch that is not; the machine's clock may be set back between two lines."""
    sender = shipper(server.start())
    for moment in (1000.25, 999.5, 1001.0):
        with monkeypatch.context() as patch:
            patch.setattr(ship.time, "time", lambda moment=moment: moment)
            sender.line("worker", f"at {moment}")
    sender.close(10)
    assert server.times["worker_ip-1.log"] == [999_500, 1_000_250, 1_001_000]
    assert server.events["worker_ip-1.log"] == ["at 999.5", "at 1000.25", "at 1001.0"]


def test_a_client_that_cannot_be_made_is_said_and_nothing_else_happens() -> None:
    said: list[str] = []

    def refuse() -> Any:
        raise ValueError("no such Region")

    sender = Shipper({"worker": STREAM}, refuse, said.append)
    sender.line("worker", "line")
    sender.close(5)
    assert said == ["no log line can be sent to CloudWatch Logs: no such Region"]


def test_nothing_is_imported_or_started_where_nothing_is_published() -> None:
    asked: list[int] = []
    sender = Shipper({}, lambda: asked.append(1), print)
    sender.line("worker", "line")
    sender.start()
    sender.close()
    sender = Shipper({"worker": STREAM}, lambda: asked.append(1), print)
    sender.close()
    assert asked == [], "no line waits"


def test_a_refusal_of_the_endpoint_is_said_and_no_other_handler_of_the_process_is_changed(
    server: LogsServer, recwarn: pytest.WarningsRecorder
) -> None:
    said: list[str] = []
    given = inputs(MWAA_LOCAL__AWS_ENDPOINT=server.start())
    server.refuses = True
    sender = Shipper({"worker": STREAM}, lambda: ship.connect(given), said.append)
    sender.line("worker", "line")
    sender.close(10)
    assert said and all(text.startswith("CloudWatch Logs: ") for text in said)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("configured", "sent"),
    [("DEBUG", "diwec"), ("INFO", "iwec"), ("WARNING", "wec"), ("ERROR", "ec"), ("CRITICAL", "c"), ("STRANGE", "iwec")],
)
def test_the_configured_level_and_every_worse_one_is_published(configured: str, sent: str) -> None:
    """spec/08 section 3.2."""
    made = ship.streams(inputs("worker", MWAA__LOGGING__AIRFLOW_WORKER_LOG_LEVEL=configured), "h")["worker"]
    levels = Levels()
    words = {"d": "debug", "i": "info", "w": "warning", "e": "error", "c": "critical"}
    assert "".join(key for key, word in words.items() if levels.of(f"x [{word:9}] y") >= made.level) == sent


def test_a_level_is_looked_for_near_the_lines_beginning_only() -> None:
    levels = Levels()
    assert levels.of("x" * 380 + " [error ] y") == 40
    assert Levels().of("x" * 420 + " [error ] y") == 20
    assert Levels().of("x [exception] y") == 40
    assert Levels().of("{a.py:1} DEBUG - y") == 10


def test_a_client_that_never_answers_does_not_hold_the_end() -> None:
    stuck = threading.Event()
    sender = Shipper({"worker": STREAM}, lambda: stuck.wait(60), lambda _text: None)
    sender.line("worker", "a line")
    sender.start()
    watch = Stopwatch()
    sender.close(0.2)
    assert watch.given() < 10
    stuck.set()
