"""The key of a package set: a hash over everything that decides its content, and over no secret."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from mwaa_local import catalog
from mwaa_local.packages import merged_index
from mwaa_local.packages.paths import is_url, redact
from mwaa_local.packages.pip_settings import PipSettings
from mwaa_local.packages.requirements import Reading

# Raise it when sets of an older tool must not be used any more.
FORMAT = 2
_IGNORED = frozenset({".git", "__pycache__", "build", ".venv", ".tox"})


def base_key(version: catalog.Version, build: str) -> str:
    """The key of a base set.

    Args:
        version: Its pins count.
        build: The interpreter's build.
    """
    return _hash(
        {
            "format": FORMAT,
            "airflow": version.airflow,
            "build": build,
            "pins": dict(version.packages),
            "left_out": dict(version.source_only_packages),
        }
    )


def set_key(
    reading: Reading,
    *,
    base: str,
    version: str,
    resolver: str,
    settings: PipSettings,
    cut_off: date | None,
    shipped: Sequence[Path] = (),
) -> str:
    """The key of a requirement set. Line numbers, comments and passwords in URLs do not count.

    A password that changes every twelve hours (a token of a package store) must not install everything anew.

    Args:
        reading: The requirements.
        base: Key of the base set.
        version: Airflow's version.
        resolver: ``uv`` or ``pip``.
        settings: pip's configuration.
        cut_off: Newest upload date.
        shipped: The environment's own folders: archives in them count by content, because unpacking ``plugins.zip``
            makes new files at each start; those of the machine by size and time, because there may be gigabytes.

    Raises:
        OSError: a local file cannot be read.
    """
    entries = [
        [
            redact(entry.text),
            entry.editable,
            sorted(entry.hashes),
            list(entry.config_settings),
            tree(entry.local) if entry.local is not None and entry.local.exists() else "",
            # An editable install holds the path itself.
            str(entry.local) if entry.editable else "",
        ]
        for entry in reading.entries
    ]
    indexes = reading.indexes
    return _hash(
        {
            "format": FORMAT,
            "base": base,
            "airflow": version,
            "resolver": resolver,
            "cut_off": str(cut_off),
            "entries": entries,
            "constraints": [[redact(line) for line in part.lines] for part in reading.parts],
            "indexes": [redact(url or "") for url in (indexes.default, *indexes.extra)],
            "links": [redact(link) for link in indexes.find_links if is_url(link)],
            "archives": [_archive(path, shipped) for path in indexes.local_archives()],
            "no_index": indexes.no_index,
            # Sets of a tool that took a release from one place only are not what pip installs.
            **({"merged": True} if resolver == "uv" and merged_index.needed(indexes) else {}),
            "trusted": sorted(indexes.trusted_hosts),
            "formats": [reading.no_binary, reading.only_binary, reading.prefer_binary],
            "flags": [reading.pre or settings.pre, reading.require_hashes, settings.no_deps, settings.upgrade],
        }
    )


def without_key(key: str, left_out: Sequence[str]) -> str:
    """The key of a set that was installed without some of its indexes: another one, so that their return counts.

    Args:
        key: The key of the whole set.
        left_out: Addresses of the indexes, without logins.
    """
    return _hash({"instead_of": key, "left_out": sorted(left_out)})


def _archive(path: Path, shipped: Sequence[Path]) -> list[str]:
    if any(path.is_relative_to(folder) for folder in shipped):
        return [path.name, tree(path)]
    found = path.stat()
    return [path.name, f"{found.st_size} {found.st_mtime_ns}"]


def tree(path: Path) -> str:
    """The digest of a file, or of a folder's names and contents.

    Raises:
        OSError: something in it cannot be read.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for entry in _files(path):
        whole.update(f"{entry.relative_to(path)}\0{tree(entry)}\0".encode())
    return whole.hexdigest()


def _files(folder: Path) -> Iterable[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name in _IGNORED or entry.name.endswith(".egg-info"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry)
        elif entry.is_file():
            yield entry


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
