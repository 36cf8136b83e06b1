"""Which of a project's plugins count: one rule for starting, checking, packaging and the docs.

MWAA takes one ``plugins.zip`` (spec/04 section 11.1); a project has the folder it is made from, the archive, or both.
"""

from __future__ import annotations

import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ARCHIVE_NAME = "plugins.zip"
FIELD = "Local.Paths.Plugins"
ARCHIVE_FAULTS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, RuntimeError,
    NotImplementedError, EOFError, ValueError,
)  # fmt: skip
"""What reading a damaged archive may raise: its own errors, those of each way to pack, and names that are no text."""
# What keeps a folder in Git, what the system leaves there, and what people write about it: nothing to run or import.
_NO_CONTENT_FOLDERS = frozenset({"__pycache__", "__MACOSX"})
_NO_CONTENT = re.compile(
    r"\..*|(README|LICENSE|NOTICE|CHANGELOG)(\..*)?|.*\.(pyc|md|rst|swp)|.*~|Thumbs\.db", re.IGNORECASE
)


@dataclass(frozen=True)
class PluginsSource:
    """The plugins that count.

    Attributes:
        path: A folder, or an archive whatever its name; need not exist.
        passed_over: Other sources that are there and do not count.
        named: Whether the definition named it, so that nobody needs to be told of the others.
    """

    path: Path
    passed_over: tuple[Path, ...] = ()
    named: bool = False

    def choice(self, project: Path) -> str:
        """A sentence about a choice the tool made for the user; empty where there was none to make."""
        if self.named or not self.passed_over:
            return ""
        names = [_name(path, project) for path in (self.path, *self.passed_over)]
        verb = "are" if len(names) > 2 else "is"
        return (
            f"plugins come from {names[0]}; {' and '.join(names[1:])} {verb} not used (remove what is not meant, or "
            f"name the one that is in {FIELD})"
        )


def find(project: Path, given: str, *, named: bool) -> PluginsSource:
    """The plugins of a project.

    A path that the definition names is it; of a named folder that holds nothing but an archive, the archive. Else the
    folder where something lies in it that can be run or imported (it is what people edit, and what ``package`` makes
    the archive of), else a ``plugins.zip`` of the project's root, else one in the folder.

    Args:
        project: Absolute.
        given: ``Local.Paths.Plugins``, or its default.
        named: Whether somebody gave it.
    """
    folder = project / given
    if folder.is_file():
        return PluginsSource(folder, named=named)
    order = (folder, project) if named else (project, folder)
    there = tuple(dict.fromkeys(place / ARCHIVE_NAME for place in order if (place / ARCHIVE_NAME).is_file()))
    inside = folder / ARCHIVE_NAME in there
    if not there or holds_something(folder) or (named and not inside):
        return PluginsSource(folder, there, named)
    return PluginsSource(there[0], there[1:], named)


def holds_something(folder: Path) -> bool:
    """Whether something lies in a plugins folder that an environment could use; its own archive does not count."""
    return next(_content(folder), None) is not None


def _content(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        for name in files:
            path = Path(place, name)
            if not _NO_CONTENT.fullmatch(name) and path != folder / ARCHIVE_NAME:
                yield path
        for name in folders:
            if Path(place, name).is_symlink():  # not walked into, and somebody's own arrangement
                yield Path(place, name)
        folders[:] = [name for name in folders if name not in _NO_CONTENT_FOLDERS and not name.startswith(".")]


def _name(path: Path, project: Path) -> str:
    shown = path.relative_to(project) if path.is_relative_to(project) else path
    return f"the folder {shown}/" if path.is_dir() else str(shown)
