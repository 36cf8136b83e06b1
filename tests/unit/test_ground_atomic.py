"""Files written whole: the order of calls that a power cut cannot break, and what a disk that refuses leaves behind."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from faulty_disk_support import BROKEN, FULL, Disk
from patience import Stopwatch

from mwaa_local.errors import EngineError, MachineError
from mwaa_local.ground import atomic, disk, locks


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk()
    monkeypatch.setattr(disk, "CALLS", found)
    return found


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one_and_the_folder_after_it(
    tmp_path: Path, faulty: Disk
) -> None:
    """A power cut between a rename and its file's data leaves an empty file: the order is what saves it."""
    path, partial = tmp_path / "state.json", tmp_path / f".state.json.{os.getpid()}"
    atomic.replace(path, b"new")
    assert faulty.noted == [
        ("open", partial),
        ("write", (partial, b"new")),
        ("sync", partial),
        ("replace", path),
        ("sync", tmp_path),
    ]
    assert path.read_bytes() == b"new"


def test_what_may_be_made_anew_waits_for_no_disk(tmp_path: Path, faulty: Disk) -> None:
    atomic.replace(tmp_path / "report.json", b"new", durable=False)
    atomic.write_json(tmp_path / "keeper.json", {})
    assert "sync" not in [call for call, _ in faulty.noted]
    atomic.write_json(tmp_path / "databases.json", {}, durable=True)
    assert [call for call, _ in faulty.noted].count("sync") == 2


@pytest.mark.parametrize("call", ["open", "write", "sync", "replace"])
@pytest.mark.parametrize("error", [FULL, BROKEN])
def test_whatever_the_disk_refuses_the_old_file_stands_and_nothing_lies_beside_it(
    call: str, error: int, tmp_path: Path, faulty: Disk
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    faulty.refuse, faulty.part = {call: error}, 2
    with pytest.raises(OSError, match=os.strerror(error)):
        atomic.replace(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]
    with pytest.raises(MachineError, match="disk is full" if error == FULL else "cannot be written") as caught:
        atomic.write_json(path, {}, durable=True)
    assert caught.value.where == str(path)


def test_a_disk_that_takes_a_part_at_a_time_gets_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(disk.Calls):
        def write(self, descriptor: int, content: bytes) -> int:
            return super().write(descriptor, content[:3])

    monkeypatch.setattr(disk, "CALLS", Slow())
    atomic.replace(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_file_is_its_owners_alone_unless_told_otherwise_and_so_is_a_folder_that_is_made(tmp_path: Path) -> None:
    atomic.replace(tmp_path / "new" / "secret", b"x")
    assert (tmp_path / "new" / "secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    atomic.replace(tmp_path / "open", b"x", mode=0o644)
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o644


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with locks.lock(path, seconds=0, busy="busy"):
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    watch = Stopwatch()
    with pytest.raises(EngineError, match="busy") as caught, locks.lock(path, seconds=0.3, busy="busy"):
        pass
    assert caught.value.where == str(path)
    assert watch.passed() >= 0.25
    threading.Timer(0.2, release.set).start()
    with locks.lock(path, seconds=30, busy="busy"):
        assert release.is_set()
    holder.join()
    assert path.stat().st_mode & 0o777 == 0o600
