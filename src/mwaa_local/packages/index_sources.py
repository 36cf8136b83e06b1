"""The places packages may come from, each asked for one project: an index, a page of links, a folder."""

from __future__ import annotations

import hashlib
import threading
import urllib.parse
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mwaa_local.packages import index_pages
from mwaa_local.packages.credentials import plain
from mwaa_local.packages.index_pages import NoIndexError, Row
from mwaa_local.packages.paths import from_url, is_url, redact

if TYPE_CHECKING:
    from mwaa_local.packages.upstream import Answer, Client

Kind = Literal["files", "absent", "refused", "unreachable", "no-index"]
_SHOWN = 3


@dataclass(frozen=True)
class Page:
    """What a place has of a project.

    Attributes:
        kind: ``files``, or why there are none.
        why: The reason in words.
        tag: Changes with the files.
        fresh_s: Seconds it counts without being asked again.
        raw: The JSON page itself where nothing on it needs a change.
        empty: There is a page, without a single file.
        read: Gives the files.
    """

    kind: Kind
    why: str = ""
    tag: str = ""
    fresh_s: float = 0.0
    raw: bytes | None = None
    empty: bool = False
    read: Callable[[], Sequence[Row]] = field(default=lambda: ())


@dataclass(frozen=True)
class LeftOut:
    """A place that pip passes over.

    Attributes:
        url: Its address, without a login.
        kind: ``unreachable``, ``refused`` or ``no-index``.
        why: In words.
        projects: What was asked for in vain, canonical names.
    """

    url: str
    kind: Kind
    why: str
    projects: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = "" if len(self.projects) <= _SHOWN else f" and {len(self.projects) - _SHOWN} more"
        asked = f", asked for {', '.join(self.projects[:_SHOWN])}{more}" if self.projects else ""
        verb = "cannot be reached" if self.kind == "unreachable" else "is of no use"
        return f"The package index {self.url} {verb}{asked}: {self.why}. pip goes on without it"


class Source:
    """One place; ``page`` may be called by several threads."""

    remote = False

    def __init__(self, url: str) -> None:
        self.url = url
        self._told: dict[str, Page] = {}
        self._guard = threading.Lock()

    def page(self, project: str) -> Page:
        """What it has of a project; never raises for a place that cannot be asked."""
        found = self._page(project)
        with self._guard:
            self._told[project] = found
        return found

    @abstractmethod
    def _page(self, project: str) -> Page: ...

    def left_out(self) -> LeftOut | None:
        """Whether pip passes over it, or over a part of it, going by what was asked so far."""
        with self._guard:
            told = dict(self._told)
        for kind in ("unreachable", "no-index"):
            failed = {project: page for project, page in told.items() if page.kind == kind}
            if failed:
                why = next(iter(failed.values())).why
                return LeftOut(redact(self.url), kind, why, tuple(sorted(failed)))
        if told and not any(page.kind == "files" and not page.empty for page in told.values()):
            return self._useless(told)
        return None

    def _useless(self, told: dict[str, Page]) -> LeftOut | None:
        """Why nothing at all came from it, where that is not just because it has none of these projects."""
        refused = [page for page in told.values() if page.kind == "refused"]
        if refused:
            return LeftOut(redact(self.url), "refused", refused[0].why, tuple(sorted(told)))
        return None


class _Remote(Source):
    remote = True

    def __init__(self, url: str, client: Client) -> None:
        super().__init__(url)
        self.client = client

    def _ask(self, url: str) -> tuple[Page, Answer | None]:
        from mwaa_local.packages.upstream import UnreachableError

        try:
            answer = self.client.page(url)
        except UnreachableError as error:
            return Page("unreachable", str(error), digest(str(error))), None
        if answer.status == 200:
            return Page("files"), answer
        why = f"it answers {answer.status} {answer.reason}".strip()
        if answer.status >= 500 or answer.status == 429:
            return Page("unreachable", why, f"{answer.status}"), None
        return Page("refused" if answer.status in {401, 403, 407} else "absent", why, f"{answer.status}"), None


class _Index(_Remote):
    def _page(self, project: str) -> Page:
        url = f"{self.url.rstrip('/')}/{urllib.parse.quote(project)}/"
        page, answer = self._ask(url)
        if answer is None:
            return page
        kind = answer.content_type.partition(";")[0].strip().lower()
        known = answer.url or plain(url)
        if kind == index_pages.JSON and index_pages.passes_as_it_is(answer.body) and self.client.login(known) is None:
            empty = b'"filename"' not in answer.body
            return Page("files", "", answer.tag, answer.fresh_s, answer.body, empty, _later(answer, known))
        try:
            rows = index_pages.read(answer.content_type, answer.body, known)
        except NoIndexError as error:
            return Page("no-index", str(error), "no-index")
        return Page("files", "", answer.tag, answer.fresh_s, None, not rows, lambda: rows)

    def _useless(self, told: dict[str, Page]) -> LeftOut | None:
        if (refused := super()._useless(told)) is not None:
            return refused
        projects = tuple(sorted(told))
        if any(page.kind == "files" for page in told.values()):
            return LeftOut(redact(self.url), "no-index", "its pages list no archives", projects)
        # An index that has none of these projects has a first page all the same.
        status = self.client.status(self.url.rstrip("/") + "/")
        why = f"it answers {status} to every question"
        return LeftOut(redact(self.url), "refused", why, projects) if status in {401, 403, 404, 410} else None


class _LinksPage(_Remote):
    """A page that links to archives of any project, or one archive."""

    def _page(self, project: str) -> Page:
        if index_pages.is_archive(self.url):
            name = urllib.parse.unquote(urllib.parse.urlsplit(self.url).path.rpartition("/")[2])
            rows: list[Row] = [{"filename": name, "url": self.url.partition("#")[0], "hashes": {}}]
            return _of_project(rows, project, self.url)
        page, answer = self._ask(self.url)
        if answer is None:
            why = page.why or "it is not there"
            return page if page.kind == "unreachable" else Page("no-index", why, page.tag)
        try:
            rows = index_pages.read(answer.content_type, answer.body, answer.url or plain(self.url))
        except NoIndexError as error:
            return Page("no-index", str(error), "no-index")
        found = _of_project(rows, project, answer.tag)
        return Page(found.kind, "", found.tag, answer.fresh_s, read=found.read)


class _IndexFolder(Source):
    """``<folder>/<project>/index.html``."""

    def _page(self, project: str) -> Page:
        path = Path(from_url(self.url)) / project / "index.html"
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return Page("absent")
        rows = index_pages.from_html(text, path.as_uri())
        return Page("files", "", _stamped(rows, text), read=lambda: rows)


class _LinksFolder(Source):
    """Archives and pages in a folder, or one of them."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._projects: dict[str, list[Row]] | None = None
        self._lock = threading.Lock()

    def _page(self, project: str) -> Page:
        with self._lock:
            if self._projects is None:
                self._projects = self._read()
        rows = self._projects.get(project, [])
        return Page("files", "", _stamped(rows), read=lambda: rows) if rows else Page("absent")

    def _read(self) -> dict[str, list[Row]]:
        path = Path(self.url)
        try:
            if path.is_dir():
                return index_pages.in_folder(path.absolute())
            if path.suffix.lower() in {".html", ".htm"}:
                text = path.read_text(encoding="utf-8", errors="replace")
                rows = index_pages.from_html(text, path.absolute().as_uri())
            else:
                rows = [{"filename": path.name, "url": path.absolute().as_uri(), "hashes": {}}]
        except OSError:
            return {}
        found: dict[str, list[Row]] = {}
        for row in rows:
            for name in index_pages.projects(row["filename"]):
                found.setdefault(name, []).append(row)
        return found

    def _useless(self, told: dict[str, Page]) -> LeftOut | None:
        return None


def of_index(url: str, client: Client) -> Source:
    """The place behind ``--index-url`` or ``--extra-index-url``."""
    return _IndexFolder(url) if url.lower().startswith("file:") else _Index(url, client)


def of_link(link: str, client: Client) -> Source:
    """The place behind ``--find-links``."""
    return _LinksPage(link, client) if is_url(link) and not link.lower().startswith("file:") else _LinksFolder(link)


def _of_project(rows: Sequence[Row], project: str, tag: str) -> Page:
    found = [row for row in rows if project in index_pages.projects(row["filename"])]
    return Page("files", "", tag, read=lambda: found) if found else Page("absent", "", tag)


def _later(answer: Answer, url: str) -> Callable[[], Sequence[Row]]:
    def read() -> Sequence[Row]:
        try:
            return index_pages.read(answer.content_type, answer.body, url)
        except NoIndexError:
            return ()

    return read


def _stamped(rows: Sequence[Row], text: str = "") -> str:
    """A tag for files of this machine: an archive made anew under the same name is another one."""
    words = [text]
    for row in rows:
        words.append(row["url"])
        if row["url"].lower().startswith("file:"):
            try:
                told = Path(from_url(row["url"])).stat()
                words.append(f"{told.st_size} {told.st_mtime_ns}")
            except OSError:
                words.append("gone")
    return digest("\n".join(words))


def digest(text: str) -> str:
    """A short digest."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]
