"""The guardian's judgement, on fakes of both sides."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import pytest

from mwaa_local.guardian.watch import AirflowDatabase, EndpointQueue, Guardian, OutageError, Queued


@dataclass
class FakeDatabase:
    rows: list[Queued] = field(default_factory=list)
    down: bool = False
    asked: list[tuple[list[str], float]] = field(default_factory=list)

    def queued(self, queues: list[str], older_than_s: float) -> list[Queued]:
        self.asked.append((queues, older_than_s))
        if self.down:
            raise OutageError("database: gone")
        return list(self.rows)


@dataclass
class FakeQueue:
    present: set[str] = field(default_factory=set)
    outcome: str = "sent"
    down: bool = False
    sent: list[str] = field(default_factory=list)
    asked: int = 0

    def task_ids(self) -> set[str]:
        self.asked += 1
        if self.down:
            raise OutageError("endpoint: gone")
        return set(self.present)

    def send_again(self, celery_id: str) -> str:
        if self.outcome == "sent":
            self.sent.append(celery_id)
        return self.outcome


def guardian(database: FakeDatabase, queue: FakeQueue) -> Guardian:
    return Guardian(database, queue, ["airflow-celery-x", "default"])


def test_a_vanished_message_is_sent_again_at_the_second_look() -> None:
    queue = FakeQueue()
    subject = guardian(FakeDatabase([Queued("a", "dag.task")]), queue)
    assert subject.look() == []
    assert subject.look() == ["a"]
    assert queue.sent == ["a"]


def test_a_message_in_the_queue_is_left_alone() -> None:
    queue = FakeQueue(present={"a"})
    subject = guardian(FakeDatabase([Queued("a", "dag.task"), Queued("b", "dag.other")]), queue)
    for _ in range(3):
        subject.look()
    assert "a" not in queue.sent
    assert "b" in queue.sent


def test_a_message_that_comes_back_in_between_is_left_alone() -> None:
    queue = FakeQueue()
    subject = guardian(FakeDatabase([Queued("a", "dag.task")]), queue)
    subject.look()
    queue.present = {"a"}
    subject.look()
    queue.present = set()
    assert subject.look() == []
    assert queue.sent == []


def test_it_gives_up_on_a_message_that_vanishes_again_and_again() -> None:
    queue = FakeQueue()
    subject = guardian(FakeDatabase([Queued("a", "dag.task")]), queue)
    for _ in range(40):
        subject.look()
    assert len(queue.sent) == 5


def test_a_new_wait_of_the_task_has_new_tries() -> None:
    database, queue = FakeDatabase([Queued("a", "dag.task")]), FakeQueue()
    subject = guardian(database, queue)
    for _ in range(40):
        subject.look()
    database.rows = []
    subject.look()
    database.rows = [Queued("a", "dag.task")]
    subject.look()
    assert subject.look() == ["a"]


def test_an_acknowledged_message_is_not_counted_as_sent() -> None:
    subject = guardian(FakeDatabase([Queued("a", "dag.task")]), FakeQueue(outcome="acknowledged"))
    subject.look()
    assert subject.look() == []
    assert subject.status()["sent_again"] == 0


def test_an_outage_of_either_side_is_outlived() -> None:
    database, queue = FakeDatabase([Queued("a", "dag.task")]), FakeQueue()
    subject = guardian(database, queue)
    subject.look()
    database.down = True
    assert subject.look() == []
    assert subject.status()["outage"] == "database: gone"
    database.down, queue.down = False, True
    assert subject.look() == []
    assert subject.status()["outage"] == "endpoint: gone"
    queue.down = False
    assert subject.look() == ["a"]
    assert subject.status()["outage"] == ""


def test_the_endpoint_is_not_asked_while_nothing_waits() -> None:
    queue = FakeQueue()
    guardian(FakeDatabase([]), queue).look()
    assert queue.asked == 0


# -- the two sides ------------------------------------------------------------------------------------------------------


class Cursor:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, query: str, words: object) -> None:
        if self._connection.broken:
            raise psycopg2.OperationalError("the connection is gone\nin two lines")

    def fetchall(self) -> list[tuple[object, ...]]:
        return [("id-1", "dag", "task", "run", -1), ("id-2", "dag", "mapped", "run", 3)]


class Connection:
    """One of psycopg2's."""

    def __init__(self, **given: object) -> None:
        self.given, self.session, self.broken, self.closed = given, {}, False, False

    def set_session(self, **session: object) -> None:
        self.session = session

    def cursor(self) -> Cursor:
        return Cursor(self)

    def close(self) -> None:
        self.closed = True


def test_the_database_is_only_read_and_a_broken_connection_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, Connection]] = []

    def connect(dsn: str, **given: object) -> Connection:
        made.append((dsn, Connection(**given)))
        return made[-1][1]

    monkeypatch.setattr(psycopg2, "connect", connect)
    database = AirflowDatabase("postgresql+psycopg2://user@host/name", timeout_s=7)
    rows = database.queued(["default"], 20)
    assert rows == [Queued("id-1", "dag.task run"), Queued("id-2", "dag.mapped run [3]")]
    database.queued(["default"], 20)
    ((dsn, connection),) = made
    assert dsn == "postgresql://user@host/name"
    assert connection.session == {"readonly": True, "autocommit": True}
    assert (connection.given["connect_timeout"], connection.given["options"]) == (7, "-c statement_timeout=7000")
    connection.broken = True
    with pytest.raises(OutageError, match=r"^database: the connection is gone$"):
        database.queued(["default"], 20)
    assert connection.closed
    assert len(database.queued(["default"], 20)) == 2
    assert len(made) == 2


def test_the_endpoint_without_the_queue_is_an_outage_and_not_an_empty_queue() -> None:
    """Else every task that waits would be sent again while the endpoint starts."""
    answers = {"GET": (200, {"tasks": {"a": {}, "b": {}}}), "POST": (200, {"sent": True})}
    asked: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.rfile.read(int(self.headers.get("Content-Length", 0)))))
            status, document = answers[self.command]
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        queue = EndpointQueue(f"http://127.0.0.1:{server.server_port}", "airflow-celery x", "eu-west-1")
        assert queue.task_ids() == {"a", "b"}
        assert queue.send_again("a") == "sent"
        path = "/_mwaa_local/queues/airflow-celery%20x"
        wanted = [(f"{path}/tasks?region=eu-west-1", b""), (f"{path}/resend?region=eu-west-1", b'{"task_id": "a"}')]
        assert asked == wanted
        answers.update(GET=(404, {"error": "no-queue"}), POST=(410, {"error": "acknowledged"}))
        with pytest.raises(OutageError, match="no-queue"):
            queue.task_ids()
        assert queue.send_again("a") == "acknowledged"
        answers.update(GET=(200, []), POST=(500, []))  # type: ignore[call-overload]
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(OutageError, match="endpoint: "):
        queue.task_ids()
