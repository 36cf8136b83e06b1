"""Commands of MWAA's image that a machine keeps elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mwaa_local.catalog import limits
from mwaa_local.catalog.image_tools import absent_tools, present_tools
from mwaa_local.runtime import host_tools


def program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose standard folders hold nothing; ``own`` is where the tool's commands lie."""
    bare = replace(limits(), path=f"{tmp_path}/usr/bin", python_prefix=f"{tmp_path}/local")
    monkeypatch.setattr(host_tools, "limits", lambda: bare)
    monkeypatch.setattr(host_tools.sysconfig, "get_path", lambda name: f"{tmp_path}/own")
    return tmp_path


def test_only_what_mwaas_image_has_is_found(bare: Path) -> None:
    program(bare / "mine", "jq")
    program(bare / "mine", "terraform")
    assert host_tools.stand_ins(f"{bare}/none:{bare}/mine") == {"jq": bare / "mine" / "jq"}


def test_the_users_own_comes_before_the_tools_and_the_tools_serves_where_there_is_none(bare: Path) -> None:
    program(bare / "own", "aws")
    assert host_tools.stand_ins(f"{bare}/own:{bare}/mine") == {"aws": bare / "own" / "aws"}
    program(bare / "mine", "aws")
    assert host_tools.stand_ins(f"{bare}/own:{bare}/mine") == {"aws": bare / "mine" / "aws"}


def test_what_the_standard_folders_have_needs_no_stand_in_and_old_links_go(bare: Path) -> None:
    program(bare / "mine", "jq")
    folder = host_tools.link(bare / "tools", host_tools.stand_ins(str(bare / "mine")))
    assert folder is not None
    assert {path.name: path.readlink() for path in folder.iterdir()} == {"jq": bare / "mine" / "jq"}
    program(bare / "usr" / "bin", "jq")
    assert host_tools.stand_ins(str(bare / "mine")) == {}
    assert host_tools.link(bare / "tools", {}) is None
    assert not (bare / "tools").exists()


def test_a_version_managers_shim_is_no_command(bare: Path) -> None:
    program(bare / "shims", "aws")
    assert host_tools.stand_ins(str(bare / "shims")) == {}


def test_a_command_that_a_script_names_and_this_machine_lacks_is_told(bare: Path) -> None:
    script = """
    # java is not needed here
    export JAVA_HOME=/usr/lib/jvm/jre
    aws s3 ls && $jq . ./git-clone.sh --make
    x=$(java -version)
    """
    assert host_tools.missing(script, str(bare)) == ["java", "aws"]
    program(bare / "mine", "java")
    assert host_tools.missing(script, str(bare / "mine")) == ["aws"]


def test_no_command_is_both_there_and_missing() -> None:
    assert not set(present_tools()) & set(absent_tools())
