"""Resolving without installing: the verdict for MWAA's own machine, whatever machine asks.

The same reading, constraints and rules as installing, for Linux x86_64 and the version's Python. What the image has
already is preferred, as pip prefers what is installed.
"""

from __future__ import annotations

import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mwaa_local import catalog
from mwaa_local.catalog.packaging_facts import packaging_facts
from mwaa_local.packages import (
    child,
    constraints,
    explain,
    inputs,
    install,
    listing,
    merged_index,
    narrate,
    pip_settings,
    uv_tool,
)
from mwaa_local.packages import requirements as reader
from mwaa_local.packages.constraints import ConstraintFinder
from mwaa_local.packages.listing import Change
from mwaa_local.packages.requirements import Reading
from mwaa_local.packages.uv_tool import Uv

_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Resolution:
    """The versions a requirements file leads to.

    Attributes:
        reading: What was read.
        pins: Canonical name to version of everything the requirements need, the image's own packages included.
        changes: What would be installed or replaced in the image.
        seconds: How long it took.
        notes: What the user should know.
    """

    reading: Reading
    pins: Mapping[str, str]
    changes: tuple[Change, ...]
    seconds: float
    notes: tuple[str, ...]


def resolve(
    version: catalog.Version,
    requirements_file: Path,
    *,
    cache: Path,
    environment: Mapping[str, str],
    path_map: Mapping[str, Path] | None = None,
    constraints_dir: Path | None = None,
    python: str | None = None,
    platform: str | None = None,
    timeout_s: float = _TIMEOUT_S,
    constraint_address: str | None = None,
    wheels_only: bool = False,
) -> Resolution:
    """Resolve a requirements file for MWAA's containers.

    Args:
        version: Airflow's version.
        requirements_file: The file.
        cache: The tool's cache folder.
        environment: Variables pip would see.
        path_map: Paths of MWAA's container to where they really are.
        constraints_dir: ``MWAA_CONSTRAINTS_DIR``.
        python: Python's version to resolve for; the image's unless given.
        platform: uv's name of the machine; the catalog's unless given.
        timeout_s: Limit in seconds.
        constraint_address: Template of Airflow's constraint address, if not the catalog's.
        wheels_only: Source archives do not count, and nothing is built.

    Raises:
        UnmetRequirementsError: it cannot be read or resolved; ``conflicts`` has the lines and pins.
    """
    started = time.monotonic()
    settings = pip_settings.read(environment)
    uv = Uv(cache, environment, settings)
    target = python or version.python_patch
    finder = ConstraintFinder(cache, constraints_dir, environment, settings, constraint_address)
    reading = reader.read(
        requirements_file,
        version=version,
        environment=environment,
        path_map=dict(path_map or {}),
        finder=finder,
        settings=settings,
    )
    notes = reading.notes
    cut_off = uv_tool.cut_off_of(reading)
    with tempfile.TemporaryDirectory(prefix="mwaa-local-") as folder:
        scratch = Path(folder)
        given = inputs.write(reading, scratch)
        answer = scratch / "resolved.txt"
        base: list[str | Path]
        base = [uv_tool.binary(), "pip", "compile", "--no-header", "--no-annotate", "--no-strip-extras",
                "--python-version", target, "--python-platform", platform or packaging_facts().target_platform,
                "--output-file", answer, "--find-links", stand_ins(version, scratch)]  # fmt: skip
        base += ["--only-binary", ":all:"] if wheels_only else []
        base += [str(path) for path in given.requirements]
        base += [word for path in given.constraints for word in ("--constraints", str(path))]
        preferred = [f"{name}=={pin}" for name, pin in version.packages.items() if reading.pin(name) is None]
        while True:
            # Pins in the answer's place are preferred: what the image has stays, as pip leaves it.
            answer.write_text("".join(line + "\n" for line in preferred), encoding="utf-8")
            with merged_index.opened(reading.indexes, uv) as offered:
                done = child.run(
                    [*base, *uv_tool.resolver_options(reading, settings, cut_off, offered.indexes)],
                    env={**uv.variables(offered.indexes), **offered.variables},
                    cwd=scratch,
                    timeout_s=max(timeout_s - (time.monotonic() - started), 0.1),
                )
                text, left_out = offered.translate(done.text), offered.left_out()
            if done.code == 0 and not done.timed_out:
                notes = (*notes, *map(str, left_out))
                break
            if cut_off is not None and not done.timed_out and narrate.DATELESS in done.text:
                notes = (*notes, f"the index does not say when files were uploaded: no cut-off {cut_off}")
                cut_off = None
                continue
            minor = ".".join(target.split(".")[:2])
            limit = timeout_s if done.timed_out else None
            failure = explain.failure(given.translate(text), reading, python=minor, timed_out_s=limit)
            raise explain.without(failure, left_out)
        pins = constraints.pins(_without_extras(answer.read_text(encoding="utf-8")))
    image = {str(name): pin for name, pin in constraints.pins(_text(version)).items()}
    after = {**image, **pins}
    changes = listing.diff(image, after)
    install.check_hashes(reading, changes)
    return Resolution(reading, pins, changes, time.monotonic() - started, notes)


def stand_ins(version: catalog.Version, folder: Path) -> Path:
    """Empty wheels of the image's packages that exist only as source: the image has them, nothing must be built.

    Args:
        version: The version.
        folder: Where to make the folder of wheels.

    Returns:
        A folder for ``--find-links``.
    """
    links = folder / "stand-ins"
    links.mkdir()
    for name in version.source_only_packages:
        pin = version.packages[name]
        stem = f"{name.replace('-', '_')}-{pin}"
        with zipfile.ZipFile(links / f"{stem}-py3-none-any.whl", "w") as wheel:
            info = f"{stem}.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {pin}\n")
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: mwaa-local\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return links


def _text(version: catalog.Version) -> str:
    return "".join(f"{name}=={pin}\n" for name, pin in version.packages.items())


def _without_extras(text: str) -> str:
    return "\n".join(
        line[: line.index("[")] + line[line.index("]") + 1 :] if "[" in line and "]" in line else line
        for line in text.splitlines()
    )
