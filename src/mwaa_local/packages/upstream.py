"""Asking package indexes as pip asks them: kept connections, logins, proxies, certificates, and a memory of pages.

A page counts as long as its index says (``Cache-Control``) and is then asked for again with its tag, so that a warm
verdict asks little. An index that cannot be reached was asked once; the others of a run do not wait for it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from mwaa_local.packages import fetch, index_pages
from mwaa_local.packages.credentials import Login, Logins, plain
from mwaa_local.packages.paths import redact
from mwaa_local.packages.pip_settings import PipSettings

# pip asks again after these (its session's list).
_RETRIED = (500, 502, 503, 520, 524, 527)
_POOL = 32
_REDIRECTS = 10
_MAX_AGE = re.compile(r"max-age=(\d+)")
# Seconds an index that could not be reached is not asked again: the many runs of one command wait once.
_DOWN_S = 30.0
_NO_CONNECTION = (NewConnectionError, ConnectTimeoutError, ProxyError, SSLError)
_down: dict[str, tuple[float, str]] = {}


class UnreachableError(Exception):
    """A server gave no answer; the message says why, without the address.

    Args:
        why: The reason.
        down: There was not even a connection: other questions will fare no better.
    """

    def __init__(self, why: str, *, down: bool = False) -> None:
        super().__init__(why)
        self.down = down


@dataclass(frozen=True)
class Limits:
    """How long and how often is asked; times in seconds."""

    connect_s: float
    read_s: float
    retries: int

    @property
    def longest_s(self) -> float:
        """The longest that one question can take."""
        return (self.retries + 1) * (max(self.connect_s, self.read_s) + 1.0)


@dataclass(frozen=True)
class Answer:
    """What a server said to the question for a page.

    Attributes:
        status: Its status; 200 for a page from memory too.
        reason: The words of the status.
        url: Where the page was in the end.
        content_type: Its form.
        body: The page.
        tag: Changes with the page.
        fresh_s: Seconds it still counts without another question.
    """

    status: int
    reason: str = ""
    url: str = ""
    content_type: str = ""
    body: bytes = b""
    tag: str = ""
    fresh_s: float = 0.0


@dataclass
class Client:
    """A client for all indexes of one run; may be used by several threads.

    Attributes:
        logins: Where logins come from.
        environment: Proxy variables.
        settings: pip's certificates and proxy.
        trusted_hosts: Hosts whose certificates are not checked.
        limits: Times and tries.
        memory: The folder of pages.
    """

    logins: Logins
    environment: Mapping[str, str]
    settings: PipSettings
    trusted_hosts: Sequence[str]
    limits: Limits
    memory: Path
    _pools: dict[tuple[str, str], urllib3.PoolManager] = field(default_factory=dict)
    _known: dict[str, Login] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def page(self, url: str) -> Answer:
        """A page of an index, from memory where it still counts.

        Raises:
            UnreachableError: no answer.
        """
        kept = _Kept(self.memory, url)
        if kept.fresh_s > 0:
            return kept.answer()
        host = urllib.parse.urlsplit(plain(url)).netloc
        at, why = _down.get(host, (0.0, ""))
        if why and time.monotonic() - at < _DOWN_S:
            raise UnreachableError(why)
        asked = {"Accept": index_pages.ACCEPT, "Accept-Encoding": "gzip", **kept.conditions()}
        try:
            answer = self.send("GET", url, asked, stream=False)
        except UnreachableError as error:
            if error.down:
                _down[host] = (time.monotonic(), str(error))
            raise
        if answer.status == 304 and kept.there:
            kept.confirm(answer.headers)
            return kept.answer()
        if answer.status != 200:
            return Answer(answer.status, answer.reason or "")
        place = urllib.parse.urljoin(plain(url), answer.geturl() or "")
        return kept.keep(answer.headers, place, answer.data)

    def send(
        self, method: str, url: str, headers: Mapping[str, str], *, body: bytes | None = None, stream: bool = True
    ) -> urllib3.BaseHTTPResponse:
        """One question with a login where one is known; the answer whatever its status.

        Args:
            method: ``GET``, ``HEAD`` or ``POST``.
            url: The address; may have a login in it.
            headers: What else is sent.
            body: What is sent.
            stream: Leave the body to be read in pieces; the caller closes the answer.

        Raises:
            UnreachableError: no answer.
        """
        address = plain(url)
        host = urllib.parse.urlsplit(address).netloc
        login = self.logins.of(url) or self._known.get(host)
        answer = self._once(method, address, headers, login, body, stream)
        if answer.status == 401 and (more := self.logins.asked(url)) is not None and more != login:
            answer.drain_conn()
            answer = self._once(method, address, headers, more, body, stream)
            if answer.status < 400:
                self._known[host] = more
        return answer

    def status(self, url: str) -> int:
        """The status of an address; 0 where there is no answer."""
        try:
            answer = self.send("HEAD", url, {"Accept": index_pages.ACCEPT})
        except UnreachableError:
            return 0
        answer.release_conn()
        return answer.status

    def login(self, url: str) -> Login | None:
        """The login that requests for a URL are sent with."""
        return self.logins.of(url) or self._known.get(urllib.parse.urlsplit(plain(url)).netloc)

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.clear()

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        login: Login | None,
        body: bytes | None,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        sent = {"User-Agent": "mwaa-local", **headers}
        if login is not None:
            sent |= urllib3.make_headers(basic_auth=f"{login.user}:{login.password}")
        tries = urllib3.Retry(
            total=self.limits.retries + _REDIRECTS, connect=self.limits.retries, read=self.limits.retries,
            status=self.limits.retries, other=self.limits.retries, redirect=_REDIRECTS, status_forcelist=_RETRIED,
            allowed_methods=None, backoff_factor=0.25, raise_on_status=False, raise_on_redirect=True,
            respect_retry_after_header=False,
        )  # fmt: skip
        try:
            return self._pool(url).request(
                method, url, headers=sent, body=body, retries=tries, preload_content=not stream,
                decode_content=not stream, timeout=urllib3.Timeout(self.limits.connect_s, self.limits.read_s),
            )  # fmt: skip
        except (HTTPError, OSError, ValueError) as error:
            cause = error.reason if isinstance(error, MaxRetryError) and error.reason is not None else error
            raise UnreachableError(_why(cause, self.limits), down=isinstance(cause, _NO_CONNECTION)) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        proxy = fetch.proxies(self.environment, self.settings, host).get(parts.scheme.lower(), "")
        with self._guard:
            if (known := self._pools.get((host, proxy))) is not None:
                return known
            options: dict[str, Any] = {
                "num_pools": 8, "maxsize": _POOL, "ssl_context": fetch.tls(self.settings, host, self.trusted_hosts),
            }  # fmt: skip
            if not proxy:
                made = urllib3.PoolManager(**options)
            else:
                address = proxy if "://" in proxy else f"http://{proxy}"
                login = Logins((), {}, PipSettings()).of(address)
                sent = urllib3.make_headers(proxy_basic_auth=f"{login.user}:{login.password}") if login else {}
                made = urllib3.ProxyManager(plain(address), proxy_headers=sent, **options)
            self._pools[host, proxy] = made
            return made


class _Kept:
    """A page in memory: ``<key>.json`` says what it is, ``<key>.page`` is its text."""

    def __init__(self, folder: Path, url: str) -> None:
        key = hashlib.sha256(redact(url).encode()).hexdigest()[:40]
        self._head, self._text = folder / f"{key}.json", folder / f"{key}.page"
        try:
            self._told: dict[str, Any] = json.loads(self._head.read_text(encoding="utf-8"))
            self.there = bool(self._told["tag"]) and self._text.is_file()
        except (OSError, ValueError, KeyError, TypeError):
            self._told, self.there = {}, False

    @property
    def fresh_s(self) -> float:
        """Seconds it still counts."""
        age = time.time() - float(self._told.get("at", 0.0))
        return float(self._told.get("max_age", 0)) - age if self.there and age >= 0 else 0.0

    def conditions(self) -> dict[str, str]:
        """Headers that let the index answer that nothing changed."""
        if not self.there:
            return {}
        names = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
        return {name: self._told[key] for key, name in names.items() if self._told.get(key)}

    def answer(self) -> Answer:
        """The page."""
        try:
            body = self._text.read_bytes()
        except OSError as error:
            raise UnreachableError(f"its page in memory cannot be read: {error.strerror}") from error
        told = self._told
        return Answer(200, "", told["url"], told["type"], body, told["tag"], max(self.fresh_s, 0.0))

    def confirm(self, headers: Mapping[str, str]) -> None:
        """The index says it still counts."""
        self._told |= {"at": time.time(), "max_age": _max_age(headers) or self._told.get("max_age", 0)}
        self._write()

    def keep(self, headers: Mapping[str, str], url: str, body: bytes) -> Answer:
        """Remember a page, unless its index forbids it."""
        rules = headers.get("Cache-Control", "").lower()
        tag = hashlib.sha256(body).hexdigest()
        kind = headers.get("Content-Type", "")
        age = 0 if "no-cache" in rules else _max_age(headers)
        if "no-store" not in rules:
            self._told = {
                "url": url, "type": kind, "tag": tag, "at": time.time(), "max_age": age,
                "etag": headers.get("ETag", ""), "modified": headers.get("Last-Modified", ""),
            }  # fmt: skip
            with contextlib.suppress(OSError):  # a full disk costs another question, not the answer
                self._text.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                fresh = self._text.with_name(f".{self._text.name}.{secrets.token_hex(4)}")
                fresh.write_bytes(body)
                fresh.replace(self._text)
                self._write()
        return Answer(200, "", url, kind, body, tag, float(age))

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            fetch.write_atomically(self._head, json.dumps(self._told))


def forget_failures() -> None:
    """Ask indexes again that could not be reached just now."""
    _down.clear()


def _max_age(headers: Mapping[str, str]) -> int:
    found = _MAX_AGE.search(headers.get("Cache-Control", "").lower())
    return int(found[1]) if found else 0


def _why(cause: BaseException, limits: Limits) -> str:
    """Why there was no answer, in few words."""
    if isinstance(cause, ProxyError):
        return f"the proxy does not answer: {_why(cause.original_error, limits)}"
    if isinstance(cause, SSLError):
        return f"its certificate or its TLS is not accepted: {_system(cause)}"
    if isinstance(cause, NameResolutionError):
        return "its name is unknown (DNS)"
    # A refused connection is a kind of this one too, and did not wait.
    if isinstance(cause, ConnectTimeoutError) and not isinstance(cause, NewConnectionError):
        return f"no connection within {limits.connect_s:.0f} s"
    if isinstance(cause, ReadTimeoutError):
        return f"no answer within {limits.read_s:.0f} s"
    return _system(cause)


def _system(error: BaseException) -> str:
    """The operating system's words inside an error, else its own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno and seen.strerror:
            return os.strerror(seen.errno) if not isinstance(seen, SSLError) else str(seen.strerror)
        inner = [item for item in seen.args if isinstance(item, BaseException)]
        seen = seen.__cause__ or seen.__context__ or (inner[0] if inner else None)
    return redact(str(error))[:200]
