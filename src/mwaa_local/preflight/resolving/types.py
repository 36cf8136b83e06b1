"""What resolving a requirements file gives: packages, the archives they come from, and what changes in the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mwaa_local import catalog
from mwaa_local.packages.index_sources import LeftOut
from mwaa_local.packages.sets import PackageSet
from mwaa_local.packages.uv_tool import Uv


@dataclass(frozen=True)
class Archive:
    """One file an index or a link offers.

    Attributes:
        name: File name.
        url: Its address, or the path of a file here; may hold a password.
        size: Bytes, where the index tells.
        sha256: Digest, or empty.
        uploaded: When, where the index tells.
        wheel: Whether it is a wheel; else it has to be built.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str = ""
    uploaded: datetime | None = None
    wheel: bool = True


@dataclass(frozen=True)
class Package:
    """A resolved package.

    Attributes:
        name: Canonical name.
        version: Its version.
        archive: What pip would download on MWAA: the best wheel, else the source archive; ``None`` for what is built
            from a folder or a repository, and for what only the image holds.
        others: Further archives of the release that fit: wheels that are not the best, and the source archive.
        index: Address of the index, or empty, as where several are put together.
        wheels: File names of all wheels of the release, whether they fit or not.
        yanked: Why the release was withdrawn; ``None`` if it was not.
        local: A folder or repository it is built from, or empty.
    """

    name: str
    version: str
    archive: Archive | None = None
    others: tuple[Archive, ...] = ()
    index: str = ""
    wheels: tuple[str, ...] = ()
    yanked: str | None = None
    local: str = ""


@dataclass(frozen=True)
class Resolution:
    """The packages a requirements file leads to.

    Attributes:
        packages: Everything reached, canonical name to package.
        present: What the image has: canonical name to version.
        unsure: What could not be checked, in words.
        seconds: How long it took.
        resolver: ``uv`` or ``pip``.
        left_out: Package indexes that pip passes over.
    """

    packages: Mapping[str, Package]
    present: Mapping[str, str]
    unsure: tuple[str, ...] = ()
    seconds: float = 0.0
    resolver: str = "uv"
    left_out: tuple[LeftOut, ...] = ()

    @property
    def changes(self) -> dict[str, Package]:
        """What pip would install: new packages, other versions, and what comes from a URL or a folder."""
        return {
            name: package
            for name, package in self.packages.items()
            if package.local or self.present.get(name) != package.version
        }

    @property
    def size(self) -> int:
        """Bytes to download, as far as the index tells sizes."""
        return sum(package.archive.size or 0 for package in self.changes.values() if package.archive)


@dataclass(frozen=True)
class Situation:
    """What resolving needs to know besides the file.

    Attributes:
        version: Airflow's version.
        uv: How uv is run, with this machine's proxies and indexes.
        base: The version's base set if it is installed here.
        timeout_s: Limit for one run of the resolver, in seconds.
        present: What the image has: canonical name to version.
        bare: Without a base set, packages of the image count as there, whatever they ask for.
        builds: Source archives may be built to learn what they need; ``False`` runs no code of a package.
    """

    version: catalog.Version
    uv: Uv
    base: PackageSet | None = None
    timeout_s: float = 120.0
    present: Mapping[str, str] = field(default_factory=dict)
    bare: bool = False
    builds: bool = True

    @property
    def python(self) -> str:
        """MWAA's exact Python, ``3.12.13``."""
        return self.version.python_patch

    @property
    def interpreter(self) -> Path | None:
        """The Python that builds metadata of source archives; uv looks for one if ``None``."""
        return self.base.interpreter if self.base else None
