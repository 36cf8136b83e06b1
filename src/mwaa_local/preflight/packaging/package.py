"""``mwaa-local package``: what goes to the bucket, and the proof that MWAA accepts it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from mwaa_local import catalog
from mwaa_local.errors import MwaaLocalError, RequirementsError, WorkflowFileError
from mwaa_local.model.plugins import ARCHIVE_NAME
from mwaa_local.packages import base as base_sets
from mwaa_local.packages.entries import Entry as Line
from mwaa_local.packages.paths import redact
from mwaa_local.packages.requirements import Reading
from mwaa_local.packages.sets import PackageSet
from mwaa_local.preflight.packaging import archive as packaging_archive
from mwaa_local.preflight.packaging import build as packaging_build
from mwaa_local.preflight.packaging import fetch as packaging_fetch
from mwaa_local.preflight.packaging.archive import Entry
from mwaa_local.preflight.packaging.prove import Proof, prove
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.resolving import wheels as resolve_wheels
from mwaa_local.preflight.resolving.resolve import Outcome
from mwaa_local.preflight.resolving.types import Package, Resolution, Situation
from mwaa_local.preflight.workspace import Workspace

ARCHIVE = ARCHIVE_NAME
REQUIREMENTS = "packaged-requirements.txt"
# Inside plugins.zip, so that it needs no network and travels with the wheels it was made for.
CONSTRAINTS = "packaged-constraints.txt"
# Airflow itself: a package that brought another one would destroy the environment.
_AIRFLOW = frozenset({"apache-airflow", "apache-airflow-core", "apache-airflow-task-sdk"})


@dataclass(frozen=True)
class Missing:
    """A requirement without a wheel for MWAA.

    Attributes:
        name: Package.
        version: Its version.
        why: Why there is no wheel.
        hint: What to do.
    """

    name: str
    version: str
    why: str
    hint: str


class NoWheelError(RequirementsError):
    """Some requirements have no wheel for MWAA's machine."""

    id = "no-wheel"

    def __init__(self, missing: list[Missing], where: str) -> None:
        super().__init__(
            f"No wheel for Linux x86_64: {', '.join(f'{item.name} {item.version}' for item in missing)}",
            where=where,
            why="; ".join(f"{item.name}: {item.why}" for item in missing),
            hint="; ".join(dict.fromkeys(item.hint for item in missing)),
        )
        self.missing = tuple(missing)


@dataclass(frozen=True)
class Packaged:
    """What was made.

    Attributes:
        archive: ``plugins.zip``.
        sha256: Its digest; the same content gives the same one.
        files: Number of files in it.
        size: Its bytes.
        requirements: ``packaged-requirements.txt``; ``None`` without wheels.
        wheels: Wheels in it, by package: name to file name.
        built: Packages whose wheel was built here.
        proof: What installing it showed; ``None`` if it was not asked for.
        notes: What the user should know.
    """

    archive: Path
    sha256: str
    files: int
    size: int
    requirements: Path | None
    wheels: dict[str, str]
    built: tuple[str, ...]
    proof: Proof | None
    notes: tuple[str, ...] = ()


def package(
    workspace: Workspace,
    out: Path,
    *,
    wheels: bool = False,
    build: bool = False,
    check: bool = True,
    image: str | None = None,
    emit: Callable[[str], None] = lambda text: None,
) -> Packaged:
    """Make ``plugins.zip`` and, with wheels, ``packaged-requirements.txt``.

    Args:
        workspace: The workspace.
        out: Folder to write into.
        wheels: Put every requirement into the archive, as a wheel for MWAA's machine.
        build: Build wheels where the index has none.
        check: Prove it: install it with the network off.
        image: MWAA's image to build in, if Docker has it.
        emit: Takes progress lines.

    Raises:
        UnmetRequirementsError: pip would refuse the requirements on MWAA.
        NoWheelError: requirements have no wheel and none was to be built.
        WorkflowFileError: the plugins cannot be archived, or the archive they come from would be overwritten.
        OSError: nothing can be written there.
    """
    workflow = workspace.environment.workflow
    archive = out / ARCHIVE
    if archive.resolve() == workflow.plugins.resolve():
        raise WorkflowFileError(
            f"{archive.name} would be written over the archive it is made from", where=str(archive),
            hint="name another folder with --out",
        )  # fmt: skip
    content = packaging_archive.entries(workflow.plugins) if workflow.plugins.exists() else []
    notes = [workflow.plugins_choice] if workflow.plugins_choice else []
    found: dict[str, str] = {}
    built: list[str] = []
    outcome: Outcome | None = None
    text = ""
    if wheels:
        outcome = _resolved(workspace)
        assert outcome.resolution is not None and outcome.reading is not None
        notes += [f"{item.what}: {item.why}" for item in outcome.unchecked]
        with tempfile.TemporaryDirectory(prefix="mwaa-local-") as scratch:
            files, built = _collect(outcome, Path(scratch), build, image, emit)
            content += [Entry(path.name, path.read_bytes()) for path in files.values()]
            found = {name: path.name for name, path in files.items()}
        content.append(Entry(CONSTRAINTS, _constraints(outcome.resolution).encode()))
        text = _requirements(outcome.reading, outcome.resolution)
    digest = packaging_archive.write(archive, content)
    written: Path | None = None
    proof: Proof | None = None
    if outcome is not None and outcome.resolution is not None:
        written = out / REQUIREMENTS
        written.write_text(text, encoding="utf-8")
        if check:
            emit("Installing the package with the network off")
            base = _base(outcome.situation, emit)
            expected = {name: item.version for name, item in outcome.resolution.changes.items()}
            proof = prove(archive, written, base, workspace.version, expected)
    limit = catalog.limits().plugins_zip_bytes
    if (size := archive.stat().st_size) > limit:
        notes.append(
            f"{archive.name} has {size / 1e9:.1f} GB; below {limit / 1e9:.1f} GB is "
            "recommended, a larger one starts slower"
        )
    return Packaged(
        archive, digest, len({entry.name for entry in content}), size, written, found, tuple(built), proof, tuple(notes)
    )


def _resolved(workspace: Workspace) -> Outcome:
    outcome = resolve.outcome(workspace)
    if outcome is None:
        raise RequirementsError(
            "There is no requirements file to take wheels for", where=str(workspace.environment.workflow.requirements),
            hint="leave --wheels out, or write the file",
        )  # fmt: skip
    if outcome.error is not None:
        raise outcome.error
    if outcome.resolution is None or outcome.reading is None:
        first = outcome.unchecked[0] if outcome.unchecked else None
        raise RequirementsError(
            "The requirements cannot be resolved now",
            where=str(outcome.file),
            why=first.why if first else "",
            hint=first.hint if first else "",
        )
    return outcome


def _collect(
    outcome: Outcome, folder: Path, build: bool, image: str | None, emit: Callable[[str], None]
) -> tuple[dict[str, Path], list[str]]:
    """The wheels of everything that has to be installed, in a folder; names of those that were built."""
    assert outcome.resolution is not None
    situation, python = outcome.situation, outcome.situation.version.python
    files: dict[str, Path] = {}
    missing: list[Missing] = []
    built: list[str] = []
    for name, item in sorted(outcome.resolution.changes.items()):
        if name in _AIRFLOW:
            raise RequirementsError(
                f"The file would bring {name} {item.version} over MWAA's {situation.present.get(name, 'own')}",
                where=str(outcome.file), hint="leave Airflow itself out of the file",
            )  # fmt: skip
        if item.archive is not None and item.archive.wheel:
            if resolve_wheels.rank(item.archive.name, python) is None:
                missing.append(_missing(item, python))
                continue
            emit(f"Fetching {item.archive.name}")
            files[name] = packaging_fetch.copy(item.archive, situation.uv, folder)
            continue
        if not build:
            missing.append(_missing(item, python))
            continue
        prepared = situation if image else replace(situation, base=_base(situation, emit))
        try:
            files[name] = packaging_build.build(item, prepared, folder, image=image, emit=emit)
        except MwaaLocalError as error:
            missing.append(Missing(name, item.version, f"{error.what}: {error.why}"[:600], error.hint))
        else:
            built.append(name)
    if missing:
        raise NoWheelError(missing, str(outcome.file))
    return files, built


def _missing(item: Package, python: str) -> Missing:
    hint = "build it with --build, or take a version that has a wheel"
    if item.local:
        return Missing(item.name, item.version, f"it is built from {redact(item.local)}", hint)
    if item.wheels:
        return Missing(
            item.name, item.version, f"its wheels are for other Pythons or machines than {python} on Linux x86_64", hint
        )
    return Missing(item.name, item.version, "the release has no wheel", hint)


def _base(situation: Situation, emit: Callable[[str], None]) -> PackageSet | None:
    """The version's base set, installed now if it is not here; ``None`` where that is not possible."""
    if situation.base is not None:
        return situation.base
    try:
        return base_sets.ensure_base(
            situation.version, situation.uv.cache, environment=situation.uv.environment, emit=emit
        )
    except MwaaLocalError:
        return None


def _constraints(found: Resolution) -> str:
    """Exact versions of everything the file leads to, those of the image included."""
    lines = [
        f"{name}=={item.version}" for name, item in sorted(found.packages.items()) if item.version and not item.local
    ]
    lines += [f"{name}=={item.version}" for name, item in sorted(found.packages.items()) if item.version and item.local]
    return "\n".join(["# Written by `mwaa-local package`: what was resolved together.", *sorted(lines)]) + "\n"


def _requirements(reading: Reading, found: Resolution) -> str:
    plugins = f"{catalog.limits().home}/plugins"
    head = [f"--find-links {plugins}", "--no-index", f"--constraint {plugins}/{CONSTRAINTS}", ""]
    return "\n".join([*head, *dict.fromkeys(_line(entry, found) for entry in reading.entries)]) + "\n"


def _line(entry: Line, found: Resolution) -> str:
    """The line as it stands in the packaged file: a name and the version that lies beside it."""
    name = entry.name or next(
        (
            item.name
            for item in found.packages.values()
            if item.local and entry.local and Path(item.local) == entry.local
        ),
        "",
    )
    item = found.packages.get(name)
    marker = f" ; {entry.marker}" if entry.marker else ""
    extras = ""
    try:
        parsed = Requirement(entry.text)
        name = parsed.name
        extras = f"[{','.join(sorted(parsed.extras))}]" if parsed.extras else ""
    except InvalidRequirement:
        pass
    if item is None:  # its marker does not hold on MWAA
        return entry.text if entry.kind == "index" else f"# {redact(entry.text)}"
    return f"{name}{extras}=={item.version}{marker}"
