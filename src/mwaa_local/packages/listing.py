"""What is installed in a package set, read from its ``dist-info`` folders without starting a Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name


def installed(site_packages: Path) -> dict[str, str]:
    """Canonical name to version of all distributions in a ``site-packages`` folder; names alone, in milliseconds."""
    found: dict[str, str] = {}
    with os.scandir(site_packages) as entries:
        for entry in entries:
            stem, dot, kind = entry.name.rpartition(".")
            if dot and kind in {"dist-info", "egg-info"}:
                # The folder's name is normalised by every installer: one hyphen, between name and version.
                name, hyphen, version = stem.partition("-")
                if hyphen:
                    found[str(canonicalize_name(name))] = version.partition("-py")[0]
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Change:
    """One package that differs between two listings; an empty version means absent."""

    name: str
    before: str
    after: str


def diff(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    """What changes from one listing to another, by name."""
    return tuple(
        Change(name, before.get(name, ""), after.get(name, ""))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    )
