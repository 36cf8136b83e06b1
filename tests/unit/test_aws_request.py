"""The time limit of a request to the endpoint."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from mwaa_local.aws.server import asgi
from mwaa_local.aws.server.asgi import Application, Request
from mwaa_local.aws.server.host import REQUEST, action_of, error_response


async def nothing() -> None:
    return None


def application(handler: Any) -> Application:
    async def route(*_arguments: Any) -> tuple[int, dict[str, Any]]:
        return 200, {}

    host: Any = SimpleNamespace(app=SimpleNamespace(app=handler))
    return Application(host, route=route, changed=lambda _s: None, reset=nothing, started=nothing, stopping=nothing)


def ask(subject: Application) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"x-amz-target", b"AmazonSQS.X")]}
    asyncio.run(subject(scope, receive, send))
    return sent


def test_a_request_that_hangs_is_answered_with_an_aws_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "REQUEST_SECONDS", 0.1)

    async def hangs(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(30)

    start, content = ask(application(hangs))
    assert start["status"] == 503
    assert json.loads(content["body"])["__type"] == "ServiceUnavailable"


def test_an_answer_that_has_begun_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "REQUEST_SECONDS", 0.1)

    async def slow_client(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.3)
        await send({"type": "http.response.body", "body": b"whole", "more_body": False})

    assert ask(application(slow_client))[-1]["body"] == b"whole"


def test_a_quick_service_inside_a_slow_one_does_not_shorten_its_limit() -> None:
    async def check() -> float:
        async with asyncio.timeout(60) as timeout:
            request = Request(nothing, timeout)  # type: ignore[arg-type]
            request.allow(930)
            request.allow(60)
            return (timeout.when() or 0.0) - asyncio.get_running_loop().time()

    assert asyncio.run(check()) > 900


def test_work_that_a_request_leaves_behind_is_not_disturbed() -> None:
    left: list[Any] = []

    async def leaves_work(_scope: Any, _receive: Any, send: Any) -> None:
        left.append(REQUEST.get())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    ask(application(leaves_work))

    async def later() -> None:
        left[0].allow(930)

    asyncio.run(later())
    left[0].allow(60)  # and on a thread without a loop
    assert len(left) == 1 and REQUEST.get(None) is None, "the request is over, and its budget with it"


@pytest.mark.parametrize(
    ("headers", "body", "query", "action"),
    [
        ({"x-amz-target": "Logs_20140328.PutLogEvents"}, b"", {}, "PutLogEvents"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"Version=1&Action=SendMessage&X=1", {}, "SendMessage"),
        ({}, b"", {"Action": ["ListQueues"]}, "ListQueues"),
        ({"content-type": "application/xml"}, b"<a/>", {}, ""),
    ],
)
def test_the_action_is_found_in_each_protocol(
    headers: dict[str, str], body: bytes, query: dict[str, Any], action: str
) -> None:
    assert action_of(headers, body, query) == action


def test_an_error_has_the_shape_of_the_callers_protocol() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    _status, _headers, content = error_response("X", "a < b", status=400, headers=form, body=b"Action=DescribeClusters")
    assert b"<Code>X</Code>" in content
    assert b"a &lt; b" in content
    _status, headers, content = error_response("X", "m", status=400, headers={"x-amz-target": "A.B"})
    assert headers["x-amzn-errortype"] == "X"
    assert json.loads(content)["__type"] == "X"
