"""What the disk refuses and what a kill cuts short: faults at the file-system seam, every prefix of what was written."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mwaa_local.aws.checkpoint import Checkpoints, write_atomically
from mwaa_local.aws.journal import Journal

# -- one file ----------------------------------------------------------------------------------------------------------


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between a rename and its file's data leaves an empty file: the order is what saves it."""
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    done: list[str] = []
    true_fsync, true_replace = os.fsync, Path.replace

    def fsync(fd: int) -> None:
        name = Path(f"/proc/self/fd/{fd}").readlink()
        content = name.read_bytes().decode() if name.is_file() else "folder"
        done.append(f"fsync {name.name} {content}")
        true_fsync(fd)

    def replace(self: Path, target: Path) -> Path:
        done.append(f"rename to {target.name}")
        return true_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_atomically(path, b"new")
    assert done == ["fsync state.json.new new", "rename to state.json", f"fsync {tmp_path.name} folder"]
    assert path.read_bytes() == b"new"


def _refuse(*_arguments: Any, **_named: Any) -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_whatever_the_disk_refuses_the_old_file_stands_and_nothing_lies_beside_it(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    with monkeypatch.context() as broken:
        broken.setattr(*{"open": (Path, "open"), "fsync": (os, "fsync"), "replace": (Path, "replace")}[call], _refuse)
        with pytest.raises(OSError, match="No space"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


# -- the journal -------------------------------------------------------------------------------------------------------


def test_every_prefix_of_what_was_written_replays_to_a_prefix_of_what_was_said(tmp_path: Path) -> None:
    """However few bytes a kill or a power cut leaves: whole records, in order, from the first; and it can go on."""
    journal = Journal(tmp_path / "whole", "sqs")
    journal.open(lambda _record: None)
    said = [{"n": number, "body": "ü" * number} for number in range(6)]
    for record in said:
        assert journal.append(record)
    journal.close()
    content = next((tmp_path / "whole").glob("*.journal")).read_bytes()
    for length in range(len(content) + 1):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / "sqs.00000001.journal").write_bytes(content[:length])
        found: list[Any] = []
        cut = Journal(folder, "sqs")
        replayed = cut.open(found.append)
        assert found == said[: content[:length].count(b"\n")], length
        assert replayed.damaged == 0
        assert cut.append({"n": "after"})
        cut.close()
        again: list[Any] = []
        reopened = Journal(folder, "sqs")
        reopened.open(again.append)
        reopened.close()
        assert again == [*found, {"n": "after"}], length


def test_a_sync_asks_the_disk_once_for_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: asked.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    journal = Journal(tmp_path, "sqs")
    journal.open(lambda _record: None)
    file = str(tmp_path / "sqs.00000001.journal")

    async def later() -> None:
        await journal.sync_later()

    journal.append({"n": 1})
    asyncio.run(later())
    assert asked == [file]
    asyncio.run(later())
    assert asked == [file], "nothing was written since"
    journal.append({"n": 2})
    asyncio.run(later())
    assert asked == [file, file]
    journal.append({"n": 3})
    journal.sync()
    assert asked == [file, file, file]
    asyncio.run(later())
    assert asked == [file, file, file], "the sync before covered it"


def test_a_record_the_disk_refuses_is_said_so_and_the_next_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, "sqs")
    journal.open(lambda _record: None)
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", _refuse)
        assert journal.append({"n": 1}) is False
    assert "No space" in journal.error
    assert journal.append({"n": 2}) is True
    assert journal.error == ""


# -- snapshots ---------------------------------------------------------------------------------------------------------


class FakeHost:
    """The part of the host that snapshots use, over plain state."""

    def __init__(self, states: dict[str, Callable[[], Any]]) -> None:
        self.states = states

    def state_functions(self) -> dict[str, Callable[[], Any]]:
        return dict(self.states)

    def encode_state(self, _name: str, state: Any, extra: dict[str, Any]) -> bytes:
        return json.dumps({**extra, "state": state}).encode()

    def start_tickers(self) -> None:
        """Nothing ticks here."""


def _raise() -> Any:
    raise RuntimeError("no state today")


def _end() -> Any:
    os._exit(3)


class Kept:
    """One journalled service ``sqs`` over a fake host."""

    def __init__(self, folder: Path) -> None:
        self.value: Any = "first"
        self.host = FakeHost({"sqs": lambda: self.value})
        self.journal = Journal(folder / "journals", "sqs")
        self.journal.open(lambda _record: None)
        self.folder = folder
        self.checkpoints = Checkpoints(self.host, folder, {"sqs": self.journal})  # type: ignore[arg-type]

    def take(self, **options: Any) -> bool:
        async def once() -> bool:
            return await self.checkpoints.take(**options)

        return asyncio.run(once())

    @property
    def on_disk(self) -> Any:
        return json.loads((self.folder / "sqs.json").read_text())["state"]

    @property
    def replayed(self) -> list[Any]:
        """What the next start would replay."""
        found: list[Any] = []
        journal = Journal(self.folder / "journals", "sqs")
        journal.open(found.append, covered=self.checkpoints.covered("sqs"))
        journal.close()
        return [record["n"] for record in found]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    (tmp_path / "state").mkdir()
    return Kept(tmp_path / "state")


def test_a_snapshot_takes_the_journal_over(kept: Kept) -> None:
    kept.journal.append({"n": 1})
    kept.checkpoints.changed("sqs")
    assert kept.checkpoints.pending
    assert kept.take()
    assert not kept.checkpoints.pending
    kept.journal.append({"n": 2})
    assert kept.on_disk == "first"
    assert kept.replayed == [2]
    assert len(list((kept.folder / "journals").iterdir())) == 1


@pytest.mark.parametrize("fault", [_raise, _end])
def test_a_snapshot_that_fails_forgets_nothing_and_is_tried_again(kept: Kept, fault: Callable[[], Any]) -> None:
    """Neither an error in a service's state nor the end of the snapshot's process may cost what the journal holds."""
    kept.journal.append({"n": 1})
    kept.host.states["sqs"] = fault
    kept.checkpoints.changed("sqs")
    finished = kept.checkpoints.last_finished
    assert kept.take() is False
    assert kept.replayed == [1]
    assert kept.checkpoints.error.startswith("sqs: ")
    assert kept.checkpoints.last_finished == finished
    assert kept.checkpoints.pending, "it is to be tried again"
    kept.journal.append({"n": 2})
    assert kept.replayed == [1, 2]
    kept.host.states["sqs"] = lambda: "second"
    assert kept.take() is True
    assert kept.on_disk == "second"
    assert kept.replayed == []
    assert kept.checkpoints.error == ""


def test_a_full_disk_fails_the_snapshot_of_its_service_only(kept: Kept) -> None:
    kept.host.states["s3"] = lambda: "buckets"
    (kept.folder / "sqs.json.new").symlink_to("/dev/full")
    kept.journal.append({"n": 1})
    kept.checkpoints.changed("")
    assert kept.take() is False
    assert "sqs: OSError" in kept.checkpoints.error
    assert "s3" not in kept.checkpoints.error
    assert json.loads((kept.folder / "s3.json").read_text())["state"] == "buckets"
    assert kept.replayed == [1]
    assert kept.checkpoints.pending


def test_what_changes_while_a_snapshot_is_taken_waits_for_the_next(kept: Kept) -> None:
    async def changed_meanwhile() -> bool:
        taking = asyncio.create_task(kept.checkpoints.take(everything=True))
        await asyncio.sleep(0)
        while not kept.checkpoints._child:
            await asyncio.sleep(0.001)
        kept.journal.append({"n": 7})
        kept.checkpoints.changed("sqs")
        return await taking

    assert asyncio.run(changed_meanwhile()) is True
    assert kept.checkpoints.pending
    assert kept.replayed == [7], "the snapshot was begun before it"


def test_a_snapshot_for_every_service_folds_every_journal_in(kept: Kept) -> None:
    kept.journal.append({"n": 1})
    assert kept.take(everything=True)
    assert kept.replayed == []
    assert kept.on_disk == "first"
