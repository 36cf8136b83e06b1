"""A boot that meets a file it cannot use says which, without a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mwaa_local.runtime import boot, status


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.EEXIST, "a file stands where a folder should be"),
        (errno.ENOTDIR, "a file stands where a folder should be"),
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "a file cannot be written"),
    ],
)
def test_the_file_is_named(
    number: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "home"

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), str(place))

    monkeypatch.setattr("mwaa_local.runtime.boot.read_inputs", fail)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert boot.run("worker", {"MWAA_LOCAL__RUN_DIR": str(tmp_path / "run")}) == 1
    said = capsys.readouterr().err
    assert what in said and str(place) in said and "Traceback" not in said
    kept = status.read(tmp_path / "run")
    assert kept is not None
    assert (kept["state"], kept["error"]["where"]) == ("failed", str(place))


def test_what_is_no_files_fault_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    monkeypatch.setattr("mwaa_local.runtime.boot.read_inputs", fail)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(ConnectionRefusedError):
        boot.run("worker", {"MWAA_LOCAL__RUN_DIR": str(tmp_path / "run")})
    kept = status.read(tmp_path / "run")
    assert kept is not None and "ConnectionRefusedError" in kept["error"]["what"]
