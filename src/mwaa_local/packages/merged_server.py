"""The loopback end of a merged index: pages of projects, files that need a login, and plain http passed on.

It answers only who knows the run's token: other users of the machine must not fetch through the user's logins.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import re
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from mwaa_local.packages import index_pages
from mwaa_local.packages.index_sources import Page, Source
from mwaa_local.packages.upstream import Client, UnreachableError

if TYPE_CHECKING:
    from mwaa_local.packages.merged_index import Offered

_CHUNK = 1 << 16
# Headers of one connection only.
_HOPS = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "content-length",
})  # fmt: skip


@contextlib.contextmanager
def serving(offered: Offered, client: Client, pool: Executor, token: str) -> Iterator[int]:
    """Answer on a free loopback port, which is yielded.

    Args:
        offered: The index.
        client: Asks the real ones.
        pool: Asks several of them at once.
        token: What a client must know.
    """
    expected = "Basic " + base64.b64encode(f"mwaa-local:{token}".encode()).decode()

    class Handler(_Handler):
        end = _End(offered, client, pool, expected)

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True, name="index")
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # uv opens fifty connections at once.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of ours."""


class _End:
    """What the handler answers from."""

    def __init__(self, offered: Offered, client: Client, pool: Executor, expected: str) -> None:
        self.offered, self.client, self.pool, self.expected = offered, client, pool, expected

    def pages(self, project: str) -> list[Page]:
        """What all places have, asked at once."""
        asked = [self.pool.submit(source.page, project) if source.remote else source for source in self.offered.sources]
        return [item.page(project) if isinstance(item, Source) else item.result() for item in asked]

    def content(self, project: str, pages: list[Page]) -> bytes:
        """The page of a project."""
        filled = [page for page in pages if page.kind == "files"]
        if len(filled) == 1 and filled[0].raw is not None:
            return filled[0].raw
        rows = [[{**row, "url": self.offered.shown(row["url"])} for row in page.read()] for page in filled]
        self.offered.note_withdrawn(project, index_pages.withdrawn(row for page in rows for row in page))
        body, undated = index_pages.merged(project, rows)
        self.offered.undated = self.offered.undated or undated
        return body


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    end: _End

    def do_GET(self) -> None:
        if self.headers.get("Proxy-Authorization") != self.end.expected:
            self._answer(407, {"Proxy-Authenticate": 'Basic realm="mwaa-local"'})
            return
        parts = urllib.parse.urlsplit(self.path)
        if parts.netloc.partition(":")[0] != self.end.offered.host:
            self._forward(self.path)
        elif found := re.fullmatch(r"/simple/([^/]+)/?", parts.path):
            self._page(str(canonicalize_name(urllib.parse.unquote(found[1]))))
        elif (real := self.end.offered.behind(self.path)) is not None and self.end.client.login(real) is not None:
            self._forward(real)
        else:
            self._answer(404, {})

    do_HEAD = do_GET  # noqa: N815 - names http.server asks for
    do_POST = do_GET  # noqa: N815

    def _page(self, project: str) -> None:
        pages = self.end.pages(project)
        if not any(page.kind == "files" for page in pages):
            self._answer(404, {})
            return
        tag = f'"{hashlib.sha256("|".join(f"{p.kind} {p.tag}" for p in pages).encode()).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if any(page.kind == "unreachable" for page in pages):
            # A page that lacks a part must not be found in uv's cache later.
            headers["Cache-Control"] = "no-store"
        elif min(page.fresh_s for page in pages) >= 1:
            headers["Cache-Control"] = f"max-age={int(min(page.fresh_s for page in pages))}"
        if self.headers.get("If-None-Match") == tag and headers["Cache-Control"] != "no-store":
            self._answer(304, headers)
            return
        headers["Content-Type"] = index_pages.JSON
        self._answer(200, headers, self.end.content(project, pages))

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and body:
            self.wfile.write(body)

    def _forward(self, url: str) -> None:
        """The answer of another server, as it comes."""
        sent = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
        length = int(self.headers.get("Content-Length") or 0)
        try:
            answer = self.end.client.send(self.command, url, sent, body=self.rfile.read(length) if length else None)
        except UnreachableError as error:
            self._answer(502, {"Content-Type": "text/plain; charset=utf-8"}, str(error).encode())
            return
        try:
            known = answer.headers.get("Content-Length")
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOPS:
                    self.send_header(name, value)
            if known is not None:
                self.send_header("Content-Length", known)
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            if self.command != "HEAD":
                for piece in answer.stream(_CHUNK, decode_content=False):
                    self.wfile.write(piece)
        except Exception:  # noqa: BLE001 - half of a body is sent: all that is left is to hang up
            self.close_connection = True
        finally:
            answer.release_conn()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: the addresses may hold secrets."""
