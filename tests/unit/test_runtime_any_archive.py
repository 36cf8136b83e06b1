"""Any zip: unpacked whole and inside its folder, or refused with the old folder as it was."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mwaa_local.errors import WorkflowFileError
from mwaa_local.runtime import plugins

PARTS = ("a", "b.py", "..", ".", "", "A", "ä", "a b", "c:", "con", "x\\y", "..\\..", "~", "plugins")
NAMES = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join) | st.sampled_from(
    ("/etc/x", "//x", "a/")
)
KINDS = st.sampled_from((stat.S_IFREG | 0o644, stat.S_IFREG | 0o4777, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777, 0))
ENTRIES = st.lists(st.tuples(NAMES, st.binary(max_size=8), KINDS), max_size=5)


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in folder.rglob("*")
    }


@settings(max_examples=80, deadline=None, derandomize=True)
@given(ENTRIES)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_nothing_outside_and_nothing_by_half(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, bytes, int]]
) -> None:
    root = tmp_path_factory.getbasetemp() / "archives"
    shutil.rmtree(root, ignore_errors=True)
    target = root / "home" / "plugins"
    target.mkdir(parents=True)
    (target / "old.py").write_bytes(b"old")
    archive = root / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for name, data, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = mode << 16
            made.writestr(info, data)
    outside = everything(root)
    try:
        plugins.unpack(archive, target, cap_bytes=10_000)
    except WorkflowFileError as error:
        assert error.where == str(archive)
        assert everything(root) == outside, "refused: all is as it was"
        return
    assert "old.py" not in {path.name for path in target.iterdir()} or "old.py" in {name for name, *_ in entries}
    now = everything(root)
    assert {name for name in now if not name.startswith("home/plugins")} == {"home", "plugins.zip"}
    for path in target.rglob("*"):
        assert path.resolve().is_relative_to(target.resolve()), path
        if not path.is_symlink() and path.is_file():
            assert not path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    plain = {name: data for name, data, mode in entries if stat.S_ISREG(mode) and not name.endswith("/")}
    for name, data in plain.items():
        if all(part not in ("", ".", "..") and "\\" not in part for part in name.split("/")):
            assert (target / name).read_bytes() == data, name
