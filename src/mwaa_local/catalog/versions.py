"""Airflow versions that MWAA offers, one data file each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import MappingProxyType

from packaging.version import Version as PackageVersion

from mwaa_local.catalog import _data
from mwaa_local.catalog.components import has
from mwaa_local.errors import DefinitionError


@dataclass(frozen=True)
class Version:
    """One Airflow version as MWAA runs it.

    Attributes:
        airflow: Airflow's version, as ``AirflowVersion`` spells it.
        python: Python's minor version, ``"3.12"`` (spec/10 section 3.5).
        python_patch: The exact Python in MWAA's image (spec/10 section 0).
        airflow_release: When Airflow released it (spec/01 section 5.2), and made its constraint file: the cut-off for
            resolving where that cannot be had.
        mwaa_release: When MWAA offered it (spec/01 section 5.2); ``None`` where the guide does not say so yet.
        image_built: Date of the image's bill of materials.
        watchtower: Version the post-startup verification expects (spec/10 section 3.5).
        offered: ``guide`` where the user guide lists it (spec/02 section 9.1), ``image`` where AWS has published an
            image and the guide does not know it yet, ``ended`` after the end of its support (spec/02 section 9.2).
        ended: When its support ended; ``None`` where no end is announced.
        schema_heads: Alembic version table to the head this version ships.
        image_requirements: What the image build asks for (spec/10 section 4.5).
        essential: Pins a ``requirements.txt`` can never move (spec/10 section 4.4).
        packages: Every package of the image with its exact version (spec/10 appendix A and what its tool misses).
        build_constraints: Limits of what its source packages are built with.
        source_only_packages: Packages of ``packages`` that exist only as source; value: the stand-in or ``""``.
    """

    airflow: str
    python: str
    python_patch: str
    airflow_release: date
    mwaa_release: date | None
    image_built: date
    watchtower: str
    offered: str
    ended: date | None
    schema_heads: Mapping[str, str]
    image_requirements: tuple[str, ...]
    essential: Mapping[str, str]
    packages: Mapping[str, str]
    source_only_packages: Mapping[str, str]
    build_constraints: tuple[str, ...] = ()

    @property
    def series(self) -> str:
        """Airflow's major version as users say it: ``2`` or ``3``."""
        return series(self.airflow)

    @property
    def is_supported(self) -> bool:
        """Whether MWAA makes new environments of it (spec/02 section 9.3)."""
        return self.offered != "ended"

    @property
    def digits(self) -> str:
        """The version without dots, as ``AWS_EXECUTION_ENV`` holds it (spec/10 section 2.5)."""
        return self.airflow.replace(".", "")

    def has(self, trait: str) -> bool:
        """Whether something is true of this version; the names are those of ``components.toml``.

        Raises:
            KeyError: the catalog knows no such trait.
        """
        return has(self.airflow, trait)

    def matches(self, specifier: str) -> bool:
        """Whether a PEP 440 specifier holds for this version; an empty one does."""
        return _data.applies(specifier, self.airflow)


def series(airflow: str) -> str:
    """``3`` for ``3.2.1``: what a database, and the names in a DAG file, are made for.

    Raises:
        InvalidVersion: the text is no version.
    """
    return str(PackageVersion(airflow).major)


@cache
def version_names() -> tuple[str, ...]:
    """All known versions, newest first."""
    return tuple(sorted(_data.names("versions"), key=PackageVersion, reverse=True))


def default_version() -> str:
    """The version a definition without ``AirflowVersion`` gets: the newest the guide lists (spec/01 section 5.3).

    One that is newer and that the guide does not know yet is none: MWAA would not choose it either.
    """
    return next(name for name in version_names() if version(name).offered == "guide")


@cache
def version(name: str) -> Version:
    """One version by its name.

    Raises:
        DefinitionError: MWAA does not offer it, or the catalog does not hold it yet.
    """
    if name not in version_names():
        raise DefinitionError(
            f"AirflowVersion {name!r} is not known",
            why=f"known versions: {', '.join(version_names())}",
            hint="run `mwaa-local versions` and set AirflowVersion to one of them",
        )
    raw = _data.read(f"versions/{name}.toml")
    return Version(
        airflow=raw["airflow"],
        python=raw["python"],
        python_patch=raw["python_patch"],
        airflow_release=raw["airflow_release"],
        mwaa_release=raw.get("mwaa_release"),
        image_built=raw["image_built"],
        watchtower=raw["watchtower"],
        offered=raw["offered"],
        ended=raw.get("ended"),
        schema_heads=MappingProxyType(raw["schema_heads"]),
        image_requirements=tuple(raw["image_requirements"]),
        essential=MappingProxyType(raw["essential"]),
        packages=MappingProxyType({**raw["packages"], **raw["unlisted_packages"]}),
        source_only_packages=MappingProxyType(raw["source_only_packages"]),
        build_constraints=tuple(raw.get("build_constraints", ())),
    )
