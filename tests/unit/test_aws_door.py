"""The door of the endpoint: who may come in, what goes to our own routes, and what is told about what changed."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from mwaa_local.aws.server import asgi
from mwaa_local.aws.server.host import REQUEST


class Door:
    """The application over a fake of MiniStack, and what came out of it."""

    def __init__(self, status: int = 200, service: str = "", fails: bool = False) -> None:
        self.changes: list[str] = []
        self.calls: list[str] = []
        self.routed: list[tuple[Any, ...]] = []
        self.sent: list[Any] = []

        async def ministack(scope: Any, receive: Any, send: Any) -> None:
            self.calls.append(scope["type"])
            if scope["type"] != "http":
                return
            REQUEST.get().service = service
            await send({"type": "http.response.start", "status": status, "headers": []})
            self.calls.append("answered")

        async def route(*words: Any) -> tuple[int, dict[str, Any]]:
            self.routed.append(words)
            return 201, {"it": "is"}

        async def reset() -> None:
            self.calls.append("reset")

        async def started() -> None:
            self.calls.append("started")
            if fails:
                raise OSError("no disk")

        async def stopping() -> None:
            self.calls.append("stopping")

        self.app = asgi.Application(
            SimpleNamespace(app=SimpleNamespace(app=ministack)),  # type: ignore[arg-type]
            route=route, changed=self.changes.append, reset=reset, started=started, stopping=stopping,
        )  # fmt: skip

    def ask(
        self,
        path: str = "/",
        method: str = "POST",
        parts: tuple[bytes, ...] = (b"",),
        headers: dict[str, str] | None = None,
    ) -> int:
        waiting = [
            {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
            for number, part in enumerate(parts)
        ]
        scope = {
            "type": "http",
            "path": path,
            "method": method,
            "query_string": b"a=1&a=2",
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        }
        self.run(scope, [*waiting, {"type": "http.disconnect"}])
        return next((int(item["status"]) for item in self.sent if "status" in item), 0)

    def run(self, scope: dict[str, Any], messages: list[dict[str, Any]]) -> None:
        async def receive() -> Any:
            self.calls.append("received") if scope["type"] == "lifespan" else None
            return messages.pop(0)

        async def send(message: Any) -> None:
            self.sent.append(message)

        asyncio.run(self.app(scope, receive, send))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost:8080"}, 200),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"ORIGIN": "http://[::1]:1"}, 200),
        ({"Origin": "https://localhost.example"}, 403),
        ({"Origin": "http://example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"Referer": "http://example"}, 200),
        ({"User-Agent": "x", "Origin": "http://127.0.0.1.example"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/", "/_mwaa_local/tasks"])
def test_a_page_of_another_host_may_not_come_in(headers: dict[str, str], status: int, path: str) -> None:
    door = Door()
    answer = door.ask(path, headers=headers)
    assert answer == (201 if path != "/" and status == 200 else status)
    assert bool(door.calls or door.routed) is (status == 200)
    if status == 403:
        assert json.loads(door.sent[1]["body"])["__type"] == "AccessDeniedException"


def test_our_own_routes_get_what_was_sent() -> None:
    door = Door()
    assert door.ask("/_mwaa_local/deep/er", "PUT", (b"on", b"e", b"")) == 201
    assert door.routed == [("PUT", "deep/er", {"a": ["1", "2"]}, b"one")]
    assert json.loads(door.sent[1]["body"]) == {"it": "is"}
    assert dict(door.sent[0]["headers"]) == {b"content-type": b"application/json", b"content-length": b"12"}
    assert not door.calls


@pytest.mark.parametrize(("size", "status"), [((1 << 20) - 1, 201), (1 << 20, 201), ((1 << 20) + 1, 413)])
def test_our_own_routes_take_a_mebibyte(size: int, status: int) -> None:
    door = Door()
    assert door.ask("/_mwaa_local/x", parts=(b"x" * (size - 1), b"y")) == status
    assert bool(door.routed) is (status == 201)


def test_a_client_that_goes_while_it_sends_gets_no_answer() -> None:
    door = Door()
    door.run({"type": "http", "path": "/_mwaa_local/x", "method": "PUT", "headers": []}, [{"type": "http.disconnect"}])
    assert (door.sent, door.routed) == ([], [])


@pytest.mark.parametrize(
    ("method", "status", "service", "told"),
    [
        ("POST", 200, "", [""]),
        ("PUT", 204, "", [""]),
        ("DELETE", 399, "", [""]),
        ("POST", 400, "", []),
        ("POST", 500, "", []),
        ("GET", 200, "", []),
        ("HEAD", 200, "", []),
        ("OPTIONS", 200, "", []),
        ("POST", 200, "sqs", []),  # the table of services told it already
    ],
)
def test_a_change_past_the_table_of_services_is_told(method: str, status: int, service: str, told: list[str]) -> None:
    door = Door(status, service)
    assert door.ask("/x", method) == status
    assert door.changes == told


@pytest.mark.parametrize(
    ("path", "status", "wiped"),
    [("/_ministack/reset", 200, True), ("/_ministack/reset", 400, False), ("/_ministack/health", 200, False)],
)
def test_a_reset_is_ours_too_and_before_its_answer(path: str, status: int, wiped: bool) -> None:
    door = Door(status)
    door.ask(path)
    assert door.calls == (["http", "reset", "answered"] if wiped else ["http", "answered"])


def test_what_is_no_request_goes_by() -> None:
    door = Door()
    door.run({"type": "websocket", "path": "/_mwaa_local/x"}, [])
    assert door.calls == ["websocket"]


def test_a_start_and_an_end_are_each_told_once_and_in_turn() -> None:
    door = Door()
    door.run({"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    assert door.calls == ["received", "started", "received", "stopping"]
    assert [item["type"] for item in door.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_start_that_fails_says_why() -> None:
    door = Door(fails=True)
    with pytest.raises(OSError, match="no disk"):
        door.run({"type": "lifespan"}, [{"type": "lifespan.startup"}])
    assert door.sent == [{"type": "lifespan.startup.failed", "message": "OSError: no disk"}]
    assert "stopping" not in door.calls
