"""Airflow's constraint files, and the image's own pins.

1. a folder of files ``constraints-<airflow>-py<python>.txt`` that the user names (``MWAA_CONSTRAINTS_DIR``);
2. else the pins of that file which came with the tool, so that an offline verdict equals the online one;
3. else, for versions that the catalog does not hold, the official file, fetched once and kept in the cache;
4. else the exact pins of the image's own packages (spec/10 appendix A), with Airflow's release date as a cut-off for
   others: that is when its constraint file was made.

``MWAA_LOCAL_REFRESH_CONSTRAINTS=1`` asks the network first. What was used is part of the result.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Literal

from packaging.utils import canonicalize_name

from mwaa_local import catalog
from mwaa_local.catalog.packaging_facts import constraint_edits, packaging_facts
from mwaa_local.errors import DefinitionError
from mwaa_local.packages import fetch
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.paths import locate, redact
from mwaa_local.packages.pip_settings import PipSettings

SourceKind = Literal["official", "folder", "catalog", "image", "file", "url"]
#: Asks the network for Airflow's constraint file before all else.
REFRESH = "MWAA_LOCAL_REFRESH_CONSTRAINTS"
_FRESH_S = 600.0
# A line with a marker is no pin of every Python, and one with a star no pin at all: the resolver judges those.
_PIN = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)\s*={2,3}\s*([^\s;#*,=]+)\s*(?:$|#|--hash)")


_OF_AIRFLOW = re.compile(r"constraints-(\d+\.\d+\.\d+)")
_OF_PYTHON = re.compile(
    r"constraints-(?:no-providers-|source-providers-)?(?:\d+\.\d+\.\d+-py)?(3\.\d+)(?=[^.\d]|\.[a-z]|$)"
)


@dataclass(frozen=True)
class ConstraintSource:
    """One constraint file and where it came from.

    Attributes:
        kind: ``official``, ``folder`` or ``catalog`` for Airflow's file, ``image`` for what stands in for it where
            nothing has it; ``file`` or ``url`` for another one.
        label: The source in words, for people.
        text: Its content.
        path: The file, where it is one.
        airflow: Airflow's version the file is for, where that is known.
        python: Python's minor version likewise.
        cut_off: Newest upload date to take, where the pins do not cover everything.
        notes: What the user should know: why not a better source, a version that does not fit.
    """

    kind: SourceKind
    label: str
    text: str
    path: Path | None = None
    airflow: str | None = None
    python: str | None = None
    cut_off: date | None = None
    notes: tuple[str, ...] = ()


def versions_of(target: str) -> tuple[str, str]:
    """Airflow's and Python's versions that the name of a constraint file tells, empty where it does not.

    Args:
        target: An address or a path, as Airflow's project, this tool or the guide spell such names.
    """
    airflow, python = _OF_AIRFLOW.search(target), _OF_PYTHON.search(target)
    return airflow[1] if airflow else "", python[1] if python else ""


def pins(text: str) -> dict[str, str]:
    """Canonical name to version of all exact pins of a constraint file."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _PIN.match(line):
            found[canonicalize_name(match[1])] = match[2]
    return found


@dataclass(frozen=True)
class ConstraintFinder:
    """Finds constraint files.

    Attributes:
        cache: Folder for fetched files.
        folder: ``MWAA_CONSTRAINTS_DIR``, if given.
        environment: Proxy variables.
        settings: pip's certificate and proxy.
        address: Template of an address with ``{airflow}`` and ``{python}`` that is asked instead of Airflow's own,
            and of the pins that came with the tool.
    """

    cache: Path
    folder: Path | None = None
    environment: Mapping[str, str] | None = None
    settings: PipSettings = field(default_factory=PipSettings)
    address: str | None = None

    def image_file(self, version: catalog.Version) -> ConstraintSource:
        """The file MWAA injects, with the image's own edits (spec/10 section 4.5)."""
        source = self.for_airflow(version.airflow, version.python)
        edits = constraint_edits(version.airflow)
        if not edits or source.kind == "image":
            return source
        kept = [line for line in source.text.splitlines() if _name(line) not in edits]
        return replace(source, text="\n".join([*kept, *(f"{name}=={pin}" for name, pin in edits.items())]) + "\n")

    def for_airflow(self, airflow: str, python: str) -> ConstraintSource:
        """Airflow's own constraint file from the first source that has it.

        Raises:
            UnmetRequirementsError: none has it (a version the catalog does not know, and no network).
        """
        refresh = (self.environment or {}).get(REFRESH, "").lower() in ("1", "true", "yes")
        if not refresh and (found := self._at_hand(airflow, python)) is not None:
            return found
        url = (self.address or catalog.limits().constraint_url).format(airflow=airflow, python=python)
        name = f"constraints-{airflow}-py{python}.txt"
        cached = self.cache / "constraints" / name
        if not refresh and (text := _read(cached)) is not None:
            return ConstraintSource(
                "official", f"Airflow's file for {airflow}, Python {python} (cached)", text, cached, airflow, python
            )
        notes: tuple[str, ...] = ()
        try:
            text = self._fetch(url)
        except fetch.UnreachableError as error:
            notes = (f"Airflow's constraint file was not fetched: {error}",)
        else:
            if len(pins(text)) >= 20:
                fetch.write_atomically(cached, text)
                return ConstraintSource(
                    "official", f"Airflow's file for {airflow}, Python {python}", text, cached, airflow, python
                )
            notes = (f"{redact(url)} does not answer with a constraint file",)
        if refresh and (found := self._at_hand(airflow, python)) is not None:
            return replace(found, notes=notes)
        if self.folder is not None:
            notes = (*notes, f"MWAA_CONSTRAINTS_DIR has no {name}")
        return self._of_the_image(airflow, python, notes)

    def _at_hand(self, airflow: str, python: str) -> ConstraintSource | None:
        """The file in the folder that the user names, or what came with the tool."""
        name = f"constraints-{airflow}-py{python}.txt"
        if self.folder is not None:
            given = self.folder / name
            if (text := _read(given)) is not None:
                return ConstraintSource("folder", f"MWAA_CONSTRAINTS_DIR file {name}", text, given, airflow, python)
        known = catalog.constraint_pins(airflow) if self.address is None else None
        if known is None or known.python != python:
            return None
        text = "".join(f"{package}=={pin}\n" for package, pin in known.pins.items())
        label = f"Airflow's file for {airflow}, Python {python} (as it came with mwaa-local)"
        return ConstraintSource("catalog", label, text, None, airflow, python)

    def for_url(self, url: str) -> ConstraintSource:
        """The file a ``--constraint`` line names by URL; Airflow's own address is served from the three sources.

        Raises:
            UnmetRequirementsError: it cannot be fetched and no copy is kept.
        """
        if (known := self._airflows_own(url)) is not None:
            return self.for_airflow(*known)
        kept = self.cache / "constraints" / f"url-{hashlib.sha256(redact(url).encode()).hexdigest()[:24]}.txt"
        label = redact(url)
        age = time.time() - kept.stat().st_mtime if kept.is_file() else None
        if age is not None and 0 <= age < _FRESH_S:
            return ConstraintSource("url", label, _read(kept) or "", kept)
        try:
            text = self._fetch(url)
        except fetch.UnreachableError as error:
            if age is not None:
                note = f"{error}: the copy of {age / 3600:.1f} h ago is used"
                return ConstraintSource("url", label, _read(kept) or "", kept, notes=(note,))
            raise UnmetRequirementsError(
                "The file cannot be fetched",
                kind="network",
                where=redact(url),
                why=str(error),
                hint="put the file into the DAGs folder and name its path under /usr/local/airflow/dags",
            ) from error
        fetch.write_atomically(kept, text)
        return ConstraintSource("url", label, text, kept)

    def fetched(self, url: str) -> str:
        """The text at an address, fetched now.

        Raises:
            UnreachableError: It cannot be.
        """
        return self._fetch(url)

    def _airflows_own(self, url: str) -> tuple[str, str] | None:
        for template in filter(None, (self.address, catalog.limits().constraint_url)):
            pattern = re.escape(template).replace(r"\{airflow\}", r"(?P<airflow>\d[\w.]*)")
            match = re.fullmatch(pattern.replace(r"\{python\}", r"(?P<python>\d+\.\d+)"), url.strip())
            if match:
                return match["airflow"], match["python"]
        return None

    def _fetch(self, url: str) -> str:
        return fetch.text(
            url, memory=self.cache / "constraints", environment=self.environment or {}, settings=self.settings
        )

    def _of_the_image(self, airflow: str, python: str, notes: tuple[str, ...]) -> ConstraintSource:
        try:
            version = catalog.version(airflow)
        except DefinitionError as error:
            raise UnmetRequirementsError(
                f"No source has the constraint file of Airflow {airflow} for Python {python}",
                kind="network",
                why="; ".join(notes),
                hint=f"put constraints-{airflow}-py{python}.txt into a folder and set MWAA_CONSTRAINTS_DIR to it",
            ) from error
        if python != version.python:
            notes = (*notes, f"the catalog's pins are for Python {version.python}, not {python}")
        text = "".join(f"{name}=={pin}\n" for name, pin in version.packages.items() if name != "pip")
        return ConstraintSource(
            "image",
            f"pins of MWAA's image for {airflow}, other packages as of its release, {version.airflow_release}",
            text,
            None,
            airflow,
            version.python,
            version.airflow_release,
            notes,
        )


def essential(
    version: catalog.Version, environment: Mapping[str, str], path_map: Mapping[str, Path]
) -> ConstraintSource:
    """The pins a ``requirements.txt`` cannot move (spec/10 section 4.4).

    Args:
        version: The version.
        environment: The merged variables; a startup script may have pointed the essential file elsewhere.
        path_map: Where paths of the container really are.

    Raises:
        UnmetRequirementsError: the variable names a file that cannot be read (pip stops there too).
    """
    default = f"{catalog.limits().home}/{packaging_facts().essential_file}"
    named = environment.get(packaging_facts().essential_variable, default)
    if named and named != default:
        path = locate(named, path_map)
        text = _read(path)
        if text is None:
            raise UnmetRequirementsError(
                "The file of essential constraints cannot be read",
                kind="syntax",
                where=named,
                why=f"{packaging_facts().essential_variable} names it",
                hint="unset the variable in the startup script, or let the script write the file",
            )
        return ConstraintSource("file", f"{packaging_facts().essential_variable}={named}", text, path)
    return ConstraintSource(
        "catalog", "essential pins of MWAA", "".join(f"{name}=={pin}\n" for name, pin in version.essential.items())
    )


def _name(line: str) -> str | None:
    match = _PIN.match(line)
    return canonicalize_name(match[1]) if match else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
