"""Files that Airflow passes over in safe mode and that may make DAGs all the same: loaders behind a factory.

Nothing is imported here. What is named is worth an import: a file that takes something from a package, or from a module
of the project that itself looks like one that makes DAGs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mwaa_local.preflight.readings.python import PythonFile
from mwaa_local.preflight.readings.safe_mode import missing_words
from mwaa_local.preflight.readings.text import TextFile

if TYPE_CHECKING:
    from mwaa_local.preflight.readings.dags import Dags

# Packages whose calls at the top of a file make DAGs; of some only certain names do.
GENERATORS: dict[str, tuple[str, ...]] = {
    "dagfactory": (),
    "gusty": (),
    "viewflow": (),
    "dagen": (),
    "airflow_declarative": (),
    "cosmos": ("DbtDag",),
}
_MOST = 200
_NOT_DAGS = frozenset({"__init__.py", "airflow_local_settings.py"})


@dataclass(frozen=True)
class Silent:
    """A file that is passed over.

    Attributes:
        modules: Top names of packages it imports, one of which may make DAGs; empty when a module of the project does.
    """

    path: Path
    modules: tuple[str, ...]


def generator_line(file: PythonFile) -> int:
    """The line where a known generator of DAGs is called while the file is imported; 0 for none."""
    for call in file.calls:
        package, _, rest = call.name.partition(".")
        if package in GENERATORS and (not GENERATORS[package] or rest.rpartition(".")[2] in GENERATORS[package]):
            return call.line
    return 0


def files(dags: Dags) -> tuple[Silent, ...]:
    """The files worth an import, some at most."""
    modules = _Modules(dags.path, tuple(dags.facts.dag_words))
    found = []
    for file in dags.python:
        if file.path.is_file() and dags.lacks(file) and file.path.name not in _NOT_DAGS:
            names = {item.name.split(".")[0] for item in file.imports} - set(sys.stdlib_module_names)
            if any(modules.make_dags(item.name) for item in file.imports):
                found.append(Silent(file.path, ()))
            elif strangers := tuple(sorted(name for name in names if not modules.own(name))):
                found.append(Silent(file.path, strangers))
    return tuple(found[:_MOST])


@dataclass
class _Modules:
    """Modules of the project, by the names they are imported by from the DAG folder."""

    root: Path
    words: tuple[str, ...]
    known: dict[Path, bool] = field(default_factory=dict)

    def own(self, name: str) -> bool:
        return (self.root / name).is_dir() or (self.root / f"{name}.py").is_file()

    def make_dags(self, name: str) -> bool:
        """Whether a module, or one that it imports, looks like one that makes DAGs."""
        path = self._file(name)
        if path is None:
            return False
        if path not in self.known:
            self.known[path] = False  # while it is looked at: modules may import each other
            self.known[path] = self._looks(path)
        return self.known[path]

    def _looks(self, path: Path) -> bool:
        try:
            file = PythonFile(TextFile.read(path))
        except OSError:
            return False
        return (
            not missing_words(file.source.data, self.words)
            or any(item.name.split(".")[0] in GENERATORS for item in file.imports)
            or any(self.make_dags(item.name) for item in file.imports)
        )

    def _file(self, name: str) -> Path | None:
        """The file of a module, or of the one that has a name: ``a.b`` is ``a/b.py``, ``a/b/__init__.py``, ``a.py``."""
        parts = name.split(".")
        while parts:
            for candidate in (self.root.joinpath(*parts).with_suffix(".py"), self.root.joinpath(*parts, "__init__.py")):
                if candidate.is_file():
                    return candidate
            parts.pop()
        return None
