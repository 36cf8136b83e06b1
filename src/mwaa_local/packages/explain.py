"""From a resolver's output to a failure with the user's lines, the pins they collide with, and what to do."""

from __future__ import annotations

import errno
import re
import urllib.parse
from collections.abc import Sequence
from itertools import combinations

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mwaa_local import catalog
from mwaa_local.catalog.packaging_facts import packaging_facts
from mwaa_local.packages import references
from mwaa_local.packages.entries import Entry
from mwaa_local.packages.failure import Conflict, Kind, UnmetRequirementsError
from mwaa_local.packages.index_sources import LeftOut
from mwaa_local.packages.paths import redact
from mwaa_local.packages.requirements import Reading

_BUILD = re.compile(
    r"(?:Failed to (?:download and )?build|Failed building wheel for) ?"
    r"`?([A-Za-z0-9][\w.-]*?)(?:==([^\s`]+)| @ [^`\n]+)?`?$",
    re.MULTILINE,
)
_TOOLS = re.compile(
    r"\b(gcc|g\+\+|cc1|clang|cargo|rustc|cmake|pkg-config|pg_config|mysql_config|krb5-config|xml2-config|Python\.h)\b"
)
_FETCH = re.compile(
    r"(?:Failed to fetch|Could not connect|Request failed|error sending request for url)[^`(]*[`(]([^`)]+)[`)]"
)
_PIP_NETWORK = re.compile(r"NewConnectionError|ConnectTimeoutError|NameResolutionError|Max retries exceeded with url")
_NETWORK = re.compile(
    r"dns error|tcp connect error|client error \(Connect\)|operation timed out|invalid peer certificate|"
    r"Network connectivity is disabled|error trying to connect"
)
_FULL = re.compile(r"No space left on device|os error 28|Disk quota exceeded|Errno 28", re.IGNORECASE)
_NO_MATCH = re.compile(
    r"(?:Because|and|,) (\S+?) was not found in|there (?:is|are) no versions? of ([^\s=<>!~,;\[]+)|"
    r"only (?:the following versions of )?([^\s=<>!~,;\[]+?)(?:[=<>!~]\S*)? (?:is|are) available|"
    r"([^\s=<>!~,;\[]+?)(?:==\S+)? has no wheels|No matching distribution found for ([^\s=<>!~,;\[]+)"
)
_NEEDS = re.compile(r"depends? on ([A-Za-z0-9][\w.-]*?)(?:\[[^\]]*\])?(?:\{[^}]*\})?((?:[<>=!~]=?=?[\w.*+!]+,?)+)")
_WORD = re.compile(r"[A-Za-z0-9][\w.-]*")
_MISSING = re.compile(r"hint: This error likely indicates that (you need to install [^\n]+)")
_SHOWN_LINES = 12


def failure(text: str, reading: Reading, *, python: str, timed_out_s: float | None = None) -> UnmetRequirementsError:
    """The failure that a resolver's output tells of.

    Args:
        text: Everything it printed.
        reading: What it was given.
        python: Python's minor version it resolved for.
        timed_out_s: The limit that ended it, in seconds.
    """
    lines = _shortened(text)
    if timed_out_s is not None:
        limit = catalog.limits().requirements_seconds
        also = (
            "MWAA stops pip after that time too" if timed_out_s >= limit else f"on MWAA pip has {limit // 60} minutes"
        )
        return UnmetRequirementsError(
            f"Resolving and installing the requirements was stopped after {timed_out_s:.0f} s",
            kind="time",
            where=reading.shown,
            why="\n".join([f"{also}; the last lines were:", *lines[-_SHOWN_LINES:]]),
            hint="pin versions so that nothing is searched, or put wheels into plugins.zip",
            explanation=lines,
        )
    if _FULL.search(text):
        return disk_full(reading.shown, lines)
    if (direct := references.failure(text, lines, reading)) is not None:
        return direct
    if found := _BUILD.search(text):
        return _build(found, text, lines, reading, python)
    if "Hash mismatch" in text or "THESE PACKAGES DO NOT MATCH THE HASHES" in text:
        named = [entry for entry in reading.entries if entry.hashes and _mentions(text, entry)]
        return _make("hash", "A downloaded archive has another hash than the file says", reading, named, lines, (),
                     "take the hashes of the archive the index offers now, or find out who changed it")  # fmt: skip
    if _NETWORK.search(text) or ("No solution found" not in text and _FETCH.search(text)) or _PIP_NETWORK.search(text):
        return _network(text, lines, reading)
    conflicts = direct_conflicts(reading, python)
    if not conflicts:
        missing = {canonicalize_name(name) for groups in _NO_MATCH.findall(text) for name in groups if name}
        named = [entry for entry in reading.entries if entry.name in missing]
        if named and "ResolutionImpossible" not in text and not _collides(text, reading):
            what = f"No matching distribution found for {redact(named[0].text)}"
            hint = f"look for its name and versions in the index; a wheel for Python {python} on Linux x86_64 is needed"
            return _make("no-match", what, reading, named, lines, sorted(missing), hint)
        conflicts = _named_in(text, reading)
        if "No solution found" not in text and "ResolutionImpossible" not in text:
            named = [entry for entry in reading.entries if _mentions(text, entry) or references.told(text, entry)]
            built = [entry for entry in reading.entries if entry.kind != "index" and not entry.given.endswith(".whl")]
            if not named and "build backend" in text and len(built) == 1:
                named = built  # uv does not name a project that it cannot even ask for its name
            hint = "the lines above are the installer's own words"
            return _make("other", "Installing requirements failed", reading, named, lines, (), hint)
    return _conflict(conflicts, lines, reading)


def without(error: UnmetRequirementsError, left_out: Sequence[LeftOut]) -> UnmetRequirementsError:
    """The failure told with the package indexes that pip passes over: what is missing may be on one of them.

    Args:
        error: What came out without them.
        left_out: The indexes.
    """
    if not left_out:
        return error
    told = [str(item) for item in left_out]
    silent = [item.url for item in left_out if item.kind == "unreachable"]
    kind, what = error.kind, error.what
    hint = "give the index a login, correct its address, or remove it"
    if kind in {"no-match", "other"} and silent:
        kind, what = "network", f"{what}; the package index {', '.join(silent)} cannot be reached"
        hint = "check the network and the proxy: the index may have it"
    return UnmetRequirementsError(
        what, kind=kind, where=error.where, why="\n".join([*told, *filter(None, [error.why])]),
        hint=f"{error.hint}; {hint}" if error.hint and kind != "network" else hint,
        conflicts=error.conflicts, explanation=error.explanation, packages=error.packages, left_out=told,
    )  # fmt: skip


def direct_conflicts(reading: Reading, python: str) -> tuple[Conflict, ...]:
    """Lines that exclude a pin outright, and lines that exclude each other; no resolver is needed to see them."""
    found: list[Conflict] = []
    entries = [entry for entry in reading.entries if entry.name and entry.specifier and entry.applies(python)]
    for entry in entries:
        for part in reading.parts:
            pin = part.pins.get(entry.name or "")
            if pin is not None and not _contains(entry.specifier, pin):
                found.append(
                    Conflict(entry.file, entry.line, redact(entry.text), f"{entry.name}=={pin}", part.source.label)
                )
                break
    for one, other in combinations(entries, 2):
        if one.name == other.name:
            exact = [item.version for item in one.specifier if item.operator == "==" and "*" not in item.version]
            if exact and not _contains(other.specifier, exact[0]):
                found.append(Conflict(other.file, other.line, redact(other.text), redact(one.text), f"line {one.line}"))
    return tuple(found)


def disk_full(where: str, lines: Sequence[str] = ()) -> UnmetRequirementsError:
    """The failure of a full disk."""
    return UnmetRequirementsError(
        "The disk is full",
        kind="disk",
        where=where,
        why="\n".join(lines[-3:]) or "No space left on device",
        hint="free some space; `mwaa-local reset` or removing old package sets helps. Nothing half installed is used",
        explanation=lines,
    )


def from_os_error(error: OSError, where: str) -> UnmetRequirementsError:
    """The failure behind an error of the operating system."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return disk_full(where, [str(error)])
    return UnmetRequirementsError(
        "A package set cannot be written", kind="other", where=error.filename or where, why=str(error),
        hint="check who owns the cache folder",
    )  # fmt: skip


def _conflict(conflicts: Sequence[Conflict], lines: Sequence[str], reading: Reading) -> UnmetRequirementsError:
    hints = []
    for conflict in conflicts:
        own = _WORD.match(conflict.requirement)
        if conflict.pin and own and canonicalize_name(own[0]) != conflict.pin.partition("==")[0]:
            hints.append(f"take a version of {own[0]} that allows {conflict.pin}")
        elif conflict.source.startswith("essential"):
            hints.append(f"MWAA fixes {conflict.pin}: remove line {conflict.line} or write that version")
        elif conflict.pin:
            hints.append(f"write {conflict.pin} in line {conflict.line}, or name a constraint file that allows yours")
    if (foreign := reading.foreign) is not None:
        # Whatever collides, it does so because of that line: advice about the others would lead astray.
        return UnmetRequirementsError(
            f"The requirements conflict with the constraints of {foreign.foreign} that line {foreign.line} names",
            kind="conflict",
            where=f"{foreign.file}, line {foreign.line}",
            why="\n".join(lines[:_SHOWN_LINES]),
            hint=f"name the constraints of the environment's Airflow in line {foreign.line}; "
            "`mwaa-local validate requirements --fix` rewrites it, and the versions that go with the old ones",
            conflicts=conflicts,
            explanation=lines,
        )
    places = ", ".join(str(conflict.line) for conflict in conflicts)
    return UnmetRequirementsError(
        "The requirements conflict: " + ("; ".join(map(str, conflicts)) or "no set of versions satisfies them all"),
        kind="conflict",
        where=f"{reading.shown}, line {places}" if places else reading.shown,
        why="\n".join(lines[:_SHOWN_LINES]),
        hint="; ".join(dict.fromkeys(hints)) or "loosen the versions of the lines named",
        conflicts=conflicts,
        explanation=lines,
    )


def _build(
    found: re.Match[str], text: str, lines: Sequence[str], reading: Reading, python: str
) -> UnmetRequirementsError:
    name, version = found[1], found[2] or ""
    named = [entry for entry in reading.entries if entry.name == canonicalize_name(name)]
    named = named or [entry for entry in reading.entries if references.told(text, entry)]
    facts = packaging_facts()
    tools = sorted(set(_TOOLS.findall(text)))
    needs = f"its build asks for {', '.join(tools)}" if tools else "its build fails"
    # What a compiler did last is why it failed; uv may have understood it.
    shown = lines if len(lines) <= _SHOWN_LINES else [*lines[:1], "...", *lines[2 - _SHOWN_LINES :]]
    shown = [*shown, *(redact(advice[1]) for advice in _MISSING.finditer(text))]
    return _make(
        "build", f"{name} {version}".strip() + f" has no wheel for Python {python} and does not build here ({needs})",
        reading, named, lines, (name,),
        f"MWAA's image has {facts.image_builds_with} (not {facts.image_lacks}): take a version of {name} with a wheel, "
        "install what is missing here, or use the docker engine", shown,
    )  # fmt: skip


def _network(text: str, lines: Sequence[str], reading: Reading) -> UnmetRequirementsError:
    match = _FETCH.search(text) or re.search(r"host='([^']+)'", text)
    host = (urllib.parse.urlsplit(match[1]).netloc.rpartition("@")[2] or match[1]) if match else "the package index"
    return UnmetRequirementsError(
        f"The package index {host} cannot be reached",
        kind="network",
        where=host,
        why=lines[-1] if lines else "",
        hint="check the network and the proxy, name another index with PIP_INDEX_URL, or put wheels into plugins.zip "
        "with --find-links /usr/local/airflow/plugins and --no-index",
        explanation=lines,
    )


def _make(
    kind: Kind,
    what: str,
    reading: Reading,
    named: Sequence[Entry],
    lines: Sequence[str],
    packages: Sequence[str],
    hint: str,
    shown: Sequence[str] = (),
) -> UnmetRequirementsError:
    return UnmetRequirementsError(
        what,
        kind=kind,
        where=", ".join(f"{entry.file}, line {entry.line}" for entry in named) or reading.shown,
        why="\n".join(shown or lines[:_SHOWN_LINES]),
        hint=hint,
        conflicts=[Conflict(entry.file, entry.line, redact(entry.text)) for entry in named],
        explanation=lines,
        packages=packages,
    )


def _collides(text: str, reading: Reading) -> bool:
    """Whether the explanation speaks of a dependency that meets a pin, not only of a version that is not there."""
    return " depends on " in text and any(conflict.pin for conflict in _named_in(text, reading))


def _named_in(text: str, reading: Reading) -> tuple[Conflict, ...]:
    """Lines the explanation names, each with the pins it names."""
    words = {canonicalize_name(word.strip(".-_")) for word in _WORD.findall(text)}
    hit = []
    for name in sorted(words):
        pin = reading.pin(name)
        if pin and re.search(rf"(?<![\w.-]){re.escape(name)}=={re.escape(pin[0])}(?![\w.])", text.lower()):
            hit.append((f"{name}=={pin[0]}", pin[1]))
    # Pins that something named needs otherwise; a pin that only stands in the chain is not the culprit.
    culprits = [(pin, label) for pin, label in hit if pin.partition("==")[0] in _excluded(text, reading)]
    lines = [entry for entry in reading.entries if entry.name in words]
    pins = culprits if culprits or len(lines) > 1 else hit
    return tuple(
        Conflict(entry.file, entry.line, redact(entry.text), ", ".join(pin for pin, _ in pins),
                 ", ".join(dict.fromkeys(label for _, label in pins)))
        for entry in lines
    )  # fmt: skip


def _excluded(text: str, reading: Reading) -> set[str]:
    """Names of packages of which the explanation says that something depends on a version other than the pin."""
    found = set()
    for name, wanted in _NEEDS.findall(text):
        pin = reading.pin(name)
        try:
            if pin and not _contains(SpecifierSet(wanted), pin[0]):
                found.add(str(canonicalize_name(name)))
        except InvalidSpecifier:
            continue
    return found


def _mentions(text: str, entry: Entry) -> bool:
    return entry.name is not None and entry.name in {canonicalize_name(word.strip(".")) for word in _WORD.findall(text)}


def _contains(specifier: SpecifierSet, version: str) -> bool:
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _shortened(text: str) -> list[str]:
    """The resolver's explanation without drawing characters, progress and advice about its own options."""
    out: list[str] = []
    for raw in text.splitlines():
        line = redact(raw).strip().lstrip("×╰─▶│├").strip()
        for sign in ("error:", "cause:", "ERROR:", "Caused by:"):
            line = line.removeprefix(sign).strip()
        if not line or line.startswith(("hint:", "help:", "Using Python", "Resolved ", "warning:", "Traceback")):
            continue
        if line.startswith(
            ("Collecting ", "Downloading ", "Requirement already", "Using cached", "Building ", "Looking in")
        ):
            continue
        out.append(line if len(line) <= 600 else line[:600] + " ...")
    return out
