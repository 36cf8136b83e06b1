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


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_a_plugins_folder_that_is_a_mount_point_stays_and_its_content_is_exchanged(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume cannot be renamed; only a container meets that, so the refusal is the system's words given here."""
    target = unpack(tmp_path, {"old.py": b"", "gone/x.py": b""})
    place = target.stat().st_ino
    rename = Path.rename

    def refusing(self: Path, to: Path) -> Path:
        if self == target:
            raise OSError(number, os.strerror(number))
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refusing)
    unpack(tmp_path, {"new.py": b"N = 1\n", "kept/x.py": b""})
    assert target.stat().st_ino == place
    assert sorted(path.name for path in target.iterdir()) == ["kept", "new.py"]
    assert (target / "new.py").read_text() == "N = 1\n"
    assert [path.name for path in target.parent.iterdir()] == ["plugins"]


def test_another_failure_of_the_exchange_keeps_the_old_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = unpack(tmp_path, {"old.py": b""})
    rename = Path.rename

    def refusing(self: Path, to: Path) -> Path:
        if to == target and ".old." not in self.name:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(WorkflowFileError, match="Input/output"):
        unpack(tmp_path, {"new.py": b""})
    assert [path.name for path in target.iterdir()] == ["old.py"]


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
