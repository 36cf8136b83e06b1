"""The pins of Airflow's own constraint files, one data file for each version (spec/10 section 4.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from mwaa_local.catalog import _data


@dataclass(frozen=True)
class ConstraintPins:
    """One constraint file.

    Attributes:
        python: The minor version of Python that it is for.
        sha256: Of the file whose pins these are.
        pins: Canonical name to version.
    """

    python: str
    sha256: str
    pins: Mapping[str, str]


@cache
def constraint_pins(airflow: str) -> ConstraintPins | None:
    """The pins of a version's file; ``None`` where the catalog has none."""
    if airflow not in _data.names("constraints"):
        return None
    raw = _data.read(f"constraints/{airflow}.toml")
    return ConstraintPins(raw["python"], raw["sha256"], MappingProxyType(raw["pins"]))
