"""One requirement of a requirements file: name, specifier, URL or path, as pip takes the line apart."""

from __future__ import annotations

import posixpath
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Pep508
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from mwaa_local.packages.lines import Line, LineError
from mwaa_local.packages.paths import from_url, is_url, is_vcs, locate

ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz")
EntryKind = Literal["index", "url", "path", "vcs"]
_EXTRAS = re.compile(r"^(.+)(\[[^\]]+\])$")


@dataclass(frozen=True)
class Entry:
    """A requirement.

    Attributes:
        file: The file as the user knows it.
        line: Its line, from 1.
        text: The requirement as written, variables expanded; may hold a password in a URL.
        kind: Where it comes from.
        given: What a resolver is given: paths where they really are, no options.
        name: Canonical name, where the line says it.
        specifier: Versions asked for.
        marker: Its environment marker, or empty.
        editable: ``-e``.
        hashes: Allowed digests, ``sha256:...``.
        config_settings: ``--config-settings`` of the line.
        local: The file or folder on this machine, for ``path``.
    """

    file: str
    line: int
    text: str
    kind: EntryKind
    given: str
    name: str | None = None
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    marker: str = ""
    editable: bool = False
    hashes: tuple[str, ...] = ()
    config_settings: tuple[str, ...] = ()
    local: Path | None = None

    @property
    def at(self) -> str:
        """pip's words for the place: ``-r FILE (line N)``."""
        return f"-r {self.file} (line {self.line})"

    @property
    def unusable(self) -> str:
        """Why pip cannot take what lies at ``local``; empty where it can, or where that is nothing of this machine."""
        if self.local is None or self.local.is_file():
            return ""
        if not self.local.is_dir():
            return "MWAA has no such file and no folder with a Python project there"
        if any((self.local / name).is_file() for name in ("pyproject.toml", "setup.py")):
            return ""
        return "the folder is no Python project: it has neither pyproject.toml nor setup.py"

    def applies(self, python: str) -> bool:
        """Whether the marker holds on a Python (``3.12.1`` or ``3.12``) of this machine's kind."""
        if not self.marker:
            return True
        minor = ".".join(python.split(".")[:2])
        full = python if python.count(".") > 1 else f"{python}.0"
        values = {"python_version": minor, "python_full_version": full, "implementation_version": full, "extra": ""}
        try:
            return Marker(self.marker).evaluate(values)
        except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
            return True  # the resolver refuses it in its own words


def parse_entry(line: Line, file: str, path_map: Mapping[str, Path], home: str) -> Entry:
    """A line of a requirements file.

    A file or folder that it names need not be there: where the line's marker does not hold, pip does not look.

    Args:
        line: The line.
        file: The file as the user knows it.
        path_map: Paths of MWAA's container to where they really are.
        home: pip's working folder there: relative paths of requirements count from it.

    Raises:
        LineError: pip would refuse it.
    """
    try:
        return _parsed(line, file, path_map, home)
    except ValueError as error:  # a URL whose host is none: http://[
        raise LineError(f"{error}: {line.text or line.options.editables[0]}", line.number) from error


def _parsed(line: Line, file: str, path_map: Mapping[str, Path], home: str) -> Entry:
    options = line.options
    editable = not line.text
    text = options.editables[0] if editable else line.text
    hashes, settings = tuple(options.hashes), tuple(options.config_settings)

    def entry(kind: EntryKind, given: str, **more: object) -> Entry:
        return Entry(
            file,
            line.number,
            text,
            kind,
            given,
            editable=editable,
            hashes=hashes,
            config_settings=settings,
            **more,  # type: ignore[arg-type]
        )

    if is_url(text):
        url, marker = _split_marker(text, "; ")
        return _from_url(entry, url, marker, path_map)
    body, marker = _split_marker(text, ";")
    if (found := _EXTRAS.match(body.strip())) is not None:
        bare, extras = found[1], found[2]
    else:
        bare, extras = body.strip(), ""
    local = locate(bare if bare.startswith("/") else posixpath.normpath(f"{home}/{bare}"), path_map)
    path = "@" not in bare and ("/" in bare or "\\" in bare or bare.startswith("."))
    if "@" not in bare and bare.endswith(ARCHIVES) and (path or local.is_file()):
        return entry(
            "path", _with_marker(f"{local}{extras}", marker), name=_wheel_name(bare), marker=marker, local=local
        )
    if path:
        return entry("path", _with_marker(f"{local}{extras}", marker), marker=marker, local=local)
    if editable:
        raise LineError(f"{text} is not a folder with a Python project, nor the URL of a repository", line.number)
    try:
        parsed = Pep508(text)
    except InvalidRequirement as error:
        raise LineError(str(error), line.number) from error
    name = canonicalize_name(parsed.name)
    marker = str(parsed.marker or "")
    if parsed.url:
        if not is_url(parsed.url):
            raise LineError(f"after @ stands a URL, and {parsed.url} is none", line.number)
        extras = f"[{','.join(sorted(parsed.extras))}]" if parsed.extras else ""
        if parsed.url.lower().startswith("file:"):
            path = locate(from_url(parsed.url), path_map)
            given = _with_marker(f"{parsed.name}{extras} @ {path.as_uri()}", marker)
            return entry("path", given, name=name, marker=marker, local=path)
        kind: EntryKind = "vcs" if is_vcs(parsed.url) else "url"
        return entry(kind, text, name=name, marker=marker)
    return entry("index", text, name=name, specifier=parsed.specifier, marker=marker)


def _from_url(make: Callable[..., Entry], url: str, marker: str, path_map: Mapping[str, Path]) -> Entry:
    fragment = urllib.parse.parse_qs(urllib.parse.urlsplit(url).fragment)
    egg = fragment.get("egg", [""])[0]
    name = canonicalize_name(egg.partition("[")[0]) if egg else _wheel_name(urllib.parse.urlsplit(url).path)
    if url.lower().startswith("file:"):
        path = locate(from_url(url), path_map)
        given = path.as_uri() if path.suffix else str(path)
        return make("path", _with_marker(given, marker), name=name, marker=marker, local=path)
    kind: EntryKind = "vcs" if is_vcs(url) else "url"
    # A repository's URL without a name is only valid with it in front, for uv; pip takes both.
    given = f"{egg} @ {url.partition('#egg=')[0]}" if egg and "#egg=" in url else url
    return make(kind, _with_marker(given, marker), name=name, marker=marker)


def _split_marker(text: str, sign: str) -> tuple[str, str]:
    if sign not in text:
        return text, ""
    body, _, marker = text.partition(sign)
    return body.strip(), marker.strip()


def _with_marker(given: str, marker: str) -> str:
    return f"{given} ; {marker}" if marker else given


def _wheel_name(path: str) -> str | None:
    base = urllib.parse.unquote(path.rpartition("/")[2])
    try:
        return canonicalize_name(parse_wheel_filename(base)[0])
    except InvalidWheelFilename:
        return None
