"""What the disk refuses and what a kill cuts short: faults at the file-system seam, every prefix of what was written."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_disk_support import BROKEN, FULL, Disk

from mwaa_local.aws.server import statefiles
from mwaa_local.aws.server.checkpoint import SMALL, Checkpoints
from mwaa_local.aws.server.journal import Journal, read_journal
from mwaa_local.ground import disk

# -- the journal -------------------------------------------------------------------------------------------------------


def test_every_prefix_of_what_was_written_replays_to_a_prefix_of_what_was_said(tmp_path: Path) -> None:
    """However few bytes a kill or a power cut leaves: whole records, in order, from the first; and it can go on."""
    journal = Journal(tmp_path / "whole", "sqs")
    journal.open(lambda _record: None)
    said = [{"op": "n", "n": number, "body": "ü" * number} for number in range(6)]
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
        assert replayed.torn == length - content[:length].rfind(b"\n") - 1, length
        assert cut.append({"op": "n", "n": "after"})
        cut.close()
        again: list[Any] = []
        reopened = Journal(folder, "sqs")
        reopened.open(again.append)
        reopened.close()
        assert again == [*found, {"op": "n", "n": "after"}], length


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk, to be made to refuse."""
    found = Disk()
    monkeypatch.setattr(disk, "CALLS", found)
    return found


def test_a_sync_asks_the_disk_once_for_what_is_new(tmp_path: Path, faulty: Disk) -> None:
    journal = Journal(tmp_path, "sqs")
    journal.open(lambda _record: None)
    file = tmp_path / "sqs.00000001.journal"

    def asked() -> int:
        return faulty.noted.count(("sync", file))

    async def together() -> list[str]:
        return await asyncio.gather(*(journal.synced() for _ in range(20)))

    journal.append({"op": "n", "n": 1})
    assert asyncio.run(together()) == [""] * 20
    assert asked() == 1, "who waits together costs one"
    asyncio.run(together())
    assert asked() == 1, "nothing was written since"
    journal.append({"op": "n", "n": 2})
    asyncio.run(together())
    assert asked() == 2
    journal.append({"op": "n", "n": 3})
    journal.rotate()
    assert asked() == 3, "the last records of a closed generation"
    asyncio.run(together())
    assert asked() == 3


def test_a_sync_that_the_disk_refuses_is_said(tmp_path: Path, faulty: Disk) -> None:
    journal = Journal(tmp_path, "sqs")
    journal.open(lambda _record: None)
    journal.append({"op": "n", "n": 1})
    faulty.refuse = {"sync": BROKEN}
    assert "Input/output error" in asyncio.run(journal.synced())
    faulty.refuse = {}
    assert asyncio.run(journal.synced()) == ""


def test_a_record_the_disk_refuses_is_said_so_and_the_next_is_taken(tmp_path: Path, faulty: Disk) -> None:
    journal = Journal(tmp_path, "sqs")
    journal.open(lambda _record: None)
    faulty.refuse = {"write": FULL}
    assert journal.append({"op": "n", "n": 1}) is False
    assert "No space" in journal.error
    faulty.refuse = {}
    assert journal.append({"op": "n", "n": 2}) is True
    assert journal.error == ""


def test_a_generation_that_cannot_be_begun_leaves_the_open_one(tmp_path: Path, faulty: Disk) -> None:
    journal = Journal(tmp_path, "sqs")
    journal.open(lambda _record: None)
    journal.append({"op": "n", "n": 1})
    faulty.refuse = {"open": FULL}
    with pytest.raises(OSError, match="No space"):
        journal.rotate()
    faulty.refuse = {}
    assert journal.append({"op": "n", "n": 2})
    found: list[Any] = []
    Journal(tmp_path, "sqs").open(found.append)
    assert [record["n"] for record in found] == [1, 2]


# -- snapshots ---------------------------------------------------------------------------------------------------------


class FakeHost:
    """The part of the host that snapshots use, over plain state."""

    def __init__(self, states: dict[str, Callable[[], Any]]) -> None:
        self.states = states
        self.unsynced: set[Path] = set()

    def state_functions(self) -> dict[str, Callable[[], Any]]:
        return dict(self.states)

    def encode_state(self, _name: str, state: Any, extra: dict[str, Any]) -> bytes:
        return statefiles.document(json.dumps(state).encode(), extra)

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
        return json.loads((self.folder / "sqs.json").read_text())["payload"]

    @property
    def replayed(self) -> list[Any]:
        """What the next start would replay."""
        found = read_journal(self.folder / "journals", "sqs", covered=self.checkpoints.covered("sqs"))
        assert not found.damage
        return [record["n"] for record in found.records]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    (tmp_path / "state").mkdir()
    return Kept(tmp_path / "state")


def test_a_snapshot_takes_the_journal_over(kept: Kept) -> None:
    kept.journal.append({"op": "n", "n": 1})
    kept.checkpoints.changed("sqs")
    assert kept.checkpoints.pending
    assert kept.take()
    assert not kept.checkpoints.pending
    kept.journal.append({"op": "n", "n": 2})
    assert kept.on_disk == "first"
    assert kept.replayed == [2]
    assert kept.journal.size == len((kept.folder / "journals/sqs.00000002.journal").read_bytes())
    assert kept.take(everything=True)
    left = sorted(path.name for path in (kept.folder / "journals").iterdir())
    assert left == ["sqs.00000002.journal", "sqs.00000003.journal"], "what the snapshot before would need stays"


@pytest.mark.parametrize("fault", [_raise, _end])
def test_a_snapshot_that_fails_forgets_nothing_and_is_tried_again(kept: Kept, fault: Callable[[], Any]) -> None:
    """Neither an error in a service's state nor the end of the snapshot's process may cost what the journal holds."""
    kept.journal.append({"op": "n", "n": 1})
    kept.host.states["sqs"] = fault
    kept.checkpoints.changed("sqs")
    finished = kept.checkpoints.last_finished
    assert kept.take() is False
    assert kept.replayed == [1]
    assert kept.checkpoints.error.startswith("sqs: ")
    assert kept.checkpoints.last_finished == finished
    assert kept.checkpoints.pending, "it is to be tried again"
    kept.journal.append({"op": "n", "n": 2})
    assert kept.replayed == [1, 2]
    kept.host.states["sqs"] = lambda: "second"
    assert kept.take() is True
    assert kept.on_disk == "second"
    assert kept.replayed == []
    assert kept.checkpoints.error == ""


def test_a_full_disk_fails_the_snapshot_of_its_service_only(kept: Kept) -> None:
    kept.host.states["s3"] = lambda: "buckets"
    (kept.folder / "sqs.json").mkdir()  # so that it cannot be written
    kept.journal.append({"op": "n", "n": 1})
    kept.checkpoints.changed("")
    assert kept.take() is False
    assert "sqs: " in kept.checkpoints.error
    assert "s3" not in kept.checkpoints.error
    assert json.loads((kept.folder / "s3.json").read_text())["payload"] == "buckets"
    assert kept.replayed == [1]
    assert kept.checkpoints.pending


def test_a_journal_that_cannot_go_on_in_a_new_generation_is_tried_again(kept: Kept, faulty: Disk) -> None:
    kept.journal.append({"op": "n", "n": 1})
    kept.checkpoints.changed("sqs")
    faulty.refuse = {"open": FULL}
    assert kept.take() is False
    assert "No space left" in kept.checkpoints.error
    assert kept.checkpoints.pending
    kept.journal.append({"op": "n", "n": 2})
    assert kept.replayed == [1, 2]
    faulty.refuse = {}
    assert kept.take() is True
    assert kept.replayed == []
    assert kept.checkpoints.error == ""


def test_what_changes_while_a_snapshot_is_taken_waits_for_the_next(kept: Kept) -> None:
    async def changed_meanwhile() -> bool:
        taking = asyncio.create_task(kept.checkpoints.take(everything=True))
        await asyncio.sleep(0)
        while not kept.checkpoints._child:
            await asyncio.sleep(0.001)
        kept.journal.append({"op": "n", "n": 7})
        kept.checkpoints.changed("sqs")
        return await taking

    assert asyncio.run(changed_meanwhile()) is True
    assert kept.checkpoints.pending
    assert kept.replayed == [7], "the snapshot was begun before it"


def test_a_snapshot_for_every_service_folds_every_journal_in(kept: Kept) -> None:
    kept.journal.append({"op": "n", "n": 1})
    assert kept.take(everything=True)
    assert kept.replayed == []
    assert kept.on_disk == "first"


# -- before the answer -------------------------------------------------------------------------------------------------


class Small:
    """A service without a journal."""

    def __init__(self, folder: Path) -> None:
        self.value: Any = {"secret": "first"}
        self.host = FakeHost({"secretsmanager": lambda: self.value})
        self.folder = folder
        self.checkpoints = Checkpoints(self.host, folder, {})  # type: ignore[arg-type]

    def kept(self, times: int = 1) -> list[str]:
        async def ask() -> list[str]:
            return await asyncio.gather(*(self.checkpoints.kept("secretsmanager") for _ in range(times)))

        return asyncio.run(ask())

    @property
    def on_disk(self) -> Any:
        return json.loads((self.folder / "secretsmanager.json").read_text())["payload"]


@pytest.mark.parametrize("size", [1, SMALL + 1])
def test_what_is_answered_as_stored_is_on_the_disk(size: int, tmp_path: Path, faulty: Disk) -> None:
    small = Small(tmp_path)
    small.value = {"secret": "x" * size}
    assert small.kept() == [""]
    assert small.on_disk == small.value
    small.value = {"secret": "y" * size}
    assert small.kept() == [""]
    assert small.on_disk == small.value
    if size == 1:  # else the child's disk knows
        assert ("sync", tmp_path) in faulty.noted
    before = json.loads((tmp_path / "secretsmanager.json.before").read_text())["payload"]
    assert before == {"secret": "x" * size}


def test_requests_that_wait_together_cost_one_write(tmp_path: Path, faulty: Disk) -> None:
    small = Small(tmp_path)
    assert small.kept(30) == [""] * 30
    path = tmp_path / "secretsmanager.json"
    assert [what for call, what in faulty.noted if call == "replace"].count(path) == 1


@pytest.mark.parametrize("call", ["open", "write", "sync", "replace"])
def test_a_disk_that_refuses_is_said_to_who_asked_and_the_old_file_stands(
    call: str, tmp_path: Path, faulty: Disk
) -> None:
    small = Small(tmp_path)
    small.kept()
    small.value = {"secret": "second"}
    faulty.refuse = {call: FULL}
    assert "No space left" in small.kept()[0]
    assert "No space left" in small.checkpoints.error
    assert small.on_disk == {"secret": "first"}
    assert "No space left" in asyncio.run(small.checkpoints.usable()), "nothing more is begun"
    faulty.refuse = {}
    assert asyncio.run(small.checkpoints.usable()) == ""
    assert small.checkpoints.pending
    assert asyncio.run(small.checkpoints.take())
    assert small.on_disk == {"secret": "second"}
    assert small.checkpoints.error == ""


def test_a_state_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    small = Small(tmp_path)
    small.value = {"secret": object()}
    assert "TypeError" in small.kept()[0]


# -- state files -------------------------------------------------------------------------------------------------------


def _kept_files(folder: Path) -> Path:
    folder.mkdir()
    for name, payload in (("secretsmanager", b'{"a": 1}'), ("sqs", b'{"b": 2}'), ("ssm", b"{}")):
        extra = {statefiles.JOURNAL: 7, "__ministack_format__": 2} if name == "sqs" else {"__ministack_format__": 2}
        statefiles.write(folder, name, statefiles.document(payload, extra))
    return folder


def test_whole_state_files_are_no_damage(tmp_path: Path) -> None:
    folder = _kept_files(tmp_path / "services")
    assert list(statefiles.check(folder)) == []
    assert json.loads((folder / "sqs.json").read_bytes())["payload"] == {"b": 2}
    assert statefiles.covered(folder, "sqs") == 7
    assert statefiles.covered(folder, "ssm") == 0
    assert statefiles.covered(folder, "none") == 0


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (_half, "is no JSON|no longer"),
        (_flip, "no longer"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"{"), "no JSON"),
        (lambda path: path.unlink(), "missing"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
)
def test_every_kind_of_damage_is_found_and_named(harm: Callable[[Path], Any], what: str, tmp_path: Path) -> None:
    folder = _kept_files(tmp_path / "services")
    harm(folder / "secretsmanager.json")
    (found,) = statefiles.check(folder)
    assert found.path == folder / "secretsmanager.json"
    assert re.search(what, found.what)


def test_a_damaged_manifest_is_found_and_files_of_before_it_are_taken(tmp_path: Path) -> None:
    folder = _kept_files(tmp_path / "services")
    (folder / "manifest.json").write_text("[]")
    assert [one.path.name for one in statefiles.check(folder)] == ["manifest.json"]
    (folder / "manifest.json").unlink()
    (folder / "ssm.json").write_text('{"__ministack_format__": 2, "payload": {}}')
    assert list(statefiles.check(folder)) == []
    statefiles.write(folder, "kms", statefiles.document(b"{}", {}))
    assert statefiles.manifest(folder) == {"kms", "secretsmanager", "sqs", "ssm"}
