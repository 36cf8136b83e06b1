"""Metadata of packages without a download: from the base set, or the ``.metadata`` file beside a wheel (PEP 658)."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from mwaa_local.errors import MwaaLocalError
from mwaa_local.packages import fetch
from mwaa_local.packages.paths import is_url
from mwaa_local.preflight.packaging import fetch as packaging_fetch
from mwaa_local.preflight.resolving.types import Archive, Package, Situation

_THREADS = 8
_CONNECT_S = 5.0
_TOTAL_S = 10.0
# A wheel up to this size is fetched whole where the index has no metadata file beside it.
_WHOLE_BYTES = 5_000_000
_DIST_INFO = re.compile(r"^(?P<name>[^-]+)-(?P<version>[^-]+)\.dist-info$")


@dataclass(frozen=True)
class Metadata:
    """The part of a package's metadata that resolving reads.

    Attributes:
        name: Canonical name.
        version: Its version.
        requires: Its requirements, markers and extras included.
        requires_python: Pythons it allows.
        faults: Lines that the standard does not allow; pip passes over a release that has one.
    """

    name: str
    version: str
    requires: tuple[Requirement, ...] = ()
    requires_python: SpecifierSet = field(default_factory=SpecifierSet)
    faults: tuple[str, ...] = ()


def parse(text: str) -> Metadata:
    """Metadata from the text of a ``METADATA`` file."""
    message = HeaderParser().parsestr(text)
    requires: list[Requirement] = []
    faults: list[str] = []
    for line in message.get_all("Requires-Dist") or []:
        try:
            requires.append(Requirement(line))
        except InvalidRequirement:
            faults.append(f"Requires-Dist: {line}")
    pythons = SpecifierSet()
    if wanted := message.get("Requires-Python"):
        try:
            pythons = SpecifierSet(wanted)
        except InvalidSpecifier:
            faults.append(f"Requires-Python: {wanted}")
    name, version = str(message.get("Name") or ""), str(message.get("Version") or "")
    return Metadata(str(canonicalize_name(name)), version, tuple(requires), pythons, tuple(faults))


def installed(site_packages: Path, names: Collection[str] | None = None) -> dict[str, str]:
    """Canonical name to ``METADATA`` text of packages in a ``site-packages`` folder: of all, or of some by name."""
    found = {}
    for folder in site_packages.glob("*.dist-info"):
        match = _DIST_INFO.match(folder.name)
        name = str(canonicalize_name(match["name"])) if match else ""
        if not name or (names is not None and name not in names):
            continue
        with contextlib.suppress(OSError):
            found[name] = (folder / "METADATA").read_text(encoding="utf-8", errors="replace")
    return found


def of(packages: Iterable[Package], situation: Situation) -> Mapping[str, Metadata]:
    """Metadata of packages that come as wheels; what cannot be had is left out.

    Each file is fetched once per machine and kept by the wheel's digest.

    Args:
        packages: The packages.
        situation: Cache, proxies and certificates.
    """

    def one(package: Package) -> Metadata | None:
        text = _text(package, situation)
        return parse(text) if text else None

    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(one, packages)
    return {item.name: item for item in found if item is not None}


def _text(package: Package, situation: Situation) -> str | None:
    archive = package.archive
    if archive is None or not archive.wheel or not is_url(archive.url) or not archive.sha256:
        return None
    kept = situation.uv.cache / "metadata" / f"{archive.sha256[:40]}.txt"
    try:
        return kept.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        pass
    if situation.uv.environment.get("UV_OFFLINE"):
        return None
    text: str | None
    try:
        text = fetch.text(
            archive.url.partition("#")[0] + ".metadata",
            memory=situation.uv.cache / "metadata",
            environment=situation.uv.environment,
            settings=situation.uv.settings,
            connect_s=_CONNECT_S,
            total_s=_TOTAL_S,
        )
    except fetch.UnreachableError as error:
        # An index without such files, or one that made none because the metadata breaks the standard.
        text = _inside(archive, situation) if "answers 404" in str(error) else None
    if text is not None:
        fetch.write_atomically(kept, text)
    return text


def _inside(archive: Archive, situation: Situation) -> str | None:
    """The metadata in a small wheel itself."""
    if archive.size is None or archive.size > _WHOLE_BYTES:
        return None
    try:
        with zipfile.ZipFile(packaging_fetch.archive(archive, situation.uv, total_s=_TOTAL_S)) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            return wheel.read(name).decode("utf-8", errors="replace")
    except (MwaaLocalError, OSError, zipfile.BadZipFile, StopIteration):
        return None
