"""plugins.zip with any bytes in it: it is unpacked or refused, in one error, and nothing comes to lie elsewhere."""

from __future__ import annotations

import io
import random
import stat
import zipfile
from pathlib import Path

import pytest

from mwaa_local.errors import WorkflowFileError
from mwaa_local.runtime import plugins

CAP = 1 << 20


def _link(archive: zipfile.ZipFile, name: str, target: bytes) -> None:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, target)


def _archive(method: int) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        archive.writestr("operators/__init__.py", "")
        archive.writestr("operators/hello.py", "x = 1\n" * 50)
        archive.writestr("ümläut/é.py", "y = 2\n")
        _link(archive, "alias.py", b"operators/hello.py")
        archive.writestr("data/", "")
    return held.getvalue()


def _hostile() -> dict[str, bytes]:
    made = {}
    for name, links in {
        "a link to itself": {"a": b"a"},
        "two links in a circle": {"a": b"b", "b": b"a"},
        "a circle through a folder": {"d/a": b"../e", "e": b"d/a"},
        "NUL in a link": {"a": b"x\0y"},
        "bytes that are no text in a link": {"a": b"\xff\xfe"},
        "an empty link": {"a": b""},
        "a very long link": {"a": b"x" * 5000},
    }.items():
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            for link, target in links.items():
                _link(archive, link, target)
        made[name] = held.getvalue()
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("x" * 300 + ".py", "")
    made["a name longer than a file system takes"] = held.getvalue()
    with_text = _archive(zipfile.ZIP_STORED)
    made["a name that is no UTF-8"] = with_text.replace("ümläut".encode(), b"\xff\xfem\xff\xffut\xff"[:8])
    return made


HOSTILE = _hostile()


def _unpacked(content: bytes, folder: Path) -> None:
    folder.mkdir()
    archive, destination = folder / "plugins.zip", folder / "inside" / "plugins"
    archive.write_bytes(content)
    destination.mkdir(parents=True)
    (destination / "old.py").write_text("old")
    try:
        plugins.unpack(archive, destination, cap_bytes=CAP)
    except WorkflowFileError as error:
        assert str(archive) in error.where
        assert error.why
        assert [path.name for path in destination.iterdir()] == ["old.py"], "the old folder is as it was"
    assert [path.name for path in destination.parent.iterdir()] == ["plugins"]
    assert sorted(path.name for path in folder.iterdir()) == ["inside", "plugins.zip"]


@pytest.mark.parametrize("name", HOSTILE)
def test_links_and_names_that_lead_nowhere(name: str, tmp_path: Path) -> None:
    _unpacked(HOSTILE[name], tmp_path / "one")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_many_changed_archives_of_each_kind(method: int, tmp_path: Path) -> None:
    chance, whole = random.Random(2611), _archive(method)
    for number in range(120):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 8))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        if number % 5 == 0:
            del content[chance.randrange(len(content)) :]
        _unpacked(bytes(content), tmp_path / str(number))
