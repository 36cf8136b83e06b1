"""The keeper's report is written on a full disk too: `status` must say that it is full."""

from __future__ import annotations

from pathlib import Path

import pytest
from faulty_disk_support import FULL, Disk

from mwaa_local.engines.process import keeper
from mwaa_local.errors import MachineError
from mwaa_local.ground import atomic, disk


def test_a_report_is_replaced_and_on_a_full_disk_written_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keeper.json"
    keeper.write_report(path, {"detail": "x" * 5000})
    first = path.stat()
    assert atomic.read_json(path) == {"detail": "x" * 5000}
    keeper.write_report(path, {"detail": ""})
    assert path.stat().st_ino != first.st_ino, "whole or not at all, as long as that is possible"
    faulty = Disk(refuse={"write": FULL})
    monkeypatch.setattr(disk, "CALLS", faulty)
    before = path.stat()
    said = {"detail": "nothing can be stored: No space left on device" + "x" * 3000}
    keeper.write_report(path, said)
    assert atomic.read_json(path) == said
    after = path.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size), "no block more is needed"
    with pytest.raises(MachineError, match="disk is full"):
        keeper.write_report(path, {"detail": "x" * 9000})
    assert atomic.read_json(path) == said
    path.unlink()
    with pytest.raises(MachineError, match="disk is full"):
        keeper.write_report(path, {})
    assert not list(tmp_path.iterdir())
