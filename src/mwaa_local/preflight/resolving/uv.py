"""The verdict pip gives on MWAA, found by uv in seconds and on any machine.

uv resolves for MWAA's platform and Python and prefers the versions the image has, as pip keeps what is installed and
fits. Where uv and pip differ, pip's rule is applied afterwards: metadata that breaks the standard, hashes, source
archives that refuse this Python. The corpus of real files holds the two together.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from mwaa_local.catalog.packaging_facts import packaging_facts
from mwaa_local.packages import child, explain, fingerprint, inputs, install, merged_index, uv_tool
from mwaa_local.packages.failure import Conflict, UnmetRequirementsError
from mwaa_local.packages.listing import Change
from mwaa_local.packages.merged_index import Offered
from mwaa_local.packages.narrate import DATELESS, UNDATED
from mwaa_local.packages.paths import from_url, is_url, redact
from mwaa_local.packages.prereleases import PreReleases
from mwaa_local.packages.requirements import Reading
from mwaa_local.preflight.resolving import metadata as resolve_metadata
from mwaa_local.preflight.resolving import prepare as resolve_prepare
from mwaa_local.preflight.resolving import stubs as resolve_stubs
from mwaa_local.preflight.resolving import wheels as resolve_wheels
from mwaa_local.preflight.resolving.types import Archive, Package, Resolution, Situation

_YANKED = re.compile(r"`([A-Za-z0-9][\w.-]*)==([^`]+)` is yanked(?: \(reason: \"(.*)\"\))?")
_OUTPUT = "pylock.toml"
# The index refuses metadata that breaks the standard since then; older releases may have it.
_STRICT_SINCE = datetime(2024, 6, 1, tzinfo=UTC)
_ROUNDS = 5
# uv without network tells what it has not seen; what it concludes from that proves nothing.
_UNSEEN = ("network was disabled", "downloaded from a registry", "not found in the cache")
# Seconds an index page counts; the public index sends the same limit with each of them.
_FRESH_S = 600.0


def resolve(
    reading: Reading,
    situation: Situation,
    *,
    cut_off: date | None = None,
    offline: bool = False,
    seen: bool = False,
) -> Resolution:
    """Resolve a requirements file as pip would on MWAA.

    An index's answer counts for ten minutes, as the public one's own headers say: the same question within that time is
    resolved anew from uv's cache, without asking again.

    Args:
        reading: The file.
        situation: Version, machine, limits.
        cut_off: Newest upload date, if not that of the constraint source.
        offline: Ask no index; use what uv's cache holds.
        seen: Something nearly the same was resolved just now: look into the cache first, ask where it does not do.

    Raises:
        UnmetRequirementsError: pip would fail, or it cannot be told; ``kind`` says which.
    """
    if offline:
        return _resolve(reading, situation, cut_off, True)
    stamp = _stamp(reading, situation, cut_off)
    if seen or _young(stamp):
        try:
            return _resolve(reading, situation, cut_off, True)
        except UnmetRequirementsError as error:
            if _conclusive(error):
                raise
    try:
        found = _resolve(reading, situation, cut_off, False)
    except UnmetRequirementsError as error:
        if error.kind == "conflict" and not error.left_out:
            _touch(stamp)
        raise
    if not found.left_out:  # an index that comes back has its say at once
        _touch(stamp)
    return found


def _stamp(reading: Reading, situation: Situation, cut_off: date | None) -> Path:
    """The file whose time says when exactly this was resolved with an index last."""
    key = fingerprint.set_key(
        reading, base="", version=situation.version.airflow, resolver="uv",
        settings=situation.uv.settings, cut_off=cut_off,
    )  # fmt: skip
    return situation.uv.cache / "resolved" / key


def _young(stamp: Path) -> bool:
    try:
        return 0 <= time.time() - stamp.stat().st_mtime < _FRESH_S
    except OSError:
        return False


def _touch(stamp: Path) -> None:
    with contextlib.suppress(OSError):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()


def _conclusive(error: UnmetRequirementsError) -> bool:
    """Whether a failure without an index would be one with an index too."""
    return error.kind == "conflict"


def _resolve(reading: Reading, situation: Situation, cut_off: date | None, offline: bool) -> Resolution:
    begin = time.monotonic()
    refused: list[str] = []
    for _ in range(_ROUNDS):
        found, notes = _held_first(reading, situation, cut_off or uv_tool.cut_off_of(reading), offline, refused)
        bad = _unreadable(found, situation)
        if not bad and (built := _to_build(found, reading)):
            # uv reads a wheel for another machine where pip asks the source archive, which may refuse this Python.
            reading = replace(reading, no_binary=(*reading.no_binary, *built))
            continue
        if not bad:
            found = _with_hashes(found, reading)
            for package in found.changes.values():
                if (
                    package.archive
                    and not package.archive.wheel
                    and (refusal := resolve_prepare.prepares(package, reading, situation))
                ):
                    raise refusal
            install.check_hashes(
                reading,
                [Change(name, found.present.get(name, ""), item.version) for name, item in found.changes.items()],
            )
            return replace(found, unsure=tuple(notes), seconds=time.monotonic() - begin)
        refused += bad
    raise UnmetRequirementsError(
        "Too many releases have metadata that pip refuses", kind="no-match", where=reading.shown,
        why=", ".join(refused),
        hint="pin newer versions",
    )  # fmt: skip


def _held_first(
    reading: Reading, situation: Situation, cut_off: date | None, offline: bool, refused: Sequence[str]
) -> tuple[Resolution, list[str]]:
    """One run; most of the image's packages need not be looked up.

    A package that the constraints fix to the version the image has can become no other one: its metadata is that of the
    image, and the index is not asked for it. Where that leads to no result, the resolver is asked in the plain way, so
    that a failure is always told in terms of the user's file.
    """
    held = _held(reading, situation)
    allowed = PreReleases(reading, free=situation.uv.settings.pre, present=situation.present)
    if held:
        try:
            return _run(reading, situation, cut_off, offline, refused, held, allowed)
        except UnmetRequirementsError as error:
            if error.kind in {"network", "time", "disk"}:
                raise
    return _run(reading, situation, cut_off, offline, refused, [], allowed)


def _held(reading: Reading, situation: Situation) -> list[str]:
    """Packages of the image that the constraints fix to the image's own version, and that no line asks for."""
    if situation.base is None:
        return []
    asked = {entry.name for entry in reading.entries}
    return [
        name
        for name, version in situation.present.items()
        if name not in asked and any(part.pins.get(name) == version for part in reading.parts)
    ]


def _run(
    reading: Reading,
    situation: Situation,
    cut_off: date | None,
    offline: bool,
    refused: Sequence[str],
    held: Sequence[str],
    allowed: PreReleases,
) -> tuple[Resolution, list[str]]:
    deadline = time.monotonic() + situation.timeout_s
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mwaa-local-") as scratch:
        folder = Path(scratch)
        given = inputs.write(reading, folder)
        stubs = folder / "image"
        stubs.mkdir()
        # What is installed needs no index; another index than the public one may not have it.
        closed = offline or reading.indexes.no_index or reading.indexes.default is not None
        image = resolve_stubs.kept(situation) if situation.base else stubs
        if not (closed and situation.base):
            names = situation.present if closed and situation.bare else resolve_stubs.source_only(situation)
            resolve_stubs.write(stubs, situation, names)
        given_links = image if closed else stubs
        more = folder / "refused.txt"
        links = (f"{name} @ {(image / resolve_stubs.file_name(name, situation)).as_uri()}" for name in held)
        more.write_text("".join(f"{item}\n" for item in (*refused, *links)), encoding="utf-8")
        if situation.present:
            (folder / _OUTPUT).write_text(_preferences(situation), encoding="utf-8")
        wheels_first = reading.prefer_binary
        asked_for = folder / "pre-releases.txt"
        while True:
            asked_for.write_text(allowed.constraints(), encoding="utf-8")
            argv: list[str | Path] = [
                uv_tool.binary(),
                "pip",
                "compile",
                "--no-header",
                "--format",
                "pylock.toml",
                "-o",
                folder / _OUTPUT,
            ]
            argv += ["--python-version", situation.python, "--python-platform", packaging_facts().target_platform]
            argv += ["--python", situation.interpreter] if situation.interpreter else []
            argv += ["--find-links", given_links, "--constraints", more, "--constraints", asked_for, *allowed.options()]
            argv += ["--only-binary", ":all:"] if wheels_first else []
            argv += ["--offline"] if offline else []
            argv += [word for path in given.constraints for word in ("--constraints", path)]
            argv += list(given.requirements)
            with merged_index.opened(reading.indexes, situation.uv, offline=offline) as offered:
                argv += uv_tool.resolver_options(reading, situation.uv.settings, cut_off, offered.indexes)
                done = child.run(
                    argv,
                    env={**situation.uv.variables(offered.indexes), **offered.variables},
                    cwd=folder,
                    timeout_s=max(deadline - time.monotonic(), 0.1),
                )
                text, left_out = offered.translate(done.text), offered.left_out()
            if offered.undated and cut_off is not None:
                notes.append(UNDATED.format(cut_off=cut_off))
            if done.code == 0 and not done.timed_out:
                locked = tomllib.loads((folder / _OUTPUT).read_text(encoding="utf-8"))
                packages = _packages(locked, text, situation, (image, stubs), offered)
                if allowed.refuse({name: item.version for name, item in packages.items()}):
                    continue
                return Resolution(packages, situation.present, left_out=left_out), notes
            if not done.timed_out and allowed.learn(done.text):
                continue
            if wheels_first and not done.timed_out:
                wheels_first = False  # pip's --prefer-binary takes a source archive where nothing else fits
                continue
            if cut_off is not None and not done.timed_out and DATELESS in done.text:
                notes.append(
                    f"the index does not say when files were uploaded: the cut-off {cut_off} could not be applied"
                )
                cut_off = None
                continue
            if offline and any(sign in done.text for sign in _UNSEEN):
                raise UnmetRequirementsError(
                    "Packages that were not fetched before take part", kind="network", where=reading.shown,
                    explanation=done.lines[-5:],
                )  # fmt: skip
            failure = explain.failure(
                given.translate(text).replace(str(more), "pip's rules on metadata"),
                reading,
                python=situation.version.python,
                timed_out_s=situation.timeout_s if done.timed_out else None,
            )
            raise allowed.told(explain.without(failure, left_out))


def _preferences(situation: Situation) -> str:
    """What the image has, as a lock file of before: those versions are kept wherever they fit."""
    lines = ['lock-version = "1.0"', 'created-by = "mwaa-local"', ""]
    for name, version in situation.present.items():
        lines += ["[[packages]]", f'name = "{name}"', f'version = "{version}"', ""]
    return "\n".join(lines)


def _packages(
    locked: dict[str, Any], text: str, situation: Situation, stubs: Sequence[Path], through: Offered
) -> dict[str, Package]:
    def archive_of(row: dict[str, Any] | None, wheel: bool) -> Archive | None:
        found = _archive(row, wheel)
        return replace(found, url=through.original(found.url)) if found else None

    yanked = {(str(canonicalize_name(name)), version): reason for name, version, reason in _YANKED.findall(text)}
    found = {}
    for row in locked.get("packages", []):
        name = str(canonicalize_name(row["name"]))
        version = str(row.get("version", ""))
        # Two indexes may have files of one name; the first of them is pip's choice.
        wheels: dict[str, list[Archive]] = {}
        for item in row.get("wheels", []):
            if made := archive_of(item, True):
                wheels.setdefault(made.name, []).append(made)
        fitting = resolve_wheels.sorted_by_fit(wheels, situation.version.python)
        offered = [made for item in fitting for made in wheels[item]]
        if built := archive_of(row.get("sdist"), False):
            offered.append(built)
        if gone := through.withdrawn(name):
            offered.sort(key=lambda made: made.url in gone)
        archive = offered[0] if offered else None
        source = row.get("archive") or row.get("directory") or row.get("vcs")
        if (
            source
            and name in situation.present
            and any(Path(source.get("path") or "/").parent == folder for folder in stubs)
        ):
            found[name] = Package(name, situation.present[name])
            continue
        if source and archive is None:
            archive = _archive(source, str(source.get("path") or source.get("url") or "").endswith(".whl"))
        if archive is not None and name in situation.present and _is_stub(archive, stubs):
            archive = None
        found[name] = Package(
            name, version or _project_version(source, situation.present.get(name, "")), archive, tuple(offered[1:]),
            "" if through.host else str(row.get("index", "")), tuple(wheels), yanked.get((name, version)),
            str(source.get("path") or source.get("url") or "folder") if source else "",
        )  # fmt: skip
    return found


def _is_stub(archive: Archive, stubs: Sequence[Path]) -> bool:
    path = Path(from_url(archive.url) if is_url(archive.url) else archive.url)
    # uv writes paths relative to the lock file where it can.
    return any(path.parent == folder or path.parent.name == folder.name for folder in stubs)


def _project_version(source: dict[str, Any] | None, otherwise: str) -> str:
    """The version of a project in a folder, where its ``pyproject.toml`` says it plainly."""
    if source and "path" in source:
        try:
            text = (Path(source["path"]) / "pyproject.toml").read_text(encoding="utf-8")
            return str(tomllib.loads(text).get("project", {}).get("version", otherwise))
        except (OSError, ValueError):
            return otherwise
    return otherwise


def _archive(row: dict[str, Any] | None, wheel: bool) -> Archive | None:
    if not row:
        return None
    url = str(row.get("url") or row.get("path") or "")
    if not url or (
        not wheel
        and "name" not in row
        and "size" not in row
        and "hashes" not in row
        and not url.endswith((".gz", ".zip"))
    ):
        return None
    name = str(row.get("name") or unquote(urlsplit(url).path.rpartition("/")[2]))
    uploaded = row.get("upload-time")
    return Archive(
        name, url, row.get("size"), str(row.get("hashes", {}).get("sha256", "")),
        uploaded if isinstance(uploaded, datetime) else None, wheel,
    )  # fmt: skip


def _to_build(found: Resolution, reading: Reading) -> list[str]:
    """Packages that only their source archive can give here although the release has wheels."""
    known = {name for value in reading.no_binary for name in value.split(",")}
    return [
        name
        for name, package in found.changes.items()
        if package.archive
        and not package.archive.wheel
        and package.wheels
        and name not in known
        and ":all:" not in known
    ]


def _with_hashes(found: Resolution, reading: Reading) -> Resolution:
    """pip's choice among the archives of a release when a line gives hashes.

    Raises:
        UnmetRequirementsError: none of them has such a hash.
    """
    changes, packages = found.changes, dict(found.packages)
    for entry in reading.entries:
        package = changes.get(entry.name or "")
        wanted = {value.partition(":")[2] for value in entry.hashes if value.startswith("sha256:")}
        if (
            package is None
            or package.archive is None
            or not package.archive.sha256
            or len(wanted) != len(entry.hashes)
            or not wanted
        ):
            continue
        offered = [item for item in (package.archive, *package.others) if item.sha256 in wanted]
        if not offered:
            raise UnmetRequirementsError(
                "A downloaded archive has another hash than the file says", kind="hash",
                where=f"{entry.file}, line {entry.line}",
                why=f"{package.archive.name} of the index has sha256:{package.archive.sha256}",
                hint="take the hashes of the archives the index offers now, or find out who changed them",
                conflicts=[Conflict(entry.file, entry.line, redact(entry.text))], packages=[package.name],
            )  # fmt: skip
        rest = tuple(item for item in (package.archive, *package.others) if item is not offered[0])
        packages[package.name] = replace(package, archive=offered[0], others=rest)
    return replace(found, packages=packages)


def _unreadable(found: Resolution, situation: Situation) -> list[str]:
    """Releases that pip passes over because a line of their metadata breaks the standard; uv mends such lines."""
    old = [
        package
        for package in found.changes.values()
        if package.archive
        and package.archive.wheel
        and (package.archive.uploaded is None or package.archive.uploaded < _STRICT_SINCE)
    ]
    read = resolve_metadata.of(old, situation)
    return [f"{name}!={found.packages[name].version}" for name, item in read.items() if item.faults]
