"""Commands of MWAA's image that a machine keeps elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from mwaa_local.catalog.image_tools import absent_tools, present_tools
from mwaa_local.runtime import host_tools


def program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose standard folders hold nothing."""
    monkeypatch.setattr(host_tools, "standard_path", lambda *, without="": str(tmp_path / "usr" / "bin"))
    return tmp_path


def test_only_what_mwaas_image_has_is_linked(bare: Path) -> None:
    program(bare / "mine", "jq")
    program(bare / "mine", "terraform")
    folder = host_tools.link(bare / "tools", f"{bare}/none:{bare}/mine")
    assert folder == bare / "tools"
    assert {path.name: path.readlink() for path in folder.iterdir()} == {"jq": bare / "mine" / "jq"}


def test_what_the_standard_folders_have_needs_no_link_and_old_links_go(bare: Path) -> None:
    program(bare / "mine", "jq")
    host_tools.link(bare / "tools", str(bare / "mine"))
    program(bare / "usr" / "bin", "jq")
    assert host_tools.link(bare / "tools", str(bare / "mine")) is None
    assert not (bare / "tools").exists()


def test_a_version_managers_shim_is_no_command(bare: Path) -> None:
    program(bare / "shims", "aws")
    assert host_tools.link(bare / "tools", str(bare / "shims")) is None


def test_no_command_is_both_there_and_missing() -> None:
    assert not set(present_tools()) & set(absent_tools())
