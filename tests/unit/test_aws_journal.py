"""The journal: what a start finds again after any end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mwaa_local.aws.journal import Journal, Replayed


def read(folder: Path, *, covered: int = 0) -> tuple[list[Any], Replayed, Journal]:
    journal = Journal(folder, "sqs")
    records: list[Any] = []
    replayed = journal.open(records.append, covered=covered)
    return records, replayed, journal


def write(folder: Path, *values: int) -> Journal:
    journal = Journal(folder, "sqs")
    journal.open(lambda _record: None)
    for value in values:
        assert journal.append({"n": value})
    return journal


def numbers(records: list[Any]) -> list[int]:
    return [record["n"] for record in records]


def test_records_come_back_in_order_without_a_clean_close(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)  # never closed, as after kill -9
    records, replayed, _journal = read(tmp_path)
    assert numbers(records) == [1, 2, 3]
    assert replayed == Replayed(records=3, torn=0, damaged=0)


def test_a_torn_last_line_is_cut_off_and_the_next_record_is_whole(tmp_path: Path) -> None:
    write(tmp_path, 1, 2).close()
    path = next(tmp_path.glob("*.journal"))
    content = path.read_bytes()
    path.write_bytes(content + b'{"n":3,"body":"cut sho')
    records, replayed, journal = read(tmp_path)
    assert numbers(records) == [1, 2]
    assert replayed.torn == len(b'{"n":3,"body":"cut sho')
    assert journal.append({"n": 4})
    assert numbers(read(tmp_path)[0]) == [1, 2, 4]


def test_a_damaged_line_costs_only_itself(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3).close()
    path = next(tmp_path.glob("*.journal"))
    path.write_bytes(path.read_bytes().replace(b'{"n":2}', b'{"n"\x00\x00'))
    records, replayed, _journal = read(tmp_path)
    assert numbers(records) == [1, 3]
    assert replayed.damaged == 1


def test_a_snapshot_covers_the_generations_closed_before_it(tmp_path: Path) -> None:
    journal = write(tmp_path, 1, 2)
    closed = journal.rotate()
    journal.append({"n": 3})
    assert numbers(read(tmp_path, covered=closed)[0]) == [3]


def test_an_unfinished_snapshot_loses_nothing(tmp_path: Path) -> None:
    journal = write(tmp_path, 1, 2)
    journal.rotate()  # the snapshot that should cover 1 and 2 never got written
    journal.append({"n": 3})
    assert numbers(read(tmp_path, covered=0)[0]) == [1, 2, 3]


def test_forget_deletes_what_the_snapshot_holds(tmp_path: Path) -> None:
    journal = write(tmp_path, *range(100))
    before = journal.size
    closed = journal.rotate()
    journal.append({"n": 100})
    journal.forget(closed)
    assert 0 < journal.size < before
    assert len(list(tmp_path.glob("*.journal"))) == 1
    assert numbers(read(tmp_path, covered=closed)[0]) == [100]


def test_a_generation_is_never_used_twice(tmp_path: Path) -> None:
    journal = write(tmp_path, 1)
    closed = journal.rotate()
    journal.forget(closed)
    journal.close()
    for path in tmp_path.glob("*.journal"):
        path.unlink()
    _records, _replayed, reopened = read(tmp_path, covered=closed)
    assert reopened.generation > closed


def test_a_disk_that_takes_half_a_record_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = write(tmp_path, 1)
    true_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: true_write(fd, data[: len(data) // 2]))
    assert not journal.append({"n": 2, "body": "x" * 50})
    assert journal.error
    monkeypatch.undo()
    assert journal.append({"n": 3})
    assert journal.error == ""
    records, replayed, _journal = read(tmp_path)
    assert numbers(records) == [1, 3]
    assert replayed.damaged == 1


def test_journals_of_two_services_share_a_folder(tmp_path: Path) -> None:
    write(tmp_path, 1)
    other = Journal(tmp_path, "cloudwatch_logs")
    records: list[Any] = []
    other.open(records.append)
    assert records == []
    other.forget(10**6)
    assert numbers(read(tmp_path)[0]) == [1]
