"""The folder of package sets: locks, partial folders, clones, links and clearing up.

A set is built in ``.partial-<key>-<random>`` beside its place and renamed when it is whole, so that nothing half done
can ever be used. Whoever builds holds a lock per key; the lock is inherited by the installer, so that an orphan of a
killed parent keeps others out until it ends too.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mwaa_local.ground.locks import try_lock
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.fetch import write_atomically

MANIFEST = "mwaa-set.json"
_STAMP = ".last-used"
_PARTIAL = ".partial-"
_POLL_S = 0.05


@dataclass(frozen=True)
class Store:
    """The folder ``package-sets`` of a cache."""

    root: Path

    def place(self, key: str) -> Path:
        """Where the set with this key is or will be."""
        return self.root / key

    def manifest(self, key: str) -> dict[str, Any] | None:
        """The manifest of a whole set, or ``None``."""
        return manifest(self.place(key))

    def all(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Every whole set with its manifest."""
        for place in sorted(self.root.iterdir()):
            if not place.name.startswith(".") and (content := manifest(place)) is not None:
                yield place, content

    @contextlib.contextmanager
    def lock(self, key: str, timeout_s: float) -> Iterator[int]:
        """Hold the lock of a key; yields its descriptor, to hand to the installer.

        Args:
            key: The set.
            timeout_s: How long to wait for another builder, in seconds.

        Raises:
            UnmetRequirementsError: another process still builds it when the time is over.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / f".{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            deadline = time.monotonic() + timeout_s
            while not try_lock(descriptor):
                if time.monotonic() >= deadline:
                    raise UnmetRequirementsError(
                        "Another process is still installing the same package set",
                        kind="time",
                        where=str(self.place(key)),
                        why=f"its lock was not free within {timeout_s:.0f} s",
                        hint="run the command again when it has ended",
                    )
                time.sleep(_POLL_S)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def partial(self, key: str) -> Iterator[Path]:
        """An empty folder to build in; gone afterwards unless it was published. Needs the lock of the key."""
        self.clear_partials(key)
        folder = self.root / f"{_PARTIAL}{key}-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o755)
        try:
            yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder, ignore_errors=True)

    def publish(self, folder: Path, key: str, content: dict[str, Any]) -> Path:
        """Write the manifest and rename a partial folder to its place.

        Raises:
            OSError: the disk is full, for example; the set is then not there.
        """
        place = self.place(key)
        write_manifest(folder, content)
        if place.exists():  # without a readable manifest: a folder somebody damaged
            shutil.rmtree(place)
        folder.rename(place)
        touch(place)
        return place

    def clear_partials(self, key: str) -> None:
        """Remove what dead builders of this key left."""
        for folder in self.root.glob(f"{_PARTIAL}{key}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def register(self, link: Path) -> None:
        """Remember a link into the store, so that clearing up keeps what it points at."""
        folder = self.root / ".links"
        with contextlib.suppress(OSError):  # a read-only store clears nothing up either
            write_atomically(folder / hashlib.sha256(str(link).encode()).hexdigest()[:16], str(link))

    def linked(self) -> set[str]:
        """Keys of sets that a registered link still points at; registrations of vanished links are dropped."""
        keys = set()
        for note in (self.root / ".links").glob("*"):
            link = Path(note.read_text(encoding="utf-8"))
            target = link.resolve() if link.is_symlink() else None
            if target is not None and target.parent == self.root.resolve():
                keys.add(target.name)
            elif target is None:
                note.unlink(missing_ok=True)
        return keys

    def prune(self, keep: Collection[str] = (), *, older_than_s: float = 0.0) -> list[str]:
        """Remove sets nobody needs, and everything unfinished that nobody builds.

        Args:
            keep: Keys to keep whatever their age. Linked sets and the base of a kept set are kept too.
            older_than_s: Only sets not used for this many seconds.

        Returns:
            The removed keys.
        """
        if not self.root.is_dir():
            return []
        kept = set(keep) | self.linked()
        for key in list(kept):
            if (content := self.manifest(key)) and content.get("base"):
                kept.add(str(content["base"]))
        removed = []
        for folder in sorted(self.root.iterdir()):
            partial = folder.name.startswith(_PARTIAL)
            if not folder.is_dir() or (folder.name.startswith(".") and not partial):
                continue
            key = folder.name.removeprefix(_PARTIAL).rpartition("-")[0] if partial else folder.name
            if not partial and (key in kept or time.time() - last_used(folder) < older_than_s):
                continue
            with contextlib.suppress(UnmetRequirementsError), self.lock(key, 0.0):
                # Renamed first: a set is never seen with half of its files.
                gone = folder if partial else folder.rename(self.root / f"{_PARTIAL}{key}-{secrets.token_hex(4)}")
                shutil.rmtree(gone, ignore_errors=True)
                if not partial:
                    removed.append(key)
        return removed


def manifest(place: Path) -> dict[str, Any] | None:
    """The manifest in a folder, or ``None`` where there is no whole set."""
    try:
        content = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_manifest(place: Path, content: dict[str, Any]) -> None:
    """Declare a folder a whole set."""
    write_atomically(place / MANIFEST, json.dumps(content, indent=1, sort_keys=True) + "\n")


def touch(place: Path) -> None:
    """Note that a set was used now."""
    with contextlib.suppress(OSError):  # an image's own set cannot be written
        (place / _STAMP).touch()


def last_used(place: Path) -> float:
    """When a set was used last, seconds since the epoch."""
    for path in (place / _STAMP, place / MANIFEST, place):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def clone(source: Path, dest: Path) -> None:
    """Copy a set with hard links, or with contents where the file systems differ.

    Installers replace files and never write into them, so the links of one set do not change another's.

    Args:
        source: A set.
        dest: An existing empty folder.

    Raises:
        OSError: the disk is full, or a file cannot be read.
    """
    link = True

    def copy(src: str, dst: str) -> str:
        nonlocal link
        if link:
            try:
                os.link(src, dst, follow_symlinks=False)
                return dst
            except OSError as error:
                if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES}:
                    raise
                link = error.errno == errno.EMLINK
        return str(shutil.copy2(src, dst, follow_symlinks=False))

    def skip(folder: str, names: list[str]) -> set[str]:
        return {MANIFEST, _STAMP}.intersection(names) if Path(folder) == source else set()

    try:
        shutil.copytree(source, dest, symlinks=True, copy_function=copy, ignore=skip, dirs_exist_ok=True)
    except shutil.Error as error:
        # copytree collects; the first cause is what matters, and a full disk must be recognised as such.
        text = str(error.args[0][0][2]) if error.args and error.args[0] else str(error)
        full = "No space left" in text or "Errno 28" in text
        raise OSError(errno.ENOSPC if full else errno.EIO, text) from error


def swap_link(link: Path, target: Path) -> bool:
    """Make a symbolic link point at a target, in one step; returns whether anything changed.

    Raises:
        OSError: a folder with content is in the way, or the place cannot be written.
    """
    if link.is_symlink() and link.readlink() == target:
        return False
    if link.is_dir() and not link.is_symlink():
        link.rmdir()  # an empty one only
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f"{link.name}.{secrets.token_hex(4)}")
    fresh.symlink_to(target)
    try:
        fresh.replace(link)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    return True
