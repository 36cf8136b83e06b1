"""What happened in pip's own words, for the ``requirements_install`` stream (spec/08 section 3.4, spec/10 4.2-4.3).

Every line tells something that took place: collected is what was not there, installed is what the listing shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from packaging.version import InvalidVersion, Version

from mwaa_local.packages.entries import Entry
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.listing import Change
from mwaa_local.packages.paths import redact
from mwaa_local.packages.requirements import Reading

Emit = Callable[[str], None]
# uv's words, once per file, where an index does not tell upload dates, as many private ones do not.
DATELESS = "missing an upload date"
# What a cut-off means where only some of several indexes have no dates.
UNDATED = "a package index does not say when files were uploaded: the cut-off {cut_off} was not applied to them"
_UV = re.compile(r"^\s*(Building|Built|Downloading|Downloaded|Updating|Updated)\s+(.*)$")


def begin(emit: Emit, reading: Reading, present: Mapping[str, str], site: str, python: str) -> None:
    """Lines before anything is installed.

    Args:
        emit: Takes each line.
        reading: The file.
        present: What is installed: canonical name to version.
        site: The ``site-packages`` folder as the user knows it.
        python: The set's Python, ``3.12.1``.
    """
    for message in reading.messages:
        emit(message)
    for line in reading.indexes.described():
        emit(line)
    for entry in reading.entries:
        if not entry.applies(python):
            emit(f"Ignoring {entry.name}: markers '{entry.marker}' don't match your environment")
        elif (version := satisfied(entry, reading, present)) is not None:
            emit(f"Requirement already satisfied: {redact(entry.text)} in {site} (from {entry.at}) ({version})")
        else:
            emit(f"Collecting {redact(entry.text)} (from {entry.at})")


def progress(emit: Emit) -> Callable[[str], None]:
    """A reader of uv's lines that passes on what pip would tell too."""

    def read(line: str) -> None:
        if found := _UV.match(line):
            emit(f"  {found[1]} {redact(found[2])}")
        elif line.startswith("warning:") and DATELESS not in line:
            emit("WARNING: " + redact(line.removeprefix("warning:").strip()))

    return read


def installed(emit: Emit, changes: tuple[Change, ...]) -> None:
    """Lines after the installation, from the difference of the listings."""
    fresh = [change for change in changes if change.after]
    if not fresh:
        return
    emit("Installing collected packages: " + ", ".join(change.name for change in fresh))
    for change in fresh:
        if change.before:
            emit(f"  Attempting uninstall: {change.name}")
            emit(f"    Found existing installation: {change.name} {change.before}")
            emit(f"    Successfully uninstalled {change.name}-{change.before}")
    emit("Successfully installed " + " ".join(f"{change.name}-{change.after}" for change in fresh))


def failed(emit: Emit, error: UnmetRequirementsError) -> None:
    """The failure as pip prints it, then its cause and what to do."""
    if error.kind == "no-match":
        for conflict in error.conflicts:
            at = f"(from -r {conflict.file} (line {conflict.line}))"
            emit(f"ERROR: Could not find a version that satisfies the requirement {conflict.requirement} {at}")
            emit(f"ERROR: No matching distribution found for {conflict.requirement} {at}")
    elif error.kind == "conflict":
        places = " and ".join(f"-r {conflict.file} (line {conflict.line})" for conflict in error.conflicts)
        emit(
            f"ERROR: Cannot install {places or 'the requirements'} because these package versions have "
            "conflicting dependencies."
        )
        emit("The conflict is caused by:")
        for conflict in error.conflicts:
            emit(f"    The user requested {conflict.requirement}")
            if conflict.pin:
                emit(f"    The user requested (constraint) {conflict.pin}  [{conflict.source}]")
        for line in error.explanation[:6]:
            emit(f"    {line}")
        emit("ERROR: ResolutionImpossible")
    else:
        emit(f"ERROR: {error.what}" + (f" ({error.where})" if error.where else ""))
        for line in error.why.splitlines()[:12]:
            emit(f"  {line}")
    if error.hint:
        emit(f"Next: {error.hint}")


def satisfied(entry: Entry, reading: Reading, present: Mapping[str, str]) -> str | None:
    """The installed version that satisfies an entry and the constraints, or ``None``."""
    if entry.kind != "index" or not entry.name or (version := present.get(entry.name)) is None:
        return None
    try:
        if not entry.specifier.contains(Version(version), prereleases=True):
            return None
    except InvalidVersion:
        return None
    if any(part.pins.get(entry.name, version) != version for part in reading.parts):
        return None
    return version
