"""plugins.zip is the same bytes from the same content, keeps what is executable, and takes nothing from elsewhere."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from mwaa_local.errors import WorkflowFileError
from mwaa_local.preflight.packaging import archive as packaging_archive
from mwaa_local.preflight.packaging.archive import Entry
from mwaa_local.preflight.resolving import wheels as resolve_wheels


def plugins(folder: Path) -> Path:
    (folder / "ops").mkdir(parents=True)
    (folder / "b.py").write_text("b = 1\n")
    (folder / "a.py").write_text("a = 1\n")
    script = folder / "ops" / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o750)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_bytes(b"x")
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one = plugins(tmp_path / "one")
    other = plugins(tmp_path / "other")
    for number, path in enumerate(sorted(other.rglob("*"))):
        os.utime(path, (1_000_000 * number, 1_000_000 * number))
    (other / "a.py").chmod(0o600)
    first = packaging_archive.write(tmp_path / "1" / "plugins.zip", packaging_archive.entries(one))
    second = packaging_archive.write(tmp_path / "2" / "plugins.zip", reversed(packaging_archive.entries(other)))
    assert first == second
    again = packaging_archive.entries(tmp_path / "1" / "plugins.zip")
    assert packaging_archive.write(tmp_path / "3" / "plugins.zip", again) == first


def test_modes_are_kept_and_junk_is_left_out(tmp_path: Path) -> None:
    packaging_archive.write(tmp_path / "plugins.zip", packaging_archive.entries(plugins(tmp_path / "p")))
    with zipfile.ZipFile(tmp_path / "plugins.zip") as archive:
        modes = {item.filename: stat.S_IMODE(item.external_attr >> 16) for item in archive.infolist()}
    assert modes == {"a.py": 0o644, "b.py": 0o644, "ops/run.sh": 0o755}


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = plugins(tmp_path / "p")
    (tmp_path / "secret").write_text("x")
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(WorkflowFileError, match="link out of"):
        packaging_archive.entries(folder)


def test_two_files_of_one_name_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(WorkflowFileError, match=r"a\.whl"):
        packaging_archive.write(tmp_path / "plugins.zip", [Entry("a.whl", b"1"), Entry("a.whl", b"2")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("a-1-cp38-abi3-manylinux_2_28_x86_64.whl", True),
        ("a-1-cp312-cp312-manylinux_2_34_x86_64.whl", True),
        ("a-1-cp312-cp312-manylinux_2_35_x86_64.whl", False),
        ("a-1-cp312-cp312-manylinux_2_17_aarch64.whl", False),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", False),
        ("a-1-cp312-cp312-musllinux_1_2_x86_64.whl", False),
        ("a-1-cp312-cp312-macosx_11_0_arm64.whl", False),
        ("a-1-cp313-abi3-manylinux_2_17_x86_64.whl", False),
        ("a-1-py2-none-any.whl", False),
        ("not a wheel.whl", False),
    ],
)
def test_which_wheels_fit_mwaas_machine(name: str, fits: bool) -> None:
    assert (resolve_wheels.rank(name, "3.12") is not None) == fits


def test_the_most_special_wheel_comes_first() -> None:
    names = [
        "a-1-py3-none-any.whl",
        "a-1-cp312-cp312-manylinux2014_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_28_x86_64.whl",
    ]
    assert resolve_wheels.sorted_by_fit(names, "3.12") == [names[2], names[1], names[0]]
