"""Pages of package indexes (PEP 503 and 691) and of ``--find-links``: read, and put together as pip does.

pip takes the files of a release from every index and link it knows (spec/07 B2.7). A file is a row with the keys of
PEP 691, whatever form its page had.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

# One file of a page: ``filename``, ``url`` (absolute), and what the index says of it.
Row = dict[str, Any]

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
JSON = "application/vnd.pypi.simple.v1+json"
_HTML = ("application/vnd.pypi.simple.v1+html", "text/html")
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tbz", ".tar", ".tlz", ".tar.lz", ".tar.lzma")
_HASH = re.compile(r"^(sha256|sha384|sha512|sha224|sha1|md5)=([0-9a-fA-F]+)$")
# Older than every cut-off: what pip would take although nobody says when it was uploaded.
_LONG_AGO = "1970-01-01T00:00:00Z"
_RELATIVE = re.compile(rb'"url":\s*"(?!https://)')


class NoIndexError(Exception):
    """A page that pip does not take for one of an index; the message says why."""


def read(content_type: str, body: bytes, url: str) -> list[Row]:
    """The files of a page.

    Args:
        content_type: The answer's ``Content-Type``.
        body: The page.
        url: Where it came from in the end, for relative addresses.

    Raises:
        NoIndexError: it is neither of the forms pip asks for, or cannot be read.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == JSON:
        return _from_json(body, url)
    if kind in _HTML:
        return from_html(_decoded(content_type, body), url)
    raise NoIndexError(f"it answers with {kind or 'no content type'}, which is no page of an index")


def _from_json(body: bytes, url: str) -> list[Row]:
    try:
        files = json.loads(body)["files"]
        return [{**row, "url": urllib.parse.urljoin(url, _clean(row["url"]))} for row in files]
    except (ValueError, KeyError, TypeError) as error:
        raise NoIndexError("its page is no JSON of an index") from error


def from_html(text: str, url: str) -> list[Row]:
    """The archives that a page links to."""
    parser = _Links()
    parser.feed(text)
    base = urllib.parse.urljoin(url, parser.base) if parser.base else url
    rows = (_row(attributes, base) for attributes in parser.anchors)
    return [row for row in rows if row is not None]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base: str | None = None
        self.anchors: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "base" and self.base is None:
            self.base = dict(attrs).get("href")
        elif tag == "a":
            self.anchors.append(dict(attrs))


def _row(attributes: Mapping[str, str | None], base: str) -> Row | None:
    href = attributes.get("href")
    if not href:
        return None
    try:
        address, _, fragment = urllib.parse.urljoin(base, _clean(href)).partition("#")
        name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rpartition("/")[2])
    except ValueError:  # an address no URL can have: pip passes over it
        return None
    if not name.lower().endswith(_ARCHIVES):
        return None
    row: Row = {"filename": name, "url": address, "hashes": {}}
    if found := _HASH.match(fragment):
        row["hashes"] = {found[1]: found[2].lower()}
    if wanted := attributes.get("data-requires-python"):
        row["requires-python"] = wanted
    if "data-yanked" in attributes:
        row["yanked"] = attributes["data-yanked"] or True
    for key in ("data-core-metadata", "data-dist-info-metadata"):
        if value := attributes.get(key):
            digest = _HASH.match(value)
            row["core-metadata"] = {digest[1]: digest[2].lower()} if digest else value != "false"
            break
    return row


def in_folder(folder: Path) -> dict[str, list[Row]]:
    """Archives of a ``--find-links`` folder, and what its pages link to, by canonical project name.

    Raises:
        OSError: the folder cannot be listed.
    """
    found: dict[str, list[Row]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.suffix.lower() in {".html", ".htm"}:
            for row in from_html(entry.read_text(encoding="utf-8", errors="replace"), entry.as_uri()):
                for name in projects(row["filename"]):
                    found.setdefault(name, []).append(row)
            continue
        try:
            project = parse_wheel_filename(entry.name)[0]
        except InvalidWheelFilename:
            try:
                project = parse_sdist_filename(entry.name)[0]
            except InvalidSdistFilename:
                continue
        found.setdefault(str(project), []).append({"filename": entry.name, "url": entry.as_uri(), "hashes": {}})
    return found


def projects(filename: str) -> set[str]:
    """Canonical names of the projects that a file on a page of many may belong to.

    A wheel's name says it; in the name of a source archive (``a-b-1.0.tar.gz``) any dash may end the project's.
    """
    if filename.lower().endswith(".whl"):
        return {str(canonicalize_name(filename.partition("-")[0]))}
    stem = next((filename[: -len(end)] for end in _ARCHIVES if filename.lower().endswith(end)), "")
    return {str(canonicalize_name(stem[:at])) for at, char in enumerate(stem) if char == "-"}


def is_archive(url: str) -> bool:
    """Whether an address names an archive itself rather than a page."""
    return urllib.parse.urlsplit(url).path.lower().endswith(_ARCHIVES)


def passes_as_it_is(body: bytes) -> bool:
    """Whether a JSON page can be handed on unread: absolute addresses and a date for each file."""
    return not _RELATIVE.search(body) and body.count(b'"upload-time"') >= body.count(b'"filename"')


def merged(project: str, pages: Sequence[Iterable[Row]]) -> tuple[bytes, bool]:
    """One page from those of all sources.

    Of two files that fit equally well pip takes that of the source named last, and uv the one that stands first: the
    last source comes first. A file without a date has that of its release elsewhere, else it counts as old enough:
    an index that tells no dates has no say in a cut-off, which pip on MWAA does not know.

    Args:
        project: Canonical name.
        pages: The files of each source, in pip's order: links, main index, further indexes.

    Returns:
        The page as JSON (PEP 691), and whether a file of an index had no date.
    """
    rows = [dict(row) for page in reversed(pages) for row in page]
    dates: dict[str, str] = {}
    for row in rows:
        if isinstance(told := row.get("upload-time"), str):
            version = _version(row["filename"])
            dates[version] = min(dates.get(version, told), told)
    undated = False
    for row in rows:
        if not row.get("upload-time"):
            undated = undated or not row["url"].lower().startswith("file:")
            row["upload-time"] = dates.get(_version(row["filename"]), _LONG_AGO)
    content = {"meta": {"api-version": "1.1"}, "name": project, "files": rows}
    return json.dumps(content).encode(), undated


def withdrawn(rows: Iterable[Row]) -> list[str]:
    """Addresses of files that were withdrawn while others of the same release were not: pip takes those first."""
    rows = list(rows)
    kept = {_version(row["filename"]) for row in rows if row.get("yanked", False) is False}
    return [row["url"] for row in rows if row.get("yanked", False) is not False and _version(row["filename"]) in kept]


def _version(filename: str) -> str:
    if filename.lower().endswith(".whl"):
        return filename.partition("-")[2].partition("-")[0]
    stem = next((filename[: -len(end)] for end in _ARCHIVES if filename.lower().endswith(end)), filename)
    return stem.rpartition("-")[2]


def _clean(address: str) -> str:
    return address.strip().replace(" ", "%20")


def _decoded(content_type: str, body: bytes) -> str:
    found = re.search(r"charset=\"?([\w.-]+)", content_type, re.IGNORECASE)
    try:
        return body.decode(found[1] if found else "utf-8", errors="replace")
    except LookupError:
        return body.decode("utf-8", errors="replace")
