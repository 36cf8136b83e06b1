"""The journal: what a start finds again after any end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faulty_disk_support import FULL, Disk

from mwaa_local.aws.server.journal import Journal, Replayed
from mwaa_local.ground import disk
from mwaa_local.ground.damage import DamagedError


def read(folder: Path, *, covered: int = 0) -> tuple[list[Any], Replayed, Journal]:
    journal = Journal(folder, "sqs")
    records: list[Any] = []
    replayed = journal.open(records.append, covered=covered)
    return records, replayed, journal


def write(folder: Path, *values: int) -> Journal:
    journal = Journal(folder, "sqs")
    journal.open(lambda _record: None)
    for value in values:
        assert journal.append({"op": "n", "n": value})
    return journal


def numbers(records: list[Any]) -> list[int]:
    return [record["n"] for record in records]


def test_records_come_back_in_order_without_a_clean_close(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)  # never closed, as after kill -9
    records, replayed, _journal = read(tmp_path)
    assert numbers(records) == [1, 2, 3]
    assert replayed == Replayed(records=3, torn=0)


def test_a_torn_last_line_is_cut_off_and_the_next_record_is_whole(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    path = next(tmp_path.glob("*.journal"))
    content = path.read_bytes()
    path.write_bytes(content + b'{"n":3,"body":"cut sho')
    records, replayed, journal = read(tmp_path)
    assert numbers(records) == [1, 2]
    assert replayed.torn == len(b'{"n":3,"body":"cut sho')
    assert journal.append({"op": "n", "n": 4})
    assert numbers(read(tmp_path)[0]) == [1, 2, 4]


def _lines(folder: Path) -> tuple[Path, list[bytes]]:
    path = next(folder.glob("*.journal"))
    return path, path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\x00\x00\n",
        b"{}\n",
        b"[1]\n",
        b"3\n",
        b'{"op": 3}\n',
        b'{"n": 2}\n',
        b"not json\n",
        b'00000000 {"op":"n","n":2}\n',
        b'00000000 {"op":"n","n"\n',
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_nothing_is_changed(line: bytes, tmp_path: Path) -> None:
    """Its record was answered as stored: to go on without it is for the user to decide."""
    write(tmp_path, 1, 2, 3)
    path, lines = _lines(tmp_path)
    path.write_bytes(lines[0] + line + lines[2])
    before = path.read_bytes()
    with pytest.raises(DamagedError) as caught:
        read(tmp_path)
    assert [(one.path, one.line) for one in caught.value.found] == [(path, 2)]
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("bit", range(0, 200, 7))
def test_a_single_changed_bit_is_found(bit: int, tmp_path: Path) -> None:
    write(tmp_path, *range(12))
    path, _lines_there = _lines(tmp_path)
    content = bytearray(path.read_bytes())
    content[bit] ^= 1 << bit % 8
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedError):
        read(tmp_path)


def test_a_record_that_its_service_does_not_know_is_damage(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(DamagedError, match="not of this service's kind"):
        Journal(tmp_path, "sqs").open(lambda record: record["q"])


def test_a_generation_that_is_missing_is_damage(tmp_path: Path) -> None:
    journal = write(tmp_path, 1)
    for value in (2, 3):
        journal.rotate()
        journal.append({"op": "n", "n": value})
    (tmp_path / "sqs.00000002.journal").unlink()
    with pytest.raises(DamagedError, match=r"00000002.journal: is missing, and sqs.00000003"):
        read(tmp_path)
    assert numbers(read(tmp_path, covered=2)[0]) == [3], "covered: it is not needed"


def test_the_very_first_generation_is_missed_too(tmp_path: Path) -> None:
    journal = write(tmp_path, 1)
    journal.rotate()
    journal.append({"op": "n", "n": 2})
    (tmp_path / "sqs.00000001.journal").unlink()
    with pytest.raises(DamagedError, match="00000001.journal: is missing"):
        read(tmp_path)


def test_a_generation_that_is_no_file_is_damage(tmp_path: Path) -> None:
    write(tmp_path, 1)
    path = tmp_path / "sqs.00000001.journal"
    path.unlink()
    path.mkdir()
    with pytest.raises(DamagedError, match="cannot be read"):
        read(tmp_path)


def test_a_journal_that_is_gone_beside_its_snapshot_is_damage(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="00000005.journal: is missing"):
        read(tmp_path, covered=4)


def test_what_was_cut_off_after_a_clean_stop_is_damage(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3).close()
    path, lines = _lines(tmp_path)
    whole = path.read_bytes()
    for kept in (0, len(lines[0]), len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(DamagedError, match=f"{kept} of {len(whole)} bytes"):
            read(tmp_path)
    path.write_bytes(whole)
    _records, _replayed, journal = read(tmp_path)
    journal.append({"op": "n", "n": 4})
    path.write_bytes(path.read_bytes()[:-3])  # killed while it wrote: the note of the stop before is no longer true
    assert numbers(read(tmp_path)[0]) == [1, 2, 3]


def test_a_journal_of_before_the_checksums_is_read(tmp_path: Path) -> None:
    (tmp_path / "sqs.00000001.journal").write_bytes(b'{"op":"n","q":[],"n":1}\n{"op":"n","q":[],"n":2}\n')
    assert numbers(read(tmp_path)[0]) == [1, 2]


def test_a_snapshot_covers_the_generations_closed_before_it(tmp_path: Path) -> None:
    journal = write(tmp_path, 1, 2)
    closed = journal.rotate()
    journal.append({"op": "n", "n": 3})
    assert numbers(read(tmp_path, covered=closed)[0]) == [3]


def test_an_unfinished_snapshot_loses_nothing(tmp_path: Path) -> None:
    journal = write(tmp_path, 1, 2)
    journal.rotate()  # the snapshot that should cover 1 and 2 never got written
    journal.append({"op": "n", "n": 3})
    assert numbers(read(tmp_path, covered=0)[0]) == [1, 2, 3]


def test_forget_deletes_what_the_snapshot_holds(tmp_path: Path) -> None:
    journal = write(tmp_path, *range(100))
    before = journal.size
    closed = journal.rotate()
    journal.append({"op": "n", "n": 100})
    journal.forget(closed)
    assert 0 < journal.size < before
    assert len(list(tmp_path.glob("*.journal"))) == 1
    assert numbers(read(tmp_path, covered=closed)[0]) == [100]


@pytest.mark.parametrize("taken_back", [True, False])
def test_a_disk_that_takes_half_a_record_does_not_spoil_the_next(
    taken_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = write(tmp_path, 1)
    path = tmp_path / "sqs.00000001.journal"
    whole = path.read_bytes()
    faulty = Disk(refuse={"write": FULL} if taken_back else {"write": FULL, "truncate": FULL}, part=20)
    monkeypatch.setattr(disk, "CALLS", faulty)
    assert not journal.append({"op": "n", "n": 2, "body": "x" * 50})
    assert "No space left" in journal.error
    assert (path.read_bytes() == whole) is taken_back
    faulty.refuse = {}
    assert journal.append({"op": "n", "n": 3})
    assert journal.error == ""
    records, replayed, _journal = read(tmp_path)
    assert numbers(records) == [1, 3]
    assert replayed.torn == 0


def test_journals_of_two_services_share_a_folder(tmp_path: Path) -> None:
    write(tmp_path, 1)
    other = Journal(tmp_path, "cloudwatch_logs")
    records: list[Any] = []
    other.open(records.append)
    assert records == []
    other.forget(10**6)
    assert numbers(read(tmp_path)[0]) == [1]
