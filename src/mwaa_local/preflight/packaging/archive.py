"""``plugins.zip``: the same bytes from the same content, whatever machine or day it is made on."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.errors import WorkflowFileError
from mwaa_local.model.plugins import ARCHIVE_FAULTS, ARCHIVE_NAME
from mwaa_local.preflight.readings.plugins import is_junk, way_out

# The earliest time a zip can hold; a real one would make each archive another.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_REGULAR = 0o100000
_SKIPPED = frozenset({".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


@dataclass(frozen=True)
class Entry:
    """One file of the archive.

    Attributes:
        name: Its path inside, with slashes.
        data: Its bytes.
        executable: Whether it keeps its execute bits: 0755 instead of 0644.
    """

    name: str
    data: bytes
    executable: bool = False


def entries(plugins: Path) -> list[Entry]:
    """What belongs into the archive, from a plugins folder or from a ``plugins.zip`` that is made anew.

    An archive made earlier that lies in the folder does not belong into the next one.

    Raises:
        WorkflowFileError: an archive cannot be read, or a link or a name leads out of the folder.
    """
    if plugins.is_file():
        return _from_archive(plugins)
    found: list[Entry] = []
    root = plugins.resolve()
    for folder, folders, names in os.walk(plugins):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            path = Path(folder) / name
            inside = path.relative_to(plugins).as_posix()
            if is_junk(inside) or inside == ARCHIVE_NAME or not path.is_file():
                continue
            if not path.resolve().is_relative_to(root):
                raise WorkflowFileError(
                    f"{inside} is a link out of the plugins folder", where=str(path),
                    why=f"it leads to {path.resolve()}",
                    hint="copy the file into the folder",
                )  # fmt: skip
            found.append(Entry(inside, path.read_bytes(), bool(path.stat().st_mode & 0o111)))
    return found


def _from_archive(path: Path) -> list[Entry]:
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                if not item.is_dir() and not is_junk(item.filename):
                    if out := way_out(item.filename):
                        raise WorkflowFileError(
                            f"{item.filename} is {out}, out of the plugins folder", where=str(path),
                            hint="make the archive from inside the folder",
                        )  # fmt: skip
                    found.append(Entry(item.filename, archive.read(item), bool((item.external_attr >> 16) & 0o111)))
    except ARCHIVE_FAULTS as error:
        raise WorkflowFileError("plugins.zip cannot be read", where=str(path), why=str(error)) from error
    return found


def write(path: Path, content: Iterable[Entry]) -> str:
    """Write the archive in one step: sorted names, one time for all, modes reduced to "executable or not".

    Args:
        path: The archive.
        content: Its files.

    Returns:
        The SHA-256 of the archive.

    Raises:
        WorkflowFileError: two files have one name.
        OSError: it cannot be written.
    """
    by_name: dict[str, Entry] = {}
    for entry in content:
        if entry.name in by_name and by_name[entry.name].data != entry.data:
            raise WorkflowFileError(
                f"two different files want to be {entry.name} in {path.name}", hint="rename one of them"
            )
        by_name[entry.name] = entry
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.partial")
    try:
        with zipfile.ZipFile(part, "w") as archive:
            for name in sorted(by_name):
                entry = by_name[name]
                info = zipfile.ZipInfo(name, _EPOCH)
                info.create_system = _UNIX
                info.external_attr = (_REGULAR | (0o755 if entry.executable else 0o644)) << 16
                # A wheel is compressed already.
                info.compress_type = zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_DEFLATED
                archive.writestr(info, entry.data, compresslevel=9)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unpack(path: Path, folder: Path) -> None:
    """Unpack an archive this module wrote."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)


def sizes(content: Iterable[Entry]) -> Mapping[str, int]:
    """Bytes by name."""
    return {entry.name: len(entry.data) for entry in content}
