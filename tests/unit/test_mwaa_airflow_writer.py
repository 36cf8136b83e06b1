"""What a task's log handler hands to CloudWatch Logs, over a client that only notes."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from mwaa_airflow.logs import writer


class Client:
    """Takes batches; the first answers may be errors."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sent: list[tuple[str, list[str]]] = []
        self.made: list[str] = []

    def put_log_events(self, logGroupName: str, logStreamName: str, logEvents: list[dict[str, Any]]) -> None:  # noqa: N803
        if self.errors:
            raise self.errors.pop(0)
        times = [event["timestamp"] for event in logEvents]
        assert times == sorted(times), "CloudWatch Logs refuses a batch that is not in order of time"
        self.sent.append((logStreamName, [event["message"] for event in logEvents]))

    def create_log_stream(self, logGroupName: str, logStreamName: str) -> None:  # noqa: N803
        self.made.append(logStreamName)


def made(client: Client, monkeypatch: pytest.MonkeyPatch, **more: Any) -> writer.Writer:
    monkeypatch.setattr(writer.aws_client, "client", lambda _service, **_more: client)
    return writer.Writer(SimpleNamespace(group="airflow-local-Task", level=logging.INFO), "task.log", **more)


def record(text: str, at: float, **more: Any) -> logging.LogRecord:
    found = logging.LogRecord("task", logging.INFO, "", 0, text, None, None)
    found.created = at
    found.__dict__.update(more)
    return found


def test_a_batch_is_sent_in_order_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of one task finish their lines out of order."""
    client = Client()
    handler = made(client, monkeypatch)
    for text, at in (("third", 1700000003.0), ("first", 1700000001.0), ("second", 1700000002.0)):
        handler.emit(record(text, at))
    handler.flush()
    handler.close()
    assert [line for _stream, lines in client.sent for line in lines] == ["first", "second", "third"]


@pytest.mark.parametrize("text", ["", "  ", "x The basic metric validator will be deprecated y"])
def test_lines_without_text_and_the_one_mwaa_leaves_out_are_not_sent(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    handler = made(client, monkeypatch)
    handler.emit(record(text, 1700000001.0))
    handler.emit(record("kept", 1700000002.0))
    handler.flush()
    handler.close()
    assert client.sent == [("task.log", ["kept"])]


def test_a_record_may_name_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    handler = made(client, monkeypatch)
    handler.emit(record("x", 1700000001.0, mwaa_stream="dag_id=a/run_id=b{c}/1.log"))
    handler.flush()
    handler.close()
    assert client.sent == [("dag_id=a/run_id=b{c}/1.log", ["x"])]


def test_a_stream_that_is_not_there_is_made_and_the_batch_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = writer.ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "PutLogEvents")
    client = Client(missing)
    handler = made(client, monkeypatch, queued=False)
    handler.emit(record("x", 1700000001.0))
    handler.close()
    assert (client.made, client.sent) == (["task.log"], [("task.log", ["x"])])
    assert handler.lost == 0


def test_a_batch_that_was_accepted_before_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = writer.ClientError({"Error": {"Code": "DataAlreadyAcceptedException"}}, "PutLogEvents")
    handler = made(Client(accepted), monkeypatch, queued=False)
    handler.emit(record("x", 1700000001.0))
    handler.close()
    assert handler.lost == 0


def test_what_nobody_takes_is_counted_and_said_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    client = Client(*[ConnectionError("refused") for _ in range(9)])
    handler = made(client, monkeypatch, queued=False)
    for number in range(3):
        handler.emit(record(f"line {number}", 1700000001.0 + number))
    handler.close()
    assert handler.lost == 3
    assert len(client.errors) == 8, "the endpoint is left alone for a while: a task does not wait for it again"
    assert capfd.readouterr().err.count("log lines for airflow-local-Task are lost") <= 1
