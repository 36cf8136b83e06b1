"""Facts about Python packages: target platform, supported Pythons, edits of the image's constraint file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from mwaa_local.catalog import _data


@dataclass(frozen=True)
class PackagingFacts:
    """Fixed names for installing packages; the data file says where each is written.

    Attributes:
        target_platform: The platform of MWAA's containers as uv names it.
        constraints_file: The image's copy of Airflow's constraint file, relative to the home folder.
        essential_file: The image's file of essential pins, relative to the home folder.
        image_builds_with: What a source archive finds in the image when it is built there.
        image_lacks: What builds often ask for that the image has not.
        essential_variable: The variable that may point elsewhere (spec/10 section 2.6: a startup script can swap it).
    """

    target_platform: str
    constraints_file: str
    essential_file: str
    essential_variable: str
    image_builds_with: str
    image_lacks: str


@cache
def packaging_facts() -> PackagingFacts:
    """The fixed names."""
    raw = _data.read("packaging.toml")
    return PackagingFacts(**{name: raw[name] for name in PackagingFacts.__dataclass_fields__})


def supported_pythons(airflow: str) -> tuple[str, ...]:
    """Python minor versions that an Airflow version supports upstream, ascending."""
    for row in _data.read("packaging.toml")["pythons"]:
        if _data.applies(row["airflow"], airflow):
            return tuple(row["minors"])
    return ()


def constraint_edits(airflow: str) -> Mapping[str, str]:
    """Pins in which the image's own constraint file differs from Airflow's published one (spec/10 section 4.5)."""
    return MappingProxyType(_data.read("packaging.toml")["constraint_edits"].get(airflow, {}))
