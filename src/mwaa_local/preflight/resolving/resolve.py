"""``requirements.txt`` read and resolved once per workspace, whichever rule asks first.

``outcome(workspace)`` is what every rule of the area starts from. It never raises for a fault of the file or the
network: what went wrong is part of the result.
"""

from __future__ import annotations

import platform
import re
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from mwaa_local import catalog
from mwaa_local.model.cache import cache_folder
from mwaa_local.packages import base as base_sets
from mwaa_local.packages import explain, pip_settings
from mwaa_local.packages import requirements as reader
from mwaa_local.packages.constraints import ConstraintFinder, ConstraintSource
from mwaa_local.packages.entries import Entry
from mwaa_local.packages.failure import Conflict, UnmetRequirementsError
from mwaa_local.packages.paths import locate
from mwaa_local.packages.requirements import Reading
from mwaa_local.packages.store import Store
from mwaa_local.packages.uv_tool import Uv, cut_off_of
from mwaa_local.preflight import imports
from mwaa_local.preflight.findings import Unchecked
from mwaa_local.preflight.resolving import pip as resolve_pip
from mwaa_local.preflight.resolving import uv as resolve_uv
from mwaa_local.preflight.resolving.types import Resolution, Situation
from mwaa_local.preflight.workspace import Workspace

_GET_FILE = "let this machine reach the constraint file once, or set MWAA_CONSTRAINTS_DIR to a folder that has it"
CONSTRAINTS_VARIABLE = "MWAA_CONSTRAINTS_DIR"
# An index that does not answer must not hold up everything else: one wait for a connection, one try more.
_NETWORK = {"UV_HTTP_TIMEOUT": "10", "UV_HTTP_CONNECT_TIMEOUT": "5", "UV_HTTP_RETRIES": "1"}
_HARMLESS = frozenset({"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_PRE"})
_TIMEOUT_S = 120.0
_CACHED_TIMEOUT_S = 30.0
_BARE = (
    "what the image's own packages ask for: those of Airflow {airflow} are not installed here "
    "(`mwaa-local up` installs them)"
)


@dataclass(frozen=True)
class Outcome:
    """What is known about a requirements file.

    Attributes:
        file: The file.
        situation: What it was resolved for, and with what.
        path_map: Paths of MWAA's container to where they are here.
        reading: The file, understood; ``None`` where pip would refuse a line or a file it names.
        resolution: What pip would install; ``None`` if it would fail or it cannot be told.
        error: Why pip would fail; ``None`` if it would not, or it cannot be told.
        unchecked: What could not be told.
        unreachable: Lines whose address could not be reached from here; the others were resolved without them.
        seconds: How long it took.
    """

    file: Path
    situation: Situation
    path_map: Mapping[str, Path]
    reading: Reading | None = None
    resolution: Resolution | None = None
    error: UnmetRequirementsError | None = None
    unchecked: tuple[Unchecked, ...] = ()
    unreachable: tuple[Conflict, ...] = ()
    seconds: float = 0.0

    @property
    def stand_in(self) -> ConstraintSource | None:
        """The image's pins, where they stand in for Airflow's whole constraint file."""
        parts = self.reading.parts[1:] if self.reading else ()
        return next((part.source for part in parts if part.source.kind == "image"), None)

    @property
    def open_names(self) -> tuple[str, ...]:
        """Packages that only Airflow's whole constraint file could hold to a version."""
        if self.reading is None:
            return ()
        asked = [entry.name for entry in self.reading.entries if entry.kind == "index" and entry.name]
        changes = self.resolution.changes if self.resolution else {}
        brought = [name for name, package in changes.items() if not package.local]
        every = asked if self.resolution is None else [*(name for name in asked if name in changes), *brought]
        return tuple(name for name in dict.fromkeys(every) if self.reading.pin(name) is None)

    @property
    def resolved(self) -> Reading | None:
        """The reading without the lines that were left out."""
        return _without(self.reading, self.unreachable) if self.reading else None

    def place(self, shown: str) -> Path:
        """The real file behind a name as MWAA's user knows it."""
        return locate(shown, self.path_map) if shown.startswith("/") else self.file


_memory: weakref.WeakKeyDictionary[Workspace, Outcome] = weakref.WeakKeyDictionary()
_locks: weakref.WeakKeyDictionary[Workspace, threading.Lock] = weakref.WeakKeyDictionary()
_guard = threading.Lock()


def outcome(workspace: Workspace) -> Outcome | None:
    """The outcome for a workspace's requirements file, worked out once; ``None`` where there is no file."""
    if workspace.requirements is None:
        return None
    with _guard:
        lock = _locks.setdefault(workspace, threading.Lock())
    with lock:
        if workspace not in _memory:
            _memory[workspace] = outcome_of(workspace, workspace.environment.workflow.requirements)
        return _memory[workspace]


def finder(workspace: Workspace, situation: Situation) -> ConstraintFinder:
    """Finds constraint files as the verdict on a workspace does."""
    uv, folder = situation.uv, _folder(workspace.variables.get(CONSTRAINTS_VARIABLE))
    return ConstraintFinder(uv.cache, folder, uv.environment, uv.settings)


def outcome_of(workspace: Workspace, file: Path) -> Outcome:
    """The outcome for any requirements file in the place of a workspace's own."""
    return resolve_file(
        file,
        prepare(workspace),
        path_map=path_map(workspace),
        variables=container_variables(workspace),
        constraints_dir=_folder(workspace.variables.get(CONSTRAINTS_VARIABLE)),
        resolver=workspace.environment.local.resolver,
    )


def resolve_file(
    file: Path,
    situation: Situation,
    *,
    path_map: Mapping[str, Path],
    variables: Mapping[str, str],
    constraints_dir: Path | None = None,
    resolver: str = "uv",
) -> Outcome:
    """Read and resolve a requirements file.

    Args:
        file: The file.
        situation: What to resolve for, and with what.
        path_map: Paths of MWAA's container to where they are here.
        variables: What pip sees on MWAA, for ``${NAME}``.
        constraints_dir: Folder of constraint files for a machine that cannot fetch them.
        resolver: ``uv`` or ``pip``.
    """
    begin = time.monotonic()
    uv = situation.uv
    finder = ConstraintFinder(uv.cache, constraints_dir, uv.environment, uv.settings)
    result = Outcome(file, situation, path_map)
    try:
        reading = reader.read(
            file,
            version=situation.version,
            environment=variables,
            path_map=path_map,
            finder=finder,
            settings=uv.settings,
        )
    except UnmetRequirementsError as error:
        if error.kind == "network":
            return replace(result, unchecked=(_unchecked(error),), seconds=time.monotonic() - begin)
        return replace(result, error=error, seconds=time.monotonic() - begin)
    if not situation.builds:
        reading, left_out = _without_builds(reading)
        result = replace(result, unchecked=left_out)
    if reading.indexes.no_index and situation.base is None:
        situation = replace(situation, bare=True)
    result = replace(result, reading=reading, situation=situation)
    if not reading.entries:
        return replace(result, resolution=Resolution({}, situation.present), seconds=time.monotonic() - begin)
    while True:
        try:
            found = _resolve(reading, situation, resolver)
            notes = (Unchecked("versions in requirements.txt, in part", note) for note in found.unsure)
            result = replace(result, resolution=found, unchecked=(*result.unchecked, *notes))
        except UnmetRequirementsError as error:
            if error.kind == "network" and error.conflicts:
                # One address that is out of reach says nothing about the other lines.
                result = replace(
                    result,
                    unreachable=(*result.unreachable, *error.conflicts),
                    unchecked=(*result.unchecked, _unchecked(error)),
                )
                reading = _without(reading, error.conflicts)
                if reading.entries:
                    continue
            elif error.kind in {"network", "time", "disk"}:
                result = _from_cache(result, reading, error)
            elif not situation.builds and _wants_build(error):
                result = replace(result, unchecked=(*result.unchecked, _unbuilt(error.what)))
            elif cut_off_of(reading) is not None:
                # A line may ask for what is newer than Airflow's release: the date only stands in for pins.
                result = replace(result, reading=reader.undated(result.reading or reading))
                reading = reader.undated(reading)
                continue
            elif (open_version := _open_version(error, result)) is not None:
                result = replace(result, unchecked=(*result.unchecked, open_version))
            else:
                result = replace(result, error=error)
        return replace(result, seconds=time.monotonic() - begin)


def _open_version(error: UnmetRequirementsError, result: Outcome) -> Unchecked | None:
    """A build that fails is no verdict where the whole constraint file may hold another version of the package."""
    if result.stand_in is None or error.kind not in {"build", "other"} or result.reading is None:
        return None
    exact = {
        entry.name
        for entry in result.reading.entries
        if entry.kind != "index" or any(item.operator in {"==", "==="} for item in entry.specifier)
    }
    names = [str(canonicalize_name(name)) for name in error.packages]
    if not names or any(name in exact or result.reading.pin(name) for name in names):
        return None
    why = "Airflow's constraint file, which was not to be had, may hold another version"
    return Unchecked(error.what, why, _GET_FILE)


def _without(reading: Reading, lines: Sequence[Conflict]) -> Reading:
    out = {(line.file, line.line) for line in lines}
    return replace(reading, entries=tuple(item for item in reading.entries if (item.file, item.line) not in out))


def _without_builds(reading: Reading) -> tuple[Reading, tuple[Unchecked, ...]]:
    """The file as far as wheels go: what would have to be built, fetched with git or read from a folder is left out."""
    built = [entry for entry in reading.entries if entry.kind != "index" and not _is_wheel(entry)]
    rest = tuple(entry for entry in reading.entries if entry not in built)
    said = tuple(_unbuilt(f"line {entry.line} of {entry.file} is no wheel") for entry in built)
    return replace(reading, entries=rest, only_binary=(":all:",), no_binary=()), said


def _is_wheel(entry: Entry) -> bool:
    place = str(entry.local) if entry.local else urlsplit(entry.text.partition("@")[2] or entry.text).path
    return place.split(";")[0].strip().endswith(".whl")


def _wants_build(error: UnmetRequirementsError) -> bool:
    text = " ".join([error.what, error.why, *error.explanation])
    return any(
        sign in text for sign in ("no usable wheels", "no wheels", "building from source", "Wheels are required")
    )


def _unbuilt(why: str) -> Unchecked:
    return Unchecked(
        "packages that come as source",
        f"{why}, and --untrusted builds nothing",
        "validate without it once the files were read",
        chosen=True,
    )


def _resolve(reading: Reading, situation: Situation, resolver: str) -> Resolution:
    if (
        resolver == "pip"
        and situation.builds
        and situation.base is not None
        and (platform.system(), platform.machine()) == ("Linux", "x86_64")
    ):
        return resolve_pip.resolve(reading, situation)
    try:
        found = resolve_uv.resolve(reading, situation)
    except UnmetRequirementsError as error:
        # Another index than the public one need not have what is installed already.
        if situation.base is not None or not reading.indexes.default or not _present(error, situation):
            raise
        situation = replace(situation, bare=True)
        found = resolve_uv.resolve(reading, situation)
    if situation.bare:
        found = replace(found, unsure=(*found.unsure, _BARE.format(airflow=situation.version.airflow)))
    if resolver == "pip":
        why = "pip resolves for MWAA only on Linux x86_64 with the version's packages installed; uv was asked instead"
        return replace(found, unsure=(*found.unsure, why))
    return found


def _present(error: UnmetRequirementsError, situation: Situation) -> bool:
    """Whether the failure is about packages that the image has."""
    return error.kind in {"no-match", "conflict"} and any(
        str(canonicalize_name(name)) in situation.present
        for name in re.findall(r"[A-Za-z0-9][\w.-]*", " ".join(error.explanation))
    )


def _from_cache(result: Outcome, reading: Reading, error: UnmetRequirementsError) -> Outcome:
    """No index answers: what fetched packages and the image's own tell, and what stays open."""
    unchecked = _unchecked(error)
    if error.kind != "network":
        return replace(result, unchecked=(*result.unchecked, unchecked))
    try:
        situation = replace(result.situation, timeout_s=_CACHED_TIMEOUT_S)
        found = resolve_uv.resolve(reading, situation, offline=True)
    except UnmetRequirementsError as second:
        # Without an index "not found" proves nothing; a collision of two pins is one wherever the packages come from.
        certain = second.kind == "conflict" and any(conflict.pin for conflict in second.conflicts)
        direct = explain.direct_conflicts(reading, python=result.situation.python)
        return replace(result, error=second if certain and direct else None, unchecked=(*result.unchecked, unchecked))
    note = replace(
        unchecked, why=f"{unchecked.why}; the packages fetched earlier fit together, newer ones were not seen"
    )
    return replace(result, resolution=found, unchecked=(*result.unchecked, note))


def _unchecked(error: UnmetRequirementsError) -> Unchecked:
    if error.kind == "network" and error.conflicts:
        return Unchecked(f"what {error.where} brings", f"{error.what}: {error.why}"[:300], error.hint)
    what = (
        f"versions of the packages in requirements.txt ({error.where})"
        if error.where
        else "versions of the packages in requirements.txt"
    )
    return Unchecked(what, error.what if error.kind == "network" else f"{error.what}: {error.why}"[:300], error.hint)


def prepare(workspace: Workspace) -> Situation:
    """What resolving for a workspace needs: its version, this machine's way to an index, the base set."""
    version = workspace.version
    exported = imports.startup_variables(workspace.startup, version.airflow)
    if workspace.untrusted:
        # A stranger's script may say where packages come from, not which programs, proxies or certificates are used.
        exported = {name: value for name, value in exported.items() if name in _HARMLESS}
    variables = {**pip_settings.of_machine(workspace.variables), **exported}
    return replace(situation(version, variables), builds=not workspace.untrusted)


def situation(version: catalog.Version, variables: Mapping[str, str], *, timeout_s: float = _TIMEOUT_S) -> Situation:
    """A situation from a process environment.

    Args:
        version: Airflow's version.
        variables: The process environment: cache folder, proxies, pip's and uv's settings.
        timeout_s: Limit for one run of the resolver, in seconds.
    """
    cache = cache_folder(variables)
    environment = {**_NETWORK, **variables}
    base = base_sets._known(Store(cache / "package-sets"), version)
    uv = Uv(cache, environment, pip_settings.read(environment, base.path if base else None))
    present = {str(canonicalize_name(name)): pin for name, pin in version.packages.items()}
    return Situation(version, uv, base, timeout_s, present)


def container_variables(workspace: Workspace) -> dict[str, str]:
    """Variables that pip sees on MWAA: configuration options, and what the startup script exports (spec/10 4.1)."""
    exported = imports.startup_variables(workspace.startup, workspace.version.airflow)
    return {**exported, **workspace.environment.spec.option_variables()}


def path_map(workspace: Workspace) -> dict[str, Path]:
    """Where the container's folders are in a workspace; the rest of the project does not come to MWAA."""
    flow, home = workspace.environment.workflow, catalog.limits().home
    return {
        home: Path("/nonexistent"),
        f"{home}/dags": flow.dags,
        f"{home}/plugins": workspace.plugins_folder,
        f"{home}/requirements": flow.requirements.parent,
    }


def _folder(name: str | None) -> Path | None:
    return Path(name).expanduser() if name else None
