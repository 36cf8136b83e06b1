"""The DAG folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mwaa_local.catalog import default_version
from mwaa_local.catalog.parsing import Parsing, parsing
from mwaa_local.preflight.readings import archives, ignore, silent
from mwaa_local.preflight.readings.archives import Archive
from mwaa_local.preflight.readings.python import PythonFile
from mwaa_local.preflight.readings.safe_mode import missing_words
from mwaa_local.preflight.readings.silent import Silent
from mwaa_local.preflight.readings.text import TextFile

_MAX_FILES = 50_000


@dataclass(frozen=True)
class Dags:
    """The DAG folder, which may not exist.

    Attributes:
        syntax: How ``.airflowignore`` is read.
        only: When given, the files to look at; the folder is still the module path of all.
        facts: How the Airflow version parses.
        safe_mode: Whether files without certain words are passed over (``core.dag_discovery_safe_mode``).
    """

    path: Path
    syntax: str
    only: frozenset[Path] | None = None
    facts: Parsing = field(default_factory=lambda: parsing(default_version()))
    safe_mode: bool = True

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
        return (
            frozenset(ignore.looked_at(self.path, self.syntax, engine=self.facts.ignore_engine))
            if self.path.is_dir()
            else frozenset()
        )

    @cached_property
    def archives(self) -> tuple[Archive, ...]:
        """Zip archives that are DAG archives to Airflow, and that no ``.airflowignore`` hides."""
        suffixes = self.facts.archive_suffixes
        chosen = [
            path
            for path in self.files
            if path.suffix != ".py" and path in self.looked_at and (not suffixes or path.suffix.lower() in suffixes)
        ]
        return tuple(found for path in chosen if (found := archives.read(path)) is not None)

    @cached_property
    def python(self) -> tuple[PythonFile, ...]:
        """Python files that no ``.airflowignore`` hides, those at the top of archives too, parsed on demand."""
        found = [file for archive in self.archives for file in archive.python]
        for path in self.files:
            if path.suffix == ".py" and path in self.looked_at:
                try:
                    found.append(PythonFile(TextFile.read(path)))
                except OSError:
                    continue
        return tuple(found)

    @cached_property
    def parsed(self) -> tuple[PythonFile, ...]:
        """The files that the DAG processor imports; of archives those inside."""
        return tuple(file for file in self.python if not self.lacks(file))

    def lacks(self, file: PythonFile) -> tuple[str, ...]:
        """The words for want of which the DAG processor passes a file over."""
        return missing_words(file.source.data, self.facts.dag_words) if self.safe_mode else ()

    @cached_property
    def silent(self) -> tuple[Silent, ...]:
        """Files that are passed over and may make DAGs all the same."""
        return silent.files(self)

    @cached_property
    def imported(self) -> tuple[Path, ...]:
        """What is handed to an import: the parsed files, and archives as one."""
        own = {file.path for archive in self.archives for file in archive.python}
        return (
            *(file.path for file in self.parsed if file.path not in own),
            *(archive.path for archive in self.archives),
        )

    @cached_property
    def by_path(self) -> dict[Path, PythonFile]:
        """The Python files by path."""
        return {file.path: file for file in self.python}
