"""``plugins.zip``: whole or not at all, modes kept, nothing outside of the folder; and the mirrored folder."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from mwaa_local.errors import WorkflowFileError
from mwaa_local.runtime import plugins

CAP = 1_000_000


def archive(path: Path, entries: dict[str, bytes | tuple[bytes, int]]) -> Path:
    """A zip; a value with a number has that as its Unix mode with type bits."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, value in entries.items():
            data, mode = value if isinstance(value, tuple) else (value, stat.S_IFREG | 0o644)
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(info, data)
    return path


def unpack(tmp_path: Path, entries: dict[str, bytes | tuple[bytes, int]], cap: int = CAP) -> Path:
    target = tmp_path / "home" / "plugins"
    plugins.unpack(archive(tmp_path / "plugins.zip", entries), target, cap_bytes=cap)
    return target


def test_tree_and_modes_are_kept(tmp_path: Path) -> None:
    target = unpack(
        tmp_path,
        {
            "operators/": (b"", stat.S_IFDIR | 0o755),
            "operators/a.py": b"A = 1\n",
            "bin/tool.sh": (b"#!/bin/sh\n", stat.S_IFREG | 0o755),
            "bin/suid": (b"", stat.S_IFREG | 0o4755),
            "locked/": (b"", stat.S_IFDIR | 0o500),
            "locked/x.py": b"",
        },
    )
    assert (target / "operators" / "a.py").read_text() == "A = 1\n"
    assert stat.S_IMODE((target / "bin" / "tool.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "bin" / "suid").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "operators" / "a.py").stat().st_mode) == 0o644


def test_the_old_tree_is_replaced_completely(tmp_path: Path) -> None:
    unpack(tmp_path, {"old.py": b"", "locked/": (b"", stat.S_IFDIR | 0o500), "locked/x.py": b""})
    target = unpack(tmp_path, {"new.py": b""})
    assert sorted(path.name for path in target.iterdir()) == ["new.py"]
    assert [path.name for path in target.parent.iterdir()] == ["plugins"]


def test_an_empty_archive_is_accepted(tmp_path: Path) -> None:
    """spec/04 section 16, A29."""
    assert list(unpack(tmp_path, {}).iterdir()) == []
    (tmp_path / "plugins.zip").write_bytes(b"")
    assert plugins.unpack(tmp_path / "plugins.zip", tmp_path / "home" / "plugins", cap_bytes=CAP) == 0


def test_links_inside_are_kept(tmp_path: Path) -> None:
    target = unpack(tmp_path, {"lib/a.so.1": b"x", "lib/a.so": (b"a.so.1", stat.S_IFLNK | 0o777)})
    assert str((target / "lib" / "a.so").readlink()) == "a.so.1"
    assert (target / "lib" / "a.so").read_bytes() == b"x"


LINK = stat.S_IFLNK | 0o777
HOSTILE: dict[str, tuple[dict[str, bytes | tuple[bytes, int]], str]] = {
    "absolute path": ({"/etc/x": b""}, "/etc/x"),
    "parent": ({"../x.py": b""}, "../x.py"),
    "parent inside": ({"a/../../x.py": b""}, "a/../../x.py"),
    "backslashes": ({"..\\x.py": b""}, "..\\\\x.py"),
    "drive": ({"C:\\x.py": b""}, "C:"),
    "absolute link": ({"l": (b"/etc/passwd", LINK)}, "'l'"),
    "link out": ({"a/l": (b"../../x", LINK)}, "a/l"),
    "link chain out": ({"d/up": (b"..", LINK), "l": (b"d/up/../x", LINK)}, "leads out of the folder"),
    "written through a link": ({"l": (b".", LINK), "l/x.py": b""}, "'l'"),
    "device": ({"dev": (b"", stat.S_IFCHR | 0o666)}, "'dev'"),
    "pipe": ({"fifo": (b"", stat.S_IFIFO | 0o666)}, "'fifo'"),
    "file as folder": ({"a": b"", "a/b": b""}, "a/b"),
}


@pytest.mark.parametrize(("entries", "named"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_entries_are_refused_by_name_and_the_old_tree_stays(
    tmp_path: Path, entries: dict[str, bytes | tuple[bytes, int]], named: str
) -> None:
    target = unpack(tmp_path, {"good.py": b"old"})
    with pytest.raises(WorkflowFileError) as caught:
        unpack(tmp_path, {"first.py": b"", **entries})
    assert named in str(caught.value)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"good.py": b"old"}
    assert [path.name for path in target.parent.iterdir()] == ["plugins"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "plugins.zip"]


def test_the_cap_counts_what_is_unpacked_not_what_headers_say(tmp_path: Path) -> None:
    path = archive(tmp_path / "plugins.zip", {"bomb": b"\0" * 5_000_000})
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    for offset in (22, central + 24):  # uncompressed size, in the local and in the central header
        data[offset : offset + 4] = struct.pack("<I", 10)
    path.write_bytes(data)
    with pytest.raises(
        WorkflowFileError, match="CRC-32"
    ):  # no more is read than the header says, and that is not the file
        plugins.unpack(path, tmp_path / "plugins", cap_bytes=CAP)
    honest = archive(tmp_path / "honest.zip", {"a": b"\0" * 600_000, "b": b"\0" * 600_000})
    with pytest.raises(WorkflowFileError, match="cap of 1000000 bytes") as caught:
        plugins.unpack(honest, tmp_path / "plugins", cap_bytes=CAP)
    assert "'b'" in str(caught.value)
    assert not (tmp_path / "plugins").exists()


def test_broken_archives_are_one_clear_error(tmp_path: Path) -> None:
    good = archive(tmp_path / "plugins.zip", {"a.py": os.urandom(5_000)}).read_bytes()
    torn = bytearray(good)
    torn[60] ^= 0xFF
    for data in (b"not a zip", good[:2_000], bytes(torn)):
        (tmp_path / "plugins.zip").write_bytes(data)
        with pytest.raises(WorkflowFileError, match="plugins.zip"):
            plugins.unpack(tmp_path / "plugins.zip", tmp_path / "plugins", cap_bytes=CAP)


def damaged(path: Path, was: bytes, now: bytes) -> None:
    data = path.read_bytes()
    assert was in data
    path.write_bytes(data.replace(was, now))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_in_any_way_to_pack_is_one_clear_error_and_the_old_tree_stays(tmp_path: Path, method: int) -> None:
    target = unpack(tmp_path, {"old.py": b""})
    path, content = tmp_path / "plugins.zip", bytes(range(256)) * 40
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("a.py", content)
    whole, refused = path.read_bytes(), 0
    for offset in range(30 + len("a.py"), whole.index(b"PK\x01\x02")):
        torn = bytearray(whole)
        torn[offset] ^= 0xFF
        path.write_bytes(torn)
        try:
            plugins.unpack(path, target, cap_bytes=CAP)
        except WorkflowFileError as error:
            refused += 1
            assert error.what == "plugins.zip: the archive cannot be read"
            assert [item.name for item in target.iterdir()] == ["old.py"]
        else:  # a bit that means nothing, of the last byte say
            assert (target / "a.py").read_bytes() == content
            unpack(tmp_path, {"old.py": b""})
    assert refused > 10
    assert [item.name for item in target.parent.iterdir()] == ["plugins"]


def test_a_name_that_is_no_text_is_one_clear_error(tmp_path: Path) -> None:
    target = unpack(tmp_path, {"old.py": b""})
    path = archive(tmp_path / "plugins.zip", {"größe.py": b"x"})  # told to be UTF-8, as every name that needs it
    damaged(path, "größe".encode(), b"gr\xff\xff\xff\xffe")
    with pytest.raises(WorkflowFileError, match="the archive cannot be read") as caught:
        plugins.unpack(path, target, cap_bytes=CAP)
    assert "utf-8" in caught.value.why
    assert [item.name for item in target.iterdir()] == ["old.py"]


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "plugins.zip", {"a.py": b"x"})
    data = bytearray(path.read_bytes())
    for offset in (6, data.rindex(b"PK\x01\x02") + 8):
        data[offset] |= 1
    path.write_bytes(data)
    with pytest.raises(WorkflowFileError, match="encrypted"):
        plugins.unpack(path, tmp_path / "plugins", cap_bytes=CAP)


def test_mirror_copies_only_what_changed(tmp_path: Path) -> None:
    source, target = tmp_path / "plugins", tmp_path / "home" / "plugins"
    (source / "operators").mkdir(parents=True)
    (source / "operators" / "a.py").write_text("1")
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    (source / "link").symlink_to("run.sh")
    (source / "__pycache__").mkdir()
    assert plugins.mirror(source, target) == 3
    assert plugins.mirror(source, target) == 0
    assert stat.S_IMODE((target / "run.sh").stat().st_mode) == 0o755
    assert not (target / "__pycache__").exists()
    (target / "stray.py").write_text("")
    (source / "operators" / "a.py").write_text("22")
    assert plugins.mirror(source, target) == 2
    assert (target / "operators" / "a.py").read_text() == "22"
    (source / "operators" / "a.py").unlink()
    (source / "operators").rmdir()
    (source / "operators").write_text("a file now")
    plugins.mirror(source, target)
    assert (target / "operators").read_text() == "a file now"
    plugins.mirror(tmp_path / "missing", target)
    assert list(target.iterdir()) == []


def test_mirror_never_writes_into_the_workspace(tmp_path: Path) -> None:
    source, target = tmp_path / "plugins", tmp_path / "home" / "plugins"
    source.mkdir()
    (source / "a.py").write_text("mine")
    plugins.mirror(source, target)
    (target / "a.py").chmod(0o755)
    (target / "a.py").write_text("theirs")
    assert (source / "a.py").read_text() == "mine"
    assert not (source / "a.py").stat().st_mode & 0o111


def refusing(monkeypatch: pytest.MonkeyPatch, number: int, place: Path) -> None:
    """Have the system refuse to rename a place, as it does with a mount point."""
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == place or target == place:
            raise OSError(number, os.strerror(number), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_a_mount_point_stays_and_its_content_is_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """In a container the folder is a volume."""
    packed = archive(tmp_path / "plugins.zip", {"new/a.py": b"1", "b.py": b"2"})
    place = tmp_path / "plugins"
    (place / "old").mkdir(parents=True)
    (place / "old" / "c.py").touch()
    (place / "b.py").write_text("old")
    (place / "link").symlink_to(tmp_path)
    before = place.stat().st_ino
    refusing(monkeypatch, number, place)
    assert plugins.unpack(packed, place, cap_bytes=1000) == 2
    assert place.stat().st_ino == before
    assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*")) == ["b.py", "new", "new/a.py"]
    assert (place / "b.py").read_text() == "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plugins", "plugins.zip"]


def test_any_other_refusal_leaves_the_old_tree_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive(tmp_path / "plugins.zip", {"a.py": b"1"})
    place = tmp_path / "plugins"
    place.mkdir()
    (place / "old.py").touch()
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if ".new." in path.name:
            raise OSError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(WorkflowFileError, match="cannot be unpacked"):
        plugins.unpack(packed, place, cap_bytes=1000)
    assert [path.name for path in place.iterdir()] == ["old.py"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plugins", "plugins.zip"]


def test_a_link_in_place_of_the_folder_gives_way_and_what_it_led_to_stays(tmp_path: Path) -> None:
    packed = archive(tmp_path / "plugins.zip", {"a.py": b"1"})
    users = tmp_path / "users"
    users.mkdir()
    (users / "own.py").touch()
    (tmp_path / "plugins").symlink_to(users)
    plugins.unpack(packed, tmp_path / "plugins", cap_bytes=1000)
    assert not (tmp_path / "plugins").is_symlink()
    assert [path.name for path in (tmp_path / "plugins").iterdir()] == ["a.py"]
    assert [path.name for path in users.iterdir()] == ["own.py"]


def test_the_cap_is_the_most_that_may_be_unpacked(tmp_path: Path) -> None:
    packed = archive(tmp_path / "plugins.zip", {"a": b"x" * 60, "b": b"x" * 40})
    assert plugins.unpack(packed, tmp_path / "plugins", cap_bytes=100) == 2
    with pytest.raises(WorkflowFileError, match="passes the cap of 99 bytes"):
        plugins.unpack(packed, tmp_path / "plugins", cap_bytes=99)


def test_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive(tmp_path / "plugins.zip", {"a": b"x"})
    for number, hint in ((errno.ENOSPC, "free disk space and try again"), (errno.EIO, "see the cause")):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", lambda *_, number=number: (_ for _ in ()).throw(OSError(number, "no")))
            with pytest.raises(WorkflowFileError) as caught:
                plugins.unpack(packed, tmp_path / "plugins", cap_bytes=1000)
        assert caught.value.hint == hint


def test_modes_that_would_lock_the_owner_out_of_a_folder_are_mended(tmp_path: Path) -> None:
    packed = tmp_path / "plugins.zip"
    with zipfile.ZipFile(packed, "w") as opened:
        for name, mode in (("shut/", 0o40000), ("odd/", 0o40011), ("plain.py", 0o100000), ("shut/read.py", 0o100444)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            opened.writestr(entry, "")
    plugins.unpack(packed, tmp_path / "plugins", cap_bytes=1000)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "plugins").rglob("*")}
    assert modes == {"shut": 0o755, "odd": 0o711, "plain.py": 0o644, "read.py": 0o444}


def test_a_mirrors_links_kinds_and_leftovers(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "a.py").write_text("1")
    (source / "plugins.zip").touch()
    (source / "sub" / "plugins.zip").touch()
    (source / "__pycache__").mkdir()
    (source / "near").symlink_to("sub/a.py")
    (source / "sub" / "far").symlink_to("../../outside")
    (source / "abs").symlink_to("/etc/hosts")
    target.write_text("a file")
    assert plugins.mirror(source, target) == 5
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*")) == [
        "abs", "near", "sub", "sub/a.py", "sub/far", "sub/plugins.zip",
    ]  # fmt: skip
    links = {name: str((target / name).readlink()) for name in ("near", "abs", "sub/far")}
    assert links == {"near": "sub/a.py", "abs": "/etc/hosts", "sub/far": str((tmp_path / "outside").resolve())}
    assert plugins.mirror(source, target) == 1, "the link that was led elsewhere is looked at again"
    (source / "near").unlink()
    (source / "near").write_text("now a file")
    (source / "sub" / "a.py").chmod(0o755)
    (target / "__pycache__").mkdir()
    (target / "stray").mkdir()
    assert plugins.mirror(source, target) == 4
    assert not (target / "near").is_symlink() and (target / "near").read_text() == "now a file"
    assert (target / "sub" / "a.py").stat().st_mode & 0o777 == 0o755
    assert (target / "__pycache__").is_dir() and not (target / "stray").exists()
    assert plugins.mirror(tmp_path / "gone", target) == 3
    assert [path.name for path in target.iterdir()] == ["__pycache__"]
