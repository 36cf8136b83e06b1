"""Putting a package set where MWAA has its packages: ``/usr/local/airflow/.local``."""

from __future__ import annotations

from pathlib import Path

from mwaa_local.errors import MachineError
from mwaa_local.packages import store
from mwaa_local.packages.sets import PackageSet, load
from mwaa_local.packages.store import Store

_LOCAL = ".local"


def link(home: Path, package_set: PackageSet, cache: Path | None = None) -> bool:
    """Make ``<home>/.local`` the set, in one step: a process that starts meanwhile sees the old or the new one.

    Args:
        home: The environment's home folder.
        package_set: The set.
        cache: The tool's cache folder, which then knows that the set is in use.

    Returns:
        Whether anything changed.

    Raises:
        MachineError: a folder with content is in the way.
    """
    place = home / _LOCAL
    try:
        changed = store.swap_link(place, package_set.path)
    except OSError as error:
        raise MachineError(
            "The package set cannot be put into place",
            where=str(place),
            why=str(error),
            hint=f"move {place} away: the tool puts a link there",
        ) from error
    if cache is not None:
        Store(cache / "package-sets").register(place)
    return changed


def linked(home: Path) -> PackageSet | None:
    """The set that ``<home>/.local`` is, or ``None``."""
    place = home / _LOCAL
    return load(place.resolve()) if store.manifest(place) is not None else None


def prune(cache: Path, keep: tuple[str, ...] = (), *, older_than_s: float = 0.0) -> list[str]:
    """Remove sets that no environment links and that were not used for a while; see ``Store.prune``."""
    return Store(cache / "package-sets").prune(keep, older_than_s=older_than_s)
