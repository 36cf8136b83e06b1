"""What there is beside a file that fails: modules of the project, installed packages and where their modules are."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.utils import canonicalize_name

from mwaa_local import catalog

_SKIPPED = frozenset({"__pycache__", ".git", ".venv", "venv", "node_modules", ".mwaa"})
_MAX_FILES = 20_000


@dataclass(frozen=True)
class Distribution:
    """An installed package."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Facts:
    """What advice is decided from.

    Attributes:
        airflow: Airflow's version.
        python: Python's version, ``3.12``.
        project: The project's folder.
        dags: The DAG folder.
        plugins: The plugins folder.
        site_packages: Where packages are installed; ``None`` where that is not known.
    """

    airflow: str
    python: str
    project: Path
    dags: Path
    plugins: Path
    site_packages: Path | None = None

    def has(self, trait: str) -> bool:
        """Whether something is true of the version, by the catalog's names."""
        return catalog.has(self.airflow, trait)

    @cached_property
    def distributions(self) -> dict[str, Distribution]:
        """Installed packages by canonical name."""
        found = {}
        for folder in self.site_packages.glob("*.dist-info") if self.site_packages else ():
            name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
            if name:
                found[str(canonicalize_name(name))] = Distribution(str(canonicalize_name(name)), version)
        return found

    def owner(self, path: Path) -> Distribution | None:
        """The package that installed a file; ``None`` for a file of the project, of Python, or of nobody."""
        if self.site_packages is None:
            return None
        try:
            wanted = Path(os.path.abspath(path)).relative_to(self.site_packages).as_posix()  # noqa: PTH100 - keeps links
        except ValueError:
            return None
        for folder in self.site_packages.glob("*.dist-info"):
            try:
                record = (folder / "RECORD").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if f"\n{wanted}," in f"\n{record}":
                name = str(canonicalize_name(folder.name.removesuffix(".dist-info").rpartition("-")[0]))
                return self.distributions.get(name)
        return None

    def installed(self, module: str) -> Path | None:
        """The file or folder of an installed module."""
        return _module(self.site_packages, module) if self.site_packages else None

    def own(self, module: str) -> Path | None:
        """The file or folder of a module on the project's module path: the DAG folder, the plugins folder."""
        return next((found for root in (self.dags, self.plugins) if (found := _module(root, module))), None)

    def elsewhere(self, module: str) -> Path | None:
        """A module of the project that is not on the module path as it is named: deeper, or beside the folders."""
        tail = module.replace(".", "/")
        for root in (self.dags, self.plugins, self.project):
            for folder in _folders(root):
                if (found := _module(folder, tail.replace("/", "."))) and folder not in (self.dags, self.plugins):
                    return found
        return None

    def defining(self, names: list[str], under: str) -> list[str]:
        """Installed modules under a module that define any of some classes or functions, nearest the top first."""
        root = self.installed(under)
        if root is None or not names or self.site_packages is None:
            return []
        words = "|".join(re.escape(name) for name in names)
        pattern = re.compile(rf"^(?:class|def) (?:{words})\b|^(?:{words})\s*[:=]", re.MULTILINE)
        files = [root] if root.is_file() else sorted(root.rglob("*.py"))
        found = []
        for path in files:
            try:
                if pattern.search(path.read_text(encoding="utf-8", errors="replace")):
                    found.append(_dotted(path.relative_to(self.site_packages)))
            except OSError:
                continue
        return sorted(found, key=lambda name: ("_internal" in name or "._" in name, name.count("."), name))

    def modules(self, under: str) -> list[str]:
        """Installed modules under a module."""
        root = self.installed(under)
        if root is None or root.is_file() or self.site_packages is None:
            return []
        return sorted(_dotted(path.relative_to(self.site_packages)) for path in root.rglob("*.py"))

    def names_of(self, module: str) -> list[str]:
        """Names that an installed module or one of the project defines at its top."""
        found = self.own(module) or self.installed(module)
        path = found / "__init__.py" if found is not None and found.is_dir() else found
        if path is None:
            return []
        try:
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        except (OSError, SyntaxError, ValueError):
            return []
        return [
            name
            for node in tree.body
            for name in (
                [node.name]
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                else [item.id for item in node.targets if isinstance(item, ast.Name)]
                if isinstance(node, ast.Assign)
                else []
            )
        ]

    def shown(self, path: Path) -> str:
        """A path as the user knows it."""
        for root in (self.project, self.site_packages):
            if root is not None and path.is_relative_to(root):
                return path.relative_to(root).as_posix()
        return str(path)

    @cached_property
    def plugin_names(self) -> dict[str, str]:
        """Names of Airflow plugins in the plugins folder, with their modules."""
        found = {}
        for path in _files(self.plugins):
            if path.suffix == ".py":
                try:
                    text = path.read_text(encoding="utf-8", errors="replace")
                except OSError:
                    continue
                if "AirflowPlugin" in text:
                    module = _dotted(path.relative_to(self.plugins))
                    found.update(
                        dict.fromkeys(re.findall(r"^\s+name\s*=\s*['\"](\w+)['\"]", text, re.MULTILINE), module)
                    )
        return found


def imported_names(file: Path | None, line: int) -> list[str]:
    """Names that the ``from … import`` statement at a line asks for."""
    if file is None or not line:
        return []
    try:
        tree = ast.parse(file.read_text(encoding="utf-8", errors="replace"))
    except (OSError, SyntaxError, ValueError):
        return []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.lineno <= line <= (node.end_lineno or node.lineno):
            return [item.name for item in node.names if item.name != "*"]
    return []


def imported_modules(file: Path | None, line: int) -> list[str]:
    """Dotted names that the import statement at a line asks for, longest first: Python names only what it missed."""
    if file is None or not line:
        return []
    try:
        tree = ast.parse(file.read_text(encoding="utf-8", errors="replace"))
    except (OSError, SyntaxError, ValueError):
        return []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            if isinstance(node, ast.Import):
                return [item.name for item in node.names]
            base = node.module or ""
            return [*(f"{base}.{item.name}" for item in node.names if item.name != "*"), base]
    return []


def _module(root: Path, module: str) -> Path | None:
    if not module:
        return None
    place = root.joinpath(*module.split("."))
    for candidate in (place.with_name(f"{place.name}.py"), place):
        # A folder without __init__.py is a namespace package; an empty one is nothing.
        if candidate.is_file() if candidate.suffix == ".py" else candidate.is_dir() and _has_code(candidate):
            return candidate
    return None


def _has_code(folder: Path) -> bool:
    return any(path.suffix in (".py", ".so") or path.is_dir() for path in folder.iterdir())


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _folders(root: Path) -> Iterator[Path]:
    for count, (folder, names, _) in enumerate(os.walk(root)):
        names[:] = sorted(name for name in names if name not in _SKIPPED)
        yield Path(folder)
        if count > _MAX_FILES // 20:
            return


def _files(root: Path) -> Iterator[Path]:
    for folder in _folders(root):
        yield from sorted(path for path in folder.iterdir() if path.is_file())
