"""The DAG folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mwaa_local.preflight.readings import ignore
from mwaa_local.preflight.readings.python import PythonFile
from mwaa_local.preflight.readings.text import TextFile

_MAX_FILES = 50_000


def might_hold_dag(data: bytes) -> bool:
    """Airflow's safe mode: a file is parsed when its text holds ``airflow`` and ``dag`` (or ``asset``), in any case."""
    text = data.lower()
    return b"airflow" in text and (b"dag" in text or b"asset" in text)


@dataclass(frozen=True)
class Dags:
    """The DAG folder, which may not exist.

    Attributes:
        syntax: How ``.airflowignore`` is read.
        only: When given, the files to look at; the folder is still the module path of all.
    """

    path: Path
    syntax: str
    only: frozenset[Path] | None = None

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """All files, ignored or not, junk folders left out."""
        return tuple(self._all())

    def _all(self) -> Iterator[Path]:
        count = 0
        for folder, names, files in os.walk(self.path):
            names[:] = sorted(name for name in names if name not in ("__pycache__", ".git", ".venv"))
            for name in sorted(files):
                path = Path(folder) / name
                if self.only is None or path in self.only:
                    yield path
                count += 1
                if count >= _MAX_FILES:
                    return

    @cached_property
    def looked_at(self) -> frozenset[Path]:
        """Files that no ``.airflowignore`` hides."""
        return frozenset(ignore.looked_at(self.path, self.syntax)) if self.path.is_dir() else frozenset()

    @cached_property
    def python(self) -> tuple[PythonFile, ...]:
        """Python files that no ``.airflowignore`` hides, parsed on demand."""
        found = []
        for path in self.files:
            if path.suffix == ".py" and path in self.looked_at:
                try:
                    found.append(PythonFile(TextFile.read(path)))
                except OSError:
                    continue
        return tuple(found)

    @cached_property
    def parsed(self) -> tuple[PythonFile, ...]:
        """The files that the DAG processor imports."""
        return tuple(file for file in self.python if might_hold_dag(file.source.data))

    @cached_property
    def by_path(self) -> dict[Path, PythonFile]:
        """The Python files by path."""
        return {file.path: file for file in self.python}
