"""The record of Celery messages."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from mwaa_local.aws.server.sent import SentRecord, celery_id


def envelope(task_id: str) -> dict[str, object]:
    """What kombu puts into an SQS body, version 2 of Celery's protocol."""
    return {
        "body": base64.b64encode(b'[[["airflow","tasks","run"]],{},{}]').decode(),
        "headers": {"id": task_id, "task": "airflow.providers.celery.executors.celery_executor_utils.execute_command"},
        "properties": {"correlation_id": task_id, "delivery_info": {"routing_key": "airflow-celery-x"}},
    }


def sqs_body(task_id: str) -> str:
    return base64.b64encode(json.dumps(envelope(task_id)).encode()).decode()


def test_the_celery_id_is_found_in_what_kombu_sends() -> None:
    assert celery_id(sqs_body("abc-1")) == "abc-1"
    assert celery_id(json.dumps(envelope("abc-2"))) == "abc-2"


@pytest.mark.parametrize("body", ["", "hello", "eyJ", "{broken", "[1]", "eyJub3QiOiJjZWxlcnkifQ==", '{"headers": 3}'])
def test_other_bodies_have_none(body: str) -> None:
    assert celery_id(body) == ""


def test_a_message_is_found_after_a_restart_without_a_close(tmp_path: Path) -> None:
    SentRecord(tmp_path).add("a", "q", "body-a", {"k": {"DataType": "String", "StringValue": "v"}})
    found = SentRecord(tmp_path).find("a")
    assert found is not None
    assert (found.queue, found.body, found.acknowledged) == ("q", "body-a", False)
    assert found.attributes == {"k": {"DataType": "String", "StringValue": "v"}}


def test_an_acknowledged_message_says_so_until_it_is_sent_again(tmp_path: Path) -> None:
    record = SentRecord(tmp_path)
    record.add("a", "q", "one", {})
    record.acknowledge("a")
    found = record.find("a")
    assert found is not None
    assert found.acknowledged
    record.add("a", "q", "two", {})
    found = record.find("a")
    assert found is not None
    assert (found.body, found.acknowledged) == ("two", False)


def test_an_id_is_not_taken_for_a_longer_one(tmp_path: Path) -> None:
    record = SentRecord(tmp_path)
    record.add("abc", "q", "x", {})
    assert record.find("ab") is None
    record.acknowledge("abcd")
    found = record.find("abc")
    assert found is not None
    assert not found.acknowledged


def test_its_size_is_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    record = SentRecord(tmp_path, segment_bytes=10_000)
    for number in range(500):
        record.add(f"id-{number}", "q", "x" * 100, {})
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    assert record.find("id-499") is not None
    assert record.find("id-0") is None


def test_a_line_cut_short_costs_only_itself(tmp_path: Path) -> None:
    record = SentRecord(tmp_path)
    record.add("a", "q", "one", {})
    record.close()
    path = tmp_path / "sent.current"
    path.write_bytes(path.read_bytes() + b'+\tb\t["q", "tw')
    record = SentRecord(tmp_path)
    record.add("c", "q", "three", {})
    assert record.find("b") is None
    assert record.find("a") is not None
    assert record.find("c") is not None


def test_every_cut_of_the_record_finds_what_was_whole_and_takes_more(tmp_path: Path) -> None:
    """A kill may end the file anywhere: what was written before is found, what was half written is not, and it goes on."""
    whole = SentRecord(tmp_path / "whole")
    for number in range(3):
        whole.add(f"t{number}", "celery", f"body {number}", {"a": {"StringValue": "ü"}})
    whole.acknowledge("t1")
    whole.close()
    content = (tmp_path / "whole" / "sent.current").read_bytes()
    for length in range(0, len(content) + 1, 3):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / "sent.current").write_bytes(content[:length])
        lines = content[:length].count(b"\n")
        record = SentRecord(folder)
        for number in range(3):
            found = record.find(f"t{number}")
            assert (found is not None) == (lines > number), (length, number)
            assert found is None or (found.body, found.acknowledged) == (f"body {number}", number == 1 and lines == 4)
        record.add("after", "celery", "more", None)
        again = record.find("after")
        record.close()
        assert again is not None and again.body == "more", length
