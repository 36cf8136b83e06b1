"""The plugins: a folder, or ``plugins.zip``, as one list of entries."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from mwaa_local.model.plugins import ARCHIVE_FAULTS, ARCHIVE_NAME
from mwaa_local.preflight.readings.python import PythonFile
from mwaa_local.preflight.readings.text import MAX_BYTES, TextFile

# Names that archive makers and tools leave behind.
JUNK_FOLDERS = frozenset(
    {"__MACOSX", ".git", ".idea", ".vscode", ".mypy_cache", ".pytest_cache", ".venv", "node_modules"}
)
JUNK_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_MAX_ENTRIES = 50_000


@dataclass(frozen=True)
class PluginEntry:
    """One file of the plugins.

    Attributes:
        name: As the archive or the folder has it, with ``/``; a hostile archive may hold anything here.
        size: Unpacked, in bytes.
        mode: Unix mode bits; ``None`` where the archive holds none (made on Windows).
        link: Where a symbolic link points, else empty.
        path: What a finding names: the file in the folder, or the archive.
    """

    name: str
    size: int
    mode: int | None
    folder: bool
    link: str
    path: Path
    read: Callable[[int], bytes] = field(repr=False, compare=False)

    @property
    def base(self) -> str:
        """The last part of the name."""
        return PurePosixPath(self.name.replace("\\", "/")).name

    @property
    def executable(self) -> bool:
        """Whether anybody may run it."""
        return self.mode is not None and bool(self.mode & 0o111)


@dataclass(frozen=True)
class Plugins:
    """What goes into ``/usr/local/airflow/plugins``.

    Attributes:
        path: The folder or the archive.
        archive: Whether it is ``plugins.zip``.
        error: Why the archive cannot be read, else empty.
    """

    path: Path
    archive: bool
    entries: tuple[PluginEntry, ...]
    compressed_bytes: int
    error: str = ""

    @property
    def files(self) -> tuple[PluginEntry, ...]:
        """Entries that are files."""
        return tuple(entry for entry in self.entries if not entry.folder and not entry.link)

    @property
    def unpacked_bytes(self) -> int:
        """Size after unpacking."""
        return sum(entry.size for entry in self.entries)

    @cached_property
    def python(self) -> tuple[tuple[PluginEntry, PythonFile], ...]:
        """Python files outside of folders that nobody wrote, parsed."""
        return tuple(
            (entry, PythonFile(TextFile(self.place(entry), entry.read(MAX_BYTES))))
            for entry in self.files
            if entry.name.endswith(".py") and not is_junk(entry.name)
        )

    def place(self, entry: PluginEntry) -> Path:
        """A path for findings: in an archive ``plugins.zip/name``."""
        return self.path / entry.name if self.archive else entry.path


def is_junk(name: str) -> bool:
    """Whether a name belongs to what tools leave behind."""
    parts = name.replace("\\", "/").split("/")
    return (
        bool(JUNK_FOLDERS.intersection(parts))
        or parts[-1] in JUNK_FILES
        or "__pycache__" in parts
        or name.endswith(".pyc")
    )


def way_out(name: str) -> str:
    """How the name of an entry leaves the folder it is unpacked to, on whatever system; empty where it does not."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or re.match(r"[A-Za-z]:", plain):
        return "an absolute path"
    return "a path that climbs out of the folder" if ".." in plain.split("/") else ""


def read_folder(path: Path) -> Plugins:
    """The plugins of a folder; an archive made of it that lies in it is not one of them."""
    return Plugins(path, False, tuple(entry for entry in _walk(path) if entry.name != ARCHIVE_NAME), 0)


def _walk(root: Path) -> Iterator[PluginEntry]:
    count = 0
    for folder, names, files in os.walk(root):
        names.sort()
        for name in sorted(names) + sorted(files):
            path = Path(folder) / name
            try:
                info = path.lstat()
            except OSError:
                continue
            link = str(path.readlink()) if stat.S_ISLNK(info.st_mode) else ""
            yield PluginEntry(
                name=path.relative_to(root).as_posix(),
                size=0 if stat.S_ISDIR(info.st_mode) else info.st_size,
                mode=stat.S_IMODE(info.st_mode),
                folder=stat.S_ISDIR(info.st_mode),
                link=link,
                path=path,
                read=_file_reader(path),
            )
            count += 1
            if count >= _MAX_ENTRIES:
                return
        names[:] = [name for name in names if not (Path(folder) / name).is_symlink()]


def _file_reader(path: Path) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        try:
            with path.open("rb") as stream:
                return stream.read(limit)
        except OSError:
            return b""

    return read


def read_archive(path: Path) -> Plugins:
    """The plugins of an archive; one that cannot be read has no entries and says why."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()[:_MAX_ENTRIES]
        size = path.stat().st_size
    except ARCHIVE_FAULTS as error:
        return Plugins(path, True, (), 0, str(error) or type(error).__name__)
    locked = next((info.filename for info in infos if info.flag_bits & 1), "")
    error_text = f"{locked} is encrypted" if locked else ""
    return Plugins(path, True, tuple(_zip_entry(path, info) for info in infos), size, error_text)


def _zip_entry(path: Path, info: zipfile.ZipInfo) -> PluginEntry:
    mode = info.external_attr >> 16
    is_link = stat.S_ISLNK(mode)
    return PluginEntry(
        name=info.orig_filename.split("\0")[0],
        size=info.file_size,
        mode=stat.S_IMODE(mode) if mode else None,
        folder=info.is_dir(),
        link=_member(path, info, 4096).decode("utf-8", "replace") if is_link else "",
        path=path,
        read=lambda limit: _member(path, info, limit),
    )


def _member(path: Path, info: zipfile.ZipInfo, limit: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as stream:
            return stream.read(limit)
    except ARCHIVE_FAULTS:
        return b""
