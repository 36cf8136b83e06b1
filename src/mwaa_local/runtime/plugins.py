"""``plugins.zip`` and the plugins folder: put in place before anything else starts (spec/04 section 11).

An archive is unpacked beside its destination and swapped in when it is whole, so that a bad one leaves the old tree.
No entry may lead out of the folder, and the unpacked size is counted while unpacking: headers may lie.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import zipfile
from pathlib import Path

from mwaa_local.errors import WorkflowFileError
from mwaa_local.model.plugins import ARCHIVE_FAULTS, ARCHIVE_NAME

_CHUNK_BYTES = 1 << 20
_MAX_ENTRIES = 500_000
_IGNORED_FOLDERS = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".pytest_cache"})


def unpack(archive: Path, destination: Path, *, cap_bytes: int) -> int:
    """Replace a folder's whole content by an archive's.

    Args:
        archive: ``plugins.zip``; an empty file counts as an archive without entries.
        destination: The plugins folder.
        cap_bytes: Most bytes that may be unpacked.

    Returns:
        How many entries were unpacked.

    Raises:
        WorkflowFileError: the archive cannot be read, is hostile or too large; the old folder is as it was.
    """
    partial = destination.with_name(f".{destination.name}.new.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        count = _Unpacking(archive, partial, cap_bytes).run()
        _swap(partial, destination)
        return count
    except ARCHIVE_FAULTS as error:
        if isinstance(error, OSError) and error.errno is not None:  # without a number it is bzip2's word for damage
            hint = "free disk space and try again" if error.errno == errno.ENOSPC else "see the cause"
            raise _refusal(archive, "the archive cannot be unpacked", str(error), hint) from error
        why = str(error) or type(error).__name__
        raise _refusal(archive, "the archive cannot be read", why, "make it anew: `mwaa-local package`") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def mirror(source: Path, destination: Path) -> int:
    """Make a folder the same as a workspace's plugins folder; only what changed is copied.

    Airflow and a startup script may write beside plugins (byte code, execute bits), which must not reach the user's
    own files. Links are kept as links. An archive made of the folder that lies in it stays where it is.

    Returns:
        How many files were copied or removed.

    Raises:
        WorkflowFileError: a file cannot be read or written.
    """
    try:
        return _mirror(source, destination, leave_out=ARCHIVE_NAME)
    except OSError as error:
        raise WorkflowFileError(
            "the plugins folder cannot be put in place", where=str(error.filename or source), why=str(error)
        ) from error


def _mirror(source: Path, destination: Path, *, leave_out: str = "") -> int:
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        destination.unlink()
    destination.mkdir(parents=True, exist_ok=True)
    there = os.scandir(source) if source.is_dir() else ()
    wanted = {entry.name: entry for entry in there if entry.name != leave_out}
    changed = 0
    for entry in list(os.scandir(destination)):
        if entry.name not in wanted and entry.name not in _IGNORED_FOLDERS:
            _remove(Path(entry.path))
            changed += 1
    for name, entry in wanted.items():
        target = destination / name
        if entry.is_symlink():
            changed += _mirror_link(Path(entry.path), target)
        elif entry.is_dir():
            if name not in _IGNORED_FOLDERS:
                changed += _mirror(Path(entry.path), target)
        elif entry.is_file() and not _same(entry.stat(), target):
            if target.is_symlink() or target.is_dir():
                _remove(target)
            shutil.copy2(entry.path, target)
            changed += 1
    return changed


def _mirror_link(link: Path, target: Path) -> int:
    words = link.readlink()
    if target.is_symlink() and target.readlink() == words:
        return 0
    if target.is_symlink() or target.exists():
        _remove(target)
    # A relative link out of the folder would point elsewhere from the copy.
    target.symlink_to(words if words.is_absolute() or ".." not in words.parts else link.resolve())
    return 1


def _same(status: os.stat_result, target: Path) -> bool:
    try:
        there = target.lstat()
    except OSError:
        return False
    return (
        stat.S_ISREG(there.st_mode)
        and (there.st_size, there.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
        and stat.S_IMODE(there.st_mode) == stat.S_IMODE(status.st_mode)
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


class _Unpacking:
    """One archive on its way into an empty folder."""

    def __init__(self, archive: Path, folder: Path, cap_bytes: int) -> None:
        self._archive = archive
        self._folder = folder
        self._cap = cap_bytes
        self._bytes = 0
        self._links: list[tuple[zipfile.ZipInfo, Path]] = []
        self._modes: list[tuple[Path, int]] = []

    def run(self) -> int:
        if self._archive.stat().st_size == 0:
            return 0
        with zipfile.ZipFile(self._archive) as opened:
            entries = opened.infolist()
            if len(entries) > _MAX_ENTRIES:
                raise self._refuse("", f"it has {len(entries)} entries, more than {_MAX_ENTRIES}")
            for entry in entries:
                self._entry(opened, entry)
            for entry, target in self._links:  # last, so that nothing is ever written through one
                self._link(opened, entry, target)
        root = self._folder.resolve()
        for entry, target in self._links:  # a chain of harmless links may still lead out
            if not target.resolve().is_relative_to(root):
                raise self._refuse(entry.filename, "the link leads out of the folder")
        for target, mode in reversed(self._modes):  # folders after what is in them
            target.chmod(mode)
        return len(entries)

    def _entry(self, opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        mode = entry.external_attr >> 16
        kind = stat.S_IFMT(mode)
        if entry.flag_bits & 0x1:
            raise self._refuse(entry.filename, "it is encrypted")
        target = self._target(entry.filename)
        if kind == stat.S_IFLNK:
            self._links.append((entry, target))
        elif entry.is_dir():
            self._make_folder(entry.filename, target)
            # The owner must be able to enter and replace the folder, whatever the archive says.
            self._modes.append((target, (mode & 0o777 or 0o755) | 0o700))
        elif kind in (0, stat.S_IFREG):
            self._make_folder(entry.filename, target.parent)
            self._file(opened, entry, target)
            self._modes.append((target, mode & 0o777 or 0o644))
        else:
            raise self._refuse(entry.filename, "it is a device, a pipe or a socket")

    def _target(self, name: str) -> Path:
        parts = name.replace("\\", "/").split("/")
        if not parts[0] or parts[0].endswith(":"):
            raise self._refuse(name, "it has an absolute path")
        if ".." in parts:
            raise self._refuse(name, "its path leads out of the folder (`..`)")
        return self._folder.joinpath(*(part for part in parts if part not in ("", ".")))

    def _make_folder(self, name: str, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise self._refuse(name, "its path runs through another entry that is a file") from None

    def _file(self, opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
        if target.is_dir():
            raise self._refuse(entry.filename, "a folder of the same name is in the archive")
        with opened.open(entry) as source, target.open("wb") as sink:
            while data := source.read(_CHUNK_BYTES):
                self._count(entry, len(data))
                sink.write(data)

    def _link(self, opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
        with opened.open(entry) as source:
            words = os.fsdecode(source.read(4096))
        inside = os.path.normpath(target.parent.joinpath(words))
        if not words or Path(words).is_absolute() or not Path(inside).is_relative_to(self._folder):
            raise self._refuse(entry.filename, f"the link leads out of the folder (to {words!r})")
        self._make_folder(entry.filename, target.parent)
        if target.is_symlink() or target.exists():
            raise self._refuse(entry.filename, "another entry has the same name")
        target.symlink_to(words)

    def _count(self, entry: zipfile.ZipInfo, size: int) -> None:
        self._bytes += size
        if self._bytes > self._cap:
            raise self._refuse(
                entry.filename,
                f"unpacking passes the cap of {self._cap} bytes here",
                "raise Local.MaxPluginsBytes, or keep large files in S3",
            )

    def _refuse(
        self, entry: str, why: str, hint: str = "make the archive from inside the plugins folder: `zip -r`"
    ) -> WorkflowFileError:
        return _refusal(self._archive, f"entry {entry!r} is refused" if entry else "the archive is refused", why, hint)


def _refusal(archive: Path, what: str, why: str, hint: str) -> WorkflowFileError:
    return WorkflowFileError(f"plugins.zip: {what}", where=str(archive), why=why, hint=hint)


def _swap(partial: Path, destination: Path) -> None:
    old = destination.with_name(f".{destination.name}.old.{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if destination.is_symlink():
            destination.unlink()
        elif destination.exists():
            destination.rename(old)
        partial.rename(destination)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV):
            if old.exists() and not destination.exists():
                old.rename(destination)
            raise
        # The folder is a mount point (a volume): it stays, its content is exchanged.
        for child in list(destination.iterdir()):
            _remove(child)
        for child in list(partial.iterdir()):
            shutil.move(str(child), destination / child.name)
    finally:
        with contextlib.suppress(OSError):
            if old.exists():
                shutil.rmtree(old)
