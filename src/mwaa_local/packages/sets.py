"""Package sets: the image's own packages, and those plus one resolved ``requirements.txt``, each installed once.

Both components of one environment and all environments of a machine use the same folder, addressed by a hash of what
decides its content (design 2.4).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mwaa_local import catalog
from mwaa_local.catalog.packaging_facts import packaging_facts
from mwaa_local.errors import MachineError
from mwaa_local.packages import (
    bytecode,
    explain,
    fingerprint,
    inputs,
    install,
    listing,
    merged_index,
    narrate,
    pip_settings,
    scripts,
    store,
)
from mwaa_local.packages import requirements as reader
from mwaa_local.packages.constraints import ConstraintFinder
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.index_sources import LeftOut
from mwaa_local.packages.paths import redact
from mwaa_local.packages.requirements import Reading
from mwaa_local.packages.store import Store
from mwaa_local.packages.uv_tool import Uv, cut_off_of


@dataclass(frozen=True)
class PackageSet:
    """An installed set.

    Attributes:
        path: The folder: ``bin``, ``lib/pythonX.Y/site-packages``, ``etc``.
        key: What it is addressed by.
        airflow: Airflow's version.
        python: Its Python, ``3.12.1``.
        kind: ``base`` or ``requirements``.
        base: Key of the base set it grew from; its own for a base set.
        source: The constraint source in words; empty for a base set.
        installed_now: This call installed it; otherwise it was there.
        seconds: How long this call took.
        changed: Packages it adds to or replaces in the base set, canonical name to version.
        notes: What the user should know.
    """

    path: Path
    key: str
    airflow: str
    python: str
    kind: str
    base: str
    source: str = ""
    installed_now: bool = False
    seconds: float = 0.0
    changed: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def minor(self) -> str:
        """``3.12``."""
        return ".".join(self.python.split(".")[:2])

    @property
    def bin(self) -> Path:
        """The folder of commands."""
        return self.path / "bin"

    @property
    def interpreter(self) -> Path:
        """The set's Python."""
        return self.bin / "python"

    @property
    def site_packages(self) -> Path:
        """The folder of packages."""
        return self.path / "lib" / f"python{self.minor}" / "site-packages"

    def installed(self) -> dict[str, str]:
        """Canonical name to version of everything in it."""
        return listing.installed(self.site_packages)


def load(path: Path) -> PackageSet:
    """The set in a folder.

    Raises:
        MachineError: there is no whole set.
    """
    found = store.manifest(path)
    if found is None:
        raise MachineError(
            "There is no package set", where=str(path), why=f"{store.MANIFEST} is missing or cannot be read",
            hint="run `mwaa-local up` again; it installs what is missing",
        )  # fmt: skip
    store.touch(path)
    return from_manifest(path, found)


def from_manifest(path: Path, content: Mapping[str, Any]) -> PackageSet:
    """The set a manifest describes."""
    return PackageSet(
        path,
        content["key"],
        content["airflow"],
        content["python"],
        content["kind"],
        content["base"],
        content.get("source", ""),
        changed=content.get("changed"),
        notes=tuple(content.get("notes", ())),
    )


def ensure(
    version: catalog.Version,
    requirements_file: Path,
    *,
    base: PackageSet,
    cache: Path,
    environment: Mapping[str, str],
    path_map: Mapping[str, Path] | None = None,
    constraints_dir: Path | None = None,
    resolver: str = "uv",
    emit: narrate.Emit = lambda line: None,
    timeout_s: float | None = None,
    constraint_address: str | None = None,
) -> PackageSet:
    """The set for a requirements file: found, or installed once whatever starts at the same time.

    Args:
        version: Airflow's version.
        requirements_file: The file.
        base: The base set of that version.
        cache: The tool's cache folder; sets are in ``package-sets`` of it.
        environment: Variables pip would see: the merged ones of spec/10 section 2.2.
        path_map: Paths of MWAA's container (``/usr/local/airflow``) to where they really are.
        constraints_dir: ``MWAA_CONSTRAINTS_DIR``.
        resolver: ``uv`` or ``pip``.
        emit: Takes the lines of the ``requirements_install`` stream, in pip's form.
        timeout_s: Limit in seconds; the catalog's (spec/10 section 4.1) unless given.
        constraint_address: Template of Airflow's constraint address, if not the catalog's.

    Returns:
        The set; the base itself where the file asks for nothing.

    Raises:
        UnmetRequirementsError: it cannot be read, resolved or installed. The reason was emitted too.
    """
    started = time.monotonic()
    limit = timeout_s if timeout_s is not None else float(catalog.limits().requirements_seconds)
    settings = pip_settings.read(environment, base.path)
    paths = dict(path_map or {})
    uv = Uv(cache, environment, settings)
    try:
        finder = ConstraintFinder(cache, constraints_dir, environment, settings, constraint_address)
        reading = reader.read(
            requirements_file,
            version=version,
            environment=environment,
            path_map=paths,
            finder=finder,
            settings=settings,
        )
        try:
            found = _ensure(version, reading, base, uv, paths, resolver, emit, limit)
        except OSError as error:
            raise explain.from_os_error(error, str(cache)) from error
    except UnmetRequirementsError as error:
        narrate.failed(emit, error)
        raise
    return replace(found, seconds=time.monotonic() - started)


def _ensure(
    version: catalog.Version,
    reading: Reading,
    base: PackageSet,
    uv: Uv,
    paths: Mapping[str, Path],
    resolver: str,
    emit: narrate.Emit,
    limit: float,
) -> PackageSet:
    site = f"{catalog.limits().home}/.local/lib/python{base.minor}/site-packages"
    for note in reading.notes:
        emit(f"Note: {note}")
    emit(f"Constraints: {reading.source}")
    if not reading.entries:
        narrate.begin(emit, reading, {}, site, base.python)
        return replace(base, source=reading.source, installed_now=False, notes=reading.notes)
    key = fingerprint.set_key(
        reading,
        base=base.key,
        version=version.airflow,
        resolver=resolver,
        settings=uv.settings,
        cut_off=cut_off_of(reading),
        shipped=tuple(paths.values()),
    )
    sets = Store(uv.cache / "package-sets")
    if (found := _existing(sets, key, reading, site, emit)) is not None:
        return found
    deadline = time.monotonic() + limit
    with sets.lock(key, limit) as lock:
        # The other component may have installed it while this one waited.
        if (found := _existing(sets, key, reading, site, emit)) is not None:
            return found
        if (found := _standing_in(sets, key, reading, uv, site, emit)) is not None:
            return found
        with sets.partial(key) as folder, tempfile.TemporaryDirectory(prefix="mwaa-local-") as scratch:
            before = base.installed()
            narrate.begin(emit, reading, before, site, base.python)
            store.clone(base.path, folder)
            given = inputs.write(reading, Path(scratch))
            notes, left_out = install.requirements(
                folder,
                reading,
                given,
                uv=uv,
                resolver=resolver,
                python=base.python,
                timeout_s=max(deadline - time.monotonic(), 0.1),
                lock=lock,
                emit=emit,
                shipped=tuple(paths.values()),
            )
            own = fingerprint.without_key(key, [item.url for item in left_out]) if left_out else key
            made = replace(base, path=folder, key=own, kind="requirements", base=base.key, source=reading.source)
            after = made.installed()
            changes = listing.diff(before, after)
            install.check_hashes(reading, changes)
            if resolver != "pip":  # pip has told so itself
                narrate.installed(emit, changes)
            changed = {change.name: change.after for change in changes if change.after}
            _compile(sets, made, changed)
            write_image_files(folder, version, reading)
            scripts.write(folder, made.minor)
            notes = (*notes, *map(str, left_out))
            content = manifest_of(replace(made, changed=changed, notes=notes))
            content["requirements"] = [redact(entry.text) for entry in reading.entries]
            content["resolver"] = resolver
            if left_out:
                content |= {"instead_of": key, "left_out": [asdict(item) for item in left_out]}
            # One that lacks the same indexes may be there and in use: they were back for a while.
            place = sets.place(own) if left_out and sets.manifest(own) else sets.publish(folder, own, content)
    return replace(from_manifest(place, content), installed_now=True, notes=(*reading.notes, *notes))


def _compile(sets: Store, made: PackageSet, changed: Mapping[str, str]) -> None:
    """Bytecode of what was added: shared with the set that has most of it already, compiled where none has it."""
    others = [from_manifest(place, found) for place, found in sets.all() if found.get("base") == made.base]
    left = dict(changed)
    modules: list[str] = []
    for other in sorted(others, key=lambda one: len(changed.items() & (one.changed or {}).items()), reverse=True)[:2]:
        shared = left.items() & (other.changed or {}).items()
        names = bytecode.brought_by(made.site_packages, [name for name, _ in shared])
        bytecode.borrow(made.site_packages, other.site_packages, names)
        modules += [name for name in names if name.endswith(".py")]  # single files: no folder to share
        left = {name: version for name, version in left.items() if (name, version) not in shared}
    names = bytecode.brought_by(made.site_packages, list(left))
    bytecode.compile_names(made.interpreter, made.site_packages, [*names, *modules])


def _existing(sets: Store, key: str, reading: Reading, site: str, emit: narrate.Emit) -> PackageSet | None:
    content = sets.manifest(key)
    if content is None:
        return None
    found = from_manifest(sets.place(key), content)
    store.touch(found.path)
    narrate.begin(emit, reading, found.installed(), site, found.python)
    # The constraint source may be another one with the same content: what this call used is what it says.
    return replace(found, source=reading.source, notes=tuple(dict.fromkeys((*reading.notes, *found.notes))))


def _standing_in(sets: Store, key: str, reading: Reading, uv: Uv, site: str, emit: narrate.Emit) -> PackageSet | None:
    """The set that was installed without the indexes that cannot be asked now either."""
    for place, content in sets.all():
        if content.get("instead_of") != key:
            continue
        told = [LeftOut(**{**item, "projects": tuple(item["projects"])}) for item in content.get("left_out", ())]
        if not merged_index.still_left_out(told, reading.indexes, uv):
            continue
        for item in told:
            emit(f"WARNING: {item}")
        return _existing(sets, place.name, reading, site, emit)
    return None


def manifest_of(made: PackageSet) -> dict[str, Any]:
    """The manifest of a set."""
    return {
        "format": fingerprint.FORMAT,
        "key": made.key,
        "airflow": made.airflow,
        "python": made.python,
        "kind": made.kind,
        "base": made.base,
        "source": made.source,
        "changed": dict(made.changed or {}),
        "notes": list(made.notes),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_image_files(prefix: Path, version: catalog.Version, reading: Reading | None = None) -> None:
    """The two constraint files the image keeps under ``.local/etc`` (spec/10 section 2.5).

    Without a reading that injected Airflow's file, the image's own pins are written, as far as they are not there yet.
    """
    facts = packaging_facts()
    for relative, lines in (
        (facts.constraints_file, _injected(reading) or [f"{n}=={p}" for n, p in version.packages.items()]),
        (facts.essential_file, [f"{name}=={pin}" for name, pin in version.essential.items()]),
    ):
        path = prefix / relative.removeprefix(".local/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if relative != facts.constraints_file or not _injected(reading):
                continue
            path.unlink()  # shared with the base set by a hard link
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _injected(reading: Reading | None) -> list[str]:
    return list(reading.parts[-1].lines) if reading is not None and reading.injected else []
