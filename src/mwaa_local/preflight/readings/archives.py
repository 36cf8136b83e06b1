"""Zip archives in the DAG folder: DAG archives to Airflow, whose Python files at the top are DAG files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mwaa_local.model.plugins import ARCHIVE_FAULTS
from mwaa_local.preflight.readings.python import PythonFile
from mwaa_local.preflight.readings.text import MAX_BYTES, TextFile

_MOST = 2_000


@dataclass(frozen=True)
class Archive:
    """One archive.

    Attributes:
        path: Where it lies.
        python: The Python files at its top; their path is the archive's with their name behind it.
        deeper: Names of Python files in its folders: they can be imported, and are no DAG files.
        compiled: Names of compiled modules at its top, which only an import can look into.
        unreadable: Why a member could not be read; empty when all could.
    """

    path: Path
    python: tuple[PythonFile, ...]
    deeper: tuple[str, ...]
    compiled: tuple[str, ...]
    unreadable: str = ""


def read(path: Path) -> Archive | None:
    """An archive; ``None`` for a file that is none."""
    if not zipfile.is_zipfile(path):
        return None
    python: list[PythonFile] = []
    names: list[str] = []
    try:
        with zipfile.ZipFile(path) as opened:
            names = [item.filename for item in opened.infolist()[:_MOST]]
            for name in _top(names, ".py"):
                with opened.open(name) as member:
                    python.append(PythonFile(TextFile(path / name, member.read(MAX_BYTES))))
    except ARCHIVE_FAULTS as error:
        return Archive(path, tuple(python), (), (), str(error) or type(error).__name__)
    deeper = tuple(name for name in names if name.endswith(".py") and len(PurePosixPath(name).parts) > 1)
    return Archive(path, tuple(python), deeper, tuple(_top(names, ".pyc")))


def _top(names: list[str], suffix: str) -> Iterator[str]:
    for name in names:
        if PurePosixPath(name).suffix == suffix and len(PurePosixPath(name).parts) == 1:
            yield name


def member_text(path: Path) -> TextFile | None:
    """A file inside an archive by its path behind the archive's; ``None`` when there is none."""
    archive = next((parent for parent in path.parents if parent.is_file()), None)
    if archive is None:
        return None
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(path.relative_to(archive).as_posix()) as member:
            return TextFile(path, member.read(MAX_BYTES))
    except (*ARCHIVE_FAULTS, KeyError):
        return None
