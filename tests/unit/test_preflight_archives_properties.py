"""Zip archives of any names and of any damage: nothing is unpacked outside, and whatever is wrong is told in words."""

from __future__ import annotations

import io
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from preflight_support import hits, workspace

from mwaa_local.errors import WorkflowFileError
from mwaa_local.preflight.packaging import archive as packaging_archive
from mwaa_local.preflight.readings import archives, plugins

FAST = settings(max_examples=100, deadline=None, derandomize=True, database=None)
PLUGIN = 'from airflow.plugins_manager import AirflowPlugin\n\n\nclass P(AirflowPlugin):\n    name = "p"\n'

parts = st.sampled_from(["..", ".", "", "a", "A", "b.py", "B.py", "ü.py", "u\u0308.py", "...", "..a", "a..", " ", "C:", "c:x", "con", "a:b", "\n", "x" * 300, "~", "*"])  # fmt: skip
signs = st.sampled_from(["/", "/", "/", "\\"])
names = st.lists(st.tuples(parts, signs), min_size=1, max_size=4).map(
    lambda pairs: "".join(part + sign for part, sign in pairs)[: None if pairs[-1][1] == "\\" else -1]
)
entries = st.lists(st.tuples(names.filter(bool), st.binary(max_size=6)), max_size=5)


def zipped(items: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in items:
                info = zipfile.ZipInfo("x")
                info.compress_type = zipfile.ZIP_DEFLATED
                info.filename = name  # as a hostile tool writes it
                archive.writestr(info, data)
    return stream.getvalue()


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def leaves(name: str) -> bool:
    """Whether an unpacker that trusts a name might write outside of its folder, on any system."""
    plain = name.replace("\\", "/")
    return (
        plain.startswith("/")
        or (plain[1:2] == ":" and plain[:1].isascii() and plain[:1].isalpha())
        or ".." in plain.split("/")
    )


@FAST
@given(entries)
@example([("../x.py", b""), ("a/../../x.py", b""), ("/etc/x.py", b""), ("..\\x.py", b""), ("C:\\x.py", b"")])
@example([("a", b"1"), ("a/b.py", b"2"), ("c.py", b"3")])
@example([("a.py", b"1"), ("a.py", b"2"), ("A.py", b"3")])
@example([("ü.py", b"1"), ("u\u0308.py", b"2")])
@example([("x" * 300, b"1"), ("b.py", b"2")])
def test_names(items: list[tuple[str, bytes]]) -> None:
    with folder() as root:
        project = root / "project"
        project.mkdir()
        (project / "plugins.zip").write_bytes(zipped(items))
        with workspace(project, {}) as space:
            reported = {item.excerpt for item in hits("PLG002", space)}
            assert reported == {name for name, _ in items if leaves(name)}
            unpacked = space.plugins_folder
            assert all(path.resolve().is_relative_to(unpacked.resolve()) for path in unpacked.rglob("*"))
            last: dict[str, bytes] = {}
            for name, data in items:
                last[name] = data
            for name, data in last.items():
                tops = [part for part in name.split("/") if part]
                if (
                    all((part.isascii() and part.isalpha()) or part.endswith(".py") for part in tops)
                    and "\\" not in name
                ):
                    place = unpacked.joinpath(*tops)
                    alone = not any(
                        (other != name and other.startswith(name)) or name.startswith(other + "/") for other in last
                    )
                    if alone and not leaves(name) and max(map(len, tops)) < 200 and not name.endswith("/"):
                        assert place.read_bytes() == data, "one bad entry costs no other"
        assert sorted(path.name for path in root.iterdir()) == ["project"]


@FAST
@given(entries)
@example([("../x.py", b"")])
@example([("a.py", b"1"), ("a.py", b"2")])
@example([("a.py", b"1"), ("a.py", b"1"), ("A.py", b"2")])
def test_an_archive_is_made_anew_or_refused(items: list[tuple[str, bytes]]) -> None:
    with folder() as root:
        (root / "plugins.zip").write_bytes(zipped(items))
        try:
            found = packaging_archive.entries(root / "plugins.zip")
            packaging_archive.write(root / "new.zip", found)
        except WorkflowFileError:
            files = [(name, data) for name, data in items if not name.endswith("/")]
            twice = any(name == other and data != more for name, data in files for other, more in files)
            assert twice or any(leaves(name) for name, _ in items)
            assert not (root / "new.zip").exists()
            return
        with zipfile.ZipFile(root / "new.zip") as made:
            packed = {info.filename: made.read(info) for info in made.infolist()}
        assert list(packed) == sorted(packed), "the same content gives the same bytes"
        assert not any(leaves(name) for name in packed)
        assert packed == {name: data for name, data in items if not name.endswith("/") and not plugins.is_junk(name)}


@FAST
@given(
    st.lists(st.tuples(st.sampled_from(["p.py", "a/b.py", "ü.py", "c.pyc", "run.sh"]), st.just(PLUGIN.encode() * 3)), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 40),
)  # fmt: skip
def test_damage(items: list[tuple[str, bytes]], flips: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(zipped(items))
    for at, value in flips:
        data[at % len(data)] = value
    damaged = bytes(data[: len(data) - cut]) if cut < 10 else bytes(data)
    look(damaged)


# What a flipped byte does, one by one: text that does not inflate, a name that is no UTF-8, a method that nobody knows.
@pytest.mark.parametrize("what", ["inflate", "name", "method", "crc", "encrypted"])
def test_one_kind_of_damage(what: str) -> None:
    data = bytearray(zipped([("ü.py" if what == "name" else "p.py", PLUGIN.encode() * 3)]))
    local, central = 0, data.index(b"PK\x01\x02")
    if what == "inflate":
        begin = 30 + len("p.py")
        data[begin : begin + 8] = b"\xff" * 8
    elif what == "name":
        for start, offset in ((local, 30), (central, 46)):
            data[start + offset] = 0xFF
    elif what == "method":
        data[local + 8] = data[central + 10] = 99
    elif what == "crc":
        data[local + 14] ^= 1
        data[central + 16] ^= 1
    else:
        data[local + 6] |= 1
        data[central + 8] |= 1
    look(bytes(data), refused=True)


def look(damaged: bytes, *, refused: bool = False) -> None:
    """Everything that reads an archive, none of which may raise what nobody planned."""
    with folder() as root:
        for place in ("project/plugins.zip", "project/dags/packed.zip"):
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_bytes(damaged)
        for entry in plugins.read_archive(root / "project/plugins.zip").entries:
            assert isinstance(entry.read(1000), bytes)
        found = archives.read(root / "project/dags/packed.zip")
        assert found is None or isinstance(found.unreadable, str)
        if refused:
            assert found is not None and found.unreadable
        archives.member_text(root / "project/dags/packed.zip/p.py")
        try:
            packaging_archive.entries(root / "project/plugins.zip")
            assert not refused
        except WorkflowFileError as error:
            assert error.what == "plugins.zip cannot be read" or "out of the plugins folder" in error.what
            assert error.where
        with workspace(root / "project", {}) as space:
            assert space.plugins_folder.is_dir()
            for rule in ("PLG001", "PLG002", "PLG003", "PLG004", "PLG006", "PLG007", "PLG009", "PLG012", "PLG014"):
                hits(rule, space)
