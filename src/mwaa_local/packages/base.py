"""The base set: every package of MWAA's image with its exact version (spec/10 appendix A)."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from mwaa_local import catalog
from mwaa_local.packages import (
    bytecode,
    child,
    explain,
    fingerprint,
    merged_index,
    pip_settings,
    pythons,
    scripts,
    store,
    uv_tool,
)
from mwaa_local.packages.fetch import write_atomically
from mwaa_local.packages.indexes import from_settings, usable
from mwaa_local.packages.narrate import Emit
from mwaa_local.packages.pythons import Interpreter
from mwaa_local.packages.requirements import Reading
from mwaa_local.packages.sets import PackageSet, from_manifest, manifest_of, write_image_files
from mwaa_local.packages.store import Store
from mwaa_local.packages.uv_tool import Uv

_TIMEOUT_S = 900.0


def ensure_base(
    version: catalog.Version,
    cache: Path,
    *,
    environment: Mapping[str, str],
    python: Path | None = None,
    emit: Emit = lambda line: None,
    timeout_s: float = _TIMEOUT_S,
    all_bytecode: bool = False,
) -> PackageSet:
    """The base set of a version: found, or installed once.

    Args:
        version: The version.
        cache: The tool's cache folder.
        environment: ``PATH`` and ``HOME`` to look for Pythons, proxies, pip's configuration.
        python: An interpreter the user named.
        emit: Takes progress lines.
        timeout_s: Limit in seconds.
        all_bytecode: Compile everything rather than what Airflow's processes import at start.

    Raises:
        MachineError: no Python.
        UnmetRequirementsError: the packages cannot be fetched or written.
    """
    started = time.monotonic()
    sets = Store(cache / "package-sets")
    if python is None and (known := _known(sets, version, environment)) is not None:
        return replace(known, seconds=time.monotonic() - started)
    interpreter = pythons.find(version, environment=environment, cache=cache, explicit=python)
    key = fingerprint.base_key(version, interpreter.build)
    try:
        found = sets.manifest(key)
        installed_now = False
        if found is None:
            with sets.lock(key, timeout_s) as lock:
                found = sets.manifest(key)
                if found is None:
                    with sets.partial(key) as folder:
                        made = build(
                            folder, version, interpreter, cache=cache, environment=environment, emit=emit,
                            timeout_s=timeout_s, all_bytecode=all_bytecode, lock=lock,
                        )  # fmt: skip
                        found = manifest_of(made)
                        sets.publish(folder, key, found)
                        installed_now = True
        store.touch(sets.place(key))
        if python is None and interpreter.warning is None:
            _remember(sets, version, key, interpreter, environment)
    except OSError as error:
        raise explain.from_os_error(error, str(cache)) from error
    result = from_manifest(sets.place(key), found)
    return replace(result, installed_now=installed_now, seconds=time.monotonic() - started)


def build(
    folder: Path,
    version: catalog.Version,
    interpreter: Interpreter,
    *,
    cache: Path,
    environment: Mapping[str, str],
    emit: Emit,
    timeout_s: float,
    all_bytecode: bool,
    lock: int | None = None,
) -> PackageSet:
    """Install the base set into an empty folder; see ``ensure_base`` for the arguments.

    Raises:
        UnmetRequirementsError: the packages cannot be fetched or written.
        OSError: the disk is full.
    """
    settings = pip_settings.read(environment)
    uv = Uv(cache, environment, settings)
    indexes = usable(from_settings(settings), {})
    reading = Reading(Path("image"), f"packages of MWAA's image for {version.airflow}", indexes=indexes)
    held = [lock] if lock is not None else []
    deadline = time.monotonic() + timeout_s

    def left() -> float:
        return max(deadline - time.monotonic(), 0.1)

    env = uv.variables(indexes, folder)
    emit(f"Installing {len(version.packages)} packages of MWAA's image for Airflow {version.airflow}")
    made = child.run(
        [uv_tool.binary(), "venv", "--relocatable", "--allow-existing", "--python", interpreter.path, folder],
        env=env, timeout_s=min(60.0, left()), keep_open=held,
    )  # fmt: skip
    if made.code != 0:
        raise explain.failure(made.text, reading, python=interpreter.minor)
    with tempfile.TemporaryDirectory(prefix="mwaa-local-") as scratch:
        pins = Path(scratch) / "image.txt"
        pins.write_text("".join(f"{n}=={p}\n" for n, p in version.packages.items() if n not in left_out(version)))
        tools = Path(scratch) / "build.txt"
        tools.write_text("".join(f"{line}\n" for line in version.build_constraints))
        with merged_index.opened(indexes, uv) as offered:
            options = uv_tool.resolver_options(reading, settings, None, offered.indexes)
            done = child.run(
                [uv_tool.binary(), "pip", "install", "--python", folder / "bin" / "python", "--no-deps",
                 *(word for word in options if word != "--no-deps"), "--build-constraints", tools,
                 "--requirements", pins],
                env={**uv.variables(offered.indexes, folder), **offered.variables},
                cwd=Path(scratch), timeout_s=left(), keep_open=held,
            )  # fmt: skip
            text, missed = offered.translate(done.text), offered.left_out()
    for item in missed:
        emit(f"WARNING: {item}")
    if done.code != 0 or done.timed_out:
        limit = timeout_s if done.timed_out else None
        raise explain.without(explain.failure(text, reading, python=interpreter.minor, timed_out_s=limit), missed)
    result = PackageSet(
        folder,
        fingerprint.base_key(version, interpreter.build),
        version.airflow,
        interpreter.version,
        "base",
        fingerprint.base_key(version, interpreter.build),
        notes=(interpreter.warning,) if interpreter.warning else (),
    )
    for name in left_out(version):
        _stand_in(result.site_packages, name, version.packages[name])
    write_image_files(folder, version)
    scripts.write(folder, interpreter.minor)
    emit("Compiling")
    (bytecode.compile_all if all_bytecode else bytecode.compile_hot)(result.interpreter, result.site_packages)
    return result


def left_out(version: catalog.Version) -> frozenset[str]:
    """Packages of the image that exist only as source and are not installed here."""
    return frozenset(version.source_only_packages)


def _stand_in(site_packages: Path, name: str, version: str) -> None:
    """Say that a source-only package of the image is there, so that asking for it gets MWAA's answer.

    ``psycopg2`` is compiled in the image; here ``psycopg2-binary`` brings the same module, and only the entry in the
    list of packages is missing. Without it a requirement ``psycopg2`` would need a compiler that MWAA's does not.
    """
    folder = site_packages / f"{canonicalize_name(name).replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (folder / "INSTALLER").write_text("mwaa-local\n", encoding="utf-8")
    (folder / "RECORD").write_text(
        "".join(f"{folder.name}/{file},,\n" for file in ("METADATA", "INSTALLER", "RECORD")), encoding="utf-8"
    )


@dataclass(frozen=True)
class _Pointer:
    """Which set serves a version, so that a warm start need not run interpreters to ask what they are."""

    key: str
    interpreter: str
    stamp: float


def _remember(
    sets: Store, version: catalog.Version, key: str, interpreter: Interpreter, environment: Mapping[str, str]
) -> None:
    try:
        stamp = interpreter.path.stat().st_mtime
    except OSError:
        return
    pointer = {
        "key": key,
        "interpreter": str(interpreter.path),
        "stamp": stamp,
        "build": interpreter.build,
        "choice": pythons.available(version, environment),
    }
    write_atomically(sets.root / f".base-{version.airflow}.json", json.dumps(pointer))


def _known(sets: Store, version: catalog.Version, environment: Mapping[str, str] | None = None) -> PackageSet | None:
    try:
        told = json.loads((sets.root / f".base-{version.airflow}.json").read_text(encoding="utf-8"))
        pointer = _Pointer(told["key"], told["interpreter"], told["stamp"])
        if Path(pointer.interpreter).stat().st_mtime != pointer.stamp:
            return None
        found = pythons.available(version, environment) if environment is not None else []
        if not set(found) <= set(told["choice"]):  # a nearer one may be among the new
            return None
        if fingerprint.base_key(version, told["build"]) != pointer.key:  # the catalog's pins changed
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    content = sets.manifest(pointer.key)
    if content is None:
        return None
    store.touch(sets.place(pointer.key))
    return from_manifest(sets.place(pointer.key), content)
