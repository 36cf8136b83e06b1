"""Reading the data files: TOML (JSON where it is generated) beside this module, parsed once per process."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import Version as PackageVersion

_DATA = resources.files("mwaa_local.catalog") / "data"


@cache
def read(name: str) -> dict[str, Any]:
    """The parsed data file ``data/<name>``.

    Raises:
        FileNotFoundError: no such file in the catalog.
    """
    return tomllib.loads((_DATA / name).read_text(encoding="utf-8"))


@cache
def read_json(name: str) -> dict[str, Any]:
    """The parsed data file ``data/<name>``.

    Raises:
        FileNotFoundError: no such file in the catalog.
    """
    found: dict[str, Any] = json.loads((_DATA / name).read_text(encoding="utf-8"))
    return found


def path(name: str) -> Path:
    """Where a data file is, for what writes it anew."""
    return Path(str(_DATA / name))


def names(folder: str, suffix: str = ".toml") -> tuple[str, ...]:
    """The stems of all data files in ``data/<folder>``."""
    return tuple(entry.name.removesuffix(suffix) for entry in (_DATA / folder).iterdir() if entry.name.endswith(suffix))


def applies(specifier: str, version: str) -> bool:
    """Whether a row with this PEP 440 specifier counts for an Airflow version; an empty specifier always does."""
    return not specifier or PackageVersion(version) in SpecifierSet(specifier)
