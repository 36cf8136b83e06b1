"""What a component is made from, as digests: so that ``up`` restarts only what would come out different."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mwaa_local.catalog import limits
from mwaa_local.ground import atomic
from mwaa_local.model import Environment
from mwaa_local.model.plugins import ARCHIVE_NAME

_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]+['\"]?([^'\"#]+?)['\"]?\s*(?:#.*)?$")
_NOISE = {"__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".ipynb_checkpoints", ".DS_Store"}

REQUIREMENTS, PLUGINS, STARTUP = "requirements.txt", "plugins", "startup script"


class Digests:
    """Content digests of files, remembered by size and time, so that a large unchanged file is read once.

    Args:
        memory: Where to remember; lost memory costs time only.
    """

    def __init__(self, memory: Path) -> None:
        self._path = memory
        self._known = atomic.read_json(memory) or {}
        self._seen: dict[str, list[object]] = {}

    def of(self, path: Path) -> str:
        """Digest of a file's content; empty for a file that cannot be read."""
        try:
            stat = path.stat()
            key = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
            known = self._known.get(str(path))
            if isinstance(known, list) and known[:3] == key:
                digest = str(known[3])
            else:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return ""
        self._seen[str(path)] = [*key, digest]
        return digest

    def save(self) -> None:
        """Remember what was read this time, and nothing else."""
        if self._seen != self._known:
            atomic.write_json(self._path, self._seen)


@dataclass(frozen=True)
class Revision:
    """One state of the workflow files that a running component holds.

    DAG files are not among them: Airflow reads those again by itself.

    Attributes:
        digests: Label (:data:`REQUIREMENTS`, :data:`PLUGINS`, :data:`STARTUP`) to digest; missing ones are left out.
    """

    digests: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def of_workspace(environment: Environment, memory: Path) -> Revision:
    """The revision that the folders of a workspace hold now.

    Args:
        environment: Whose files.
        memory: See :class:`Digests`.
    """
    workflow, digests = environment.workflow, Digests(memory)
    places = {"dags": workflow.dags, "plugins": workflow.plugins, "requirements": workflow.requirements.parent}
    found: dict[str, str] = {}
    if workflow.requirements.is_file():
        parts = sorted(set(_with_includes(workflow.requirements, places)))
        found[REQUIREMENTS] = _join((path.name, digests.of(path)) for path in parts)
    if workflow.plugins.exists():
        listed = [(name, digests.of(path)) for name, path in _tree(workflow.plugins)]
        if listed:
            found[PLUGINS] = _join(listed)
    if workflow.startup_script.is_file():
        found[STARTUP] = digests.of(workflow.startup_script)
    digests.save()
    return Revision(MappingProxyType(found))


def _join(parts: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> str:
    return hashlib.sha256("\0".join(f"{name}\0{digest}" for name, digest in parts).encode()).hexdigest()


def _with_includes(file: Path, places: Mapping[str, Path], seen: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """A requirements file and every local file it includes, as pip would find them."""
    if file in seen or not file.is_file():
        return
    yield file
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        match = _INCLUDE.match(line)
        if match and "://" not in match[1]:
            yield from _with_includes(_locate(match[1].strip(), file, places), places, seen | {file})


def _locate(name: str, includer: Path, places: Mapping[str, Path]) -> Path:
    """A path as MWAA's container has it, on this machine."""
    home = limits().home
    for folder, real in places.items():
        prefix = f"{home}/{folder}/"
        if name.startswith(prefix):
            return real / name.removeprefix(prefix)
    return includer.parent / name


def _tree(root: Path) -> Iterator[tuple[str, Path]]:
    """Name with mode, and path, of every file below a folder (or the file itself), in a fixed order."""
    if root.is_file():
        yield root.name, root
        return
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _NOISE)
        for name in sorted(names):
            path = Path(folder, name)
            if name in _NOISE or name.endswith((".pyc", "~", ".swp")) or not path.is_file():
                continue
            if path == root / ARCHIVE_NAME:  # made of the folder: it is not among what counts
                continue
            executable = "x" if os.access(path, os.X_OK) else "-"  # modes are part of what a plugin is
            yield f"{path.relative_to(root)}:{executable}", path
