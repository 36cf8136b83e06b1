"""The ASGI application in front of MiniStack: private routes, time limits, who may call, and the connection's end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mwaa_local.aws.server.host import REQUEST, REQUEST_SECONDS, Host, error_response

log = logging.getLogger("mwaa_local.aws")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Route = Callable[[str, str, dict[str, list[str]], bytes], Awaitable[tuple[int, dict[str, Any]]]]

PRIVATE = "/_mwaa_local/"
_RESET = "/_ministack/reset"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_BODY_LIMIT = 1 << 20


class Request:
    """One HTTP request on its way through MiniStack; found there as ``host.REQUEST``.

    Attributes:
        service: Name of the service that handled it, empty until one has.
        refused: Why the disk did not take what it changed; empty if it did.
    """

    def __init__(self, receive: Receive, timeout: asyncio.Timeout) -> None:
        self._receive = receive
        self._timeout = timeout
        self.service = ""
        self.refused = ""

    async def receive(self) -> Message:
        """The next part of the body. The time limit counts from the last part, so a slow upload may take its time."""
        message = await self._receive()
        self.allow(REQUEST_SECONDS)
        return message

    async def disconnected(self) -> None:
        """Returns when the client has gone; only for use after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def allow(self, seconds: float | None) -> None:
        """Extend the time left, or take the limit away. Never shortens it: a slow service may call a quick one."""
        try:
            until = None if seconds is None else asyncio.get_running_loop().time() + seconds
            now = self._timeout.when()
            if now is not None and (until is None or until > now):
                self._timeout.reschedule(until)
        except RuntimeError:
            pass  # the request is over: this is work that it left behind, on the loop or on a thread of its own


class Application:
    """Everything the endpoint answers.

    Args:
        host: MiniStack.
        route: Answers the private routes: method, path below the prefix, query, body to status and JSON document.
        changed: See ``Host``.
        reset: Called after MiniStack's own reset has wiped all services.
        started: Called once, on the server's loop, before the first request.
        stopping: Called once, after the last.
    """

    def __init__(
        self,
        host: Host,
        *,
        route: Route,
        changed: Callable[[str], None],
        reset: Callable[[], Awaitable[None]],
        started: Callable[[], Awaitable[None]],
        stopping: Callable[[], Awaitable[None]],
    ) -> None:
        self._host = host
        self._route = route
        self._changed = changed
        self._reset = reset
        self._started = started
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] != "http":
            await self._host.app.app(scope, receive, send)
        elif not _may_call(scope):
            await _answer(
                send,
                403,
                {
                    "__type": "AccessDeniedException",
                    "message": "Web pages of other hosts may not call the local AWS endpoint.",
                },
            )
        elif scope["path"].startswith(PRIVATE):
            await self._private(scope, receive, send)
        else:
            await self._aws(scope, receive, send)

    async def _aws(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0
        request: Request | None = None

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if request is not None:
                    request.allow(None)  # answered: from here on the pace is the client's
                if scope["path"] == _RESET and status < 400:
                    await self._reset()  # before the answer: who has it may rely on it
            await send(message)

        try:
            async with asyncio.timeout(REQUEST_SECONDS) as timeout:
                request = Request(receive, timeout)
                token = REQUEST.set(request)
                try:
                    await self._host.app.app(scope, request.receive, observe)
                finally:
                    REQUEST.reset(token)
        except TimeoutError:
            log.warning("%s %s did not finish in time and was ended", scope["method"], scope["path"])
            if not status:
                headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
                code, response, content = error_response(
                    "ServiceUnavailable",
                    "The local AWS endpoint did not finish this request in time.",
                    status=503,
                    headers=headers,
                )
                await _answer(send, code, content, response["Content-Type"])
            return
        if scope["method"] in ("GET", "HEAD", "OPTIONS") or status >= 400:
            return
        if request is not None and not request.service:
            self._changed("")  # a route of MiniStack that goes past its table of services

    async def _private(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > _BODY_LIMIT:
                await _answer(send, 413, {"error": "too-large"})
                return
            if not message.get("more_body"):
                break
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
                status, document = await self._route(scope["method"], scope["path"][len(PRIVATE) :], query, body)
        except TimeoutError:
            status, document = 503, {"error": "timeout"}
        await _answer(send, status, document)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._started()
        except Exception as error:
            log.exception("the AWS endpoint could not start")
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stopping()
        await send({"type": "lifespan.shutdown.complete"})


def _may_call(scope: Scope) -> bool:
    """Programs send no ``Origin``; a browser does, and a page from elsewhere must not read local secrets."""
    for name, value in scope["headers"]:
        if name.lower() == b"origin":
            return (urlsplit(value.decode("latin-1")).hostname or "") in _LOOPBACK
    return True


async def _answer(
    send: Send, status: int, document: dict[str, Any] | bytes, content_type: str = "application/json"
) -> None:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})
