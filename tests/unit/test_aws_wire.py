"""Requests of the tool to the AWS endpoint: signed as botocore signs them, refusals read in every protocol's shape."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from mwaa_local.aws import client
from mwaa_local.aws.wire import AwsRefusedError, Credentials, Wire
from mwaa_local.errors import EndpointError

Answer = tuple[int, dict[str, str], bytes]


class Server:
    """Notes requests and answers from a table of ``METHOD path?query`` or action."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: dict[str, Answer | list[Answer]] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append((self.command, self.path, headers, body))
                action = headers.get("x-amz-target", "").rpartition(".")[2]
                found = server.answers.get(action or f"{self.command} {self.path}", (200, {}, b"{}"))
                status, more, content = found.pop(0) if isinstance(found, list) else found
                self.send_response(status)
                for name, value in {**more, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_HEAD = handle_any

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def actions(self) -> list[str]:
        return [
            headers.get("x-amz-target", "").rpartition(".")[2] or f"{method} {path}"
            for method, path, headers, _ in self.asked
        ]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def refusal(code: str, status: int = 400) -> Answer:
    return status, {}, json.dumps({"__type": f"com.amazonaws#{code}", "message": "no"}).encode()


# -- signatures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "service", "path", "query", "body"),
    [
        ("GET", "s3", "/bucket/a key+b.txt", {"prefix": "x y", "list-type": "2"}, b""),
        ("PUT", "s3", "/bucket", {"versioning": ""}, b"<x/>"),
        ("POST", "sqs", "/", {}, b'{"QueueName": "celery"}'),
    ],
)
@pytest.mark.parametrize("token", ["", "session"])
def test_a_request_is_signed_as_botocore_signs_it(
    server: Server, method: str, service: str, path: str, query: dict[str, str], body: bytes, token: str
) -> None:
    """The local endpoint believes any signature; real AWS (Local.Aws) does not."""
    wire = Wire(server.url, "eu-west-1", Credentials("AKID", "secret", token))
    wire.call(method, service, path, query=query, body=body, headers={"Content-Type": "application/x"})
    wire.close()
    _, address, headers, sent = server.asked[0]
    assert sent == body
    request = AWSRequest(method, server.url + address, data=body)
    request.headers["Content-Type"] = "application/x"
    request.headers["X-Amz-Content-SHA256"] = headers["x-amz-content-sha256"]
    request.context["timestamp"] = headers["x-amz-date"]
    kind = S3SigV4Auth if service == "s3" else SigV4Auth  # S3 alone quotes a path once
    signer = kind(BotoCredentials("AKID", "secret", token or None), service, "eu-west-1")
    if token:
        request.headers["X-Amz-Security-Token"] = token
    request.headers["X-Amz-Date"] = headers["x-amz-date"]
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    assert headers["authorization"].endswith(f"Signature={signature}")
    assert f"Credential=AKID/{headers['x-amz-date'][:8]}/eu-west-1/{service}/aws4_request" in headers["authorization"]
    assert headers.get("x-amz-security-token", "") == token


def test_one_connection_serves_many_requests_and_survives_an_answer_that_fails(server: Server) -> None:
    wire = Wire(server.url, "us-east-1")
    server.answers["Nope"] = refusal("Nope")
    assert wire.call_json("sqs", "AmazonSQS.ListQueues", {}) == {}
    with pytest.raises(AwsRefusedError):
        wire.call_json("sqs", "AmazonSQS.Nope", {})
    assert wire.call_json("sqs", "AmazonSQS.ListQueues", {"a": 1}, version="1.0") == {}
    wire.close()
    assert server.asked[2][2]["content-type"] == "application/x-amz-json-1.0"
    assert server.asked[0][2]["content-type"] == "application/x-amz-json-1.1"


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ((400, {}, b'{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "none"}'), "QueueDoesNotExist", "none"),
        ((400, {"x-amzn-errortype": "ResourceAlreadyExistsException:http://x/"}, b'{"Message": "there"}'), "ResourceAlreadyExistsException", "there"),
        ((400, {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender"}, b"{}"), "AWS.SimpleQueueService.NonExistentQueue", "{}"),
        ((409, {}, b"<?xml version='1.0'?><Error><Code>BucketAlreadyOwnedByYou</Code><Message>yours</Message></Error>"), "BucketAlreadyOwnedByYou", "yours"),
        ((500, {}, b"boom"), "500", "boom"),
        ((503, {}, b"<html>"), "503", ""),
    ],
)  # fmt: skip
def test_a_refusal_has_awss_code_and_words(server: Server, answer: Answer, code: str, message: str) -> None:
    server.answers["POST /"] = answer
    with pytest.raises(AwsRefusedError) as caught:
        Wire(server.url, "us-east-1").call("POST", "sqs", "/")
    assert (caught.value.code, caught.value.status, caught.value.why) == (code, answer[0], message)


@pytest.mark.parametrize("address", ["127.0.0.1:4566", "", "http://"])
def test_what_is_no_url_is_said_so(address: str) -> None:
    with pytest.raises(EndpointError, match="not a URL"):
        Wire(address, "us-east-1")


def test_silence_is_an_endpoint_error(server: Server) -> None:
    server.stop()
    with pytest.raises(EndpointError, match="does not answer") as caught:
        Wire(server.url, "us-east-1", timeout_s=1).call("GET", "s3", "/")
    assert caught.value.where == server.url and "Refused" in caught.value.why


# -- provisioning ------------------------------------------------------------------------------------------------------

QUEUE_URL = b'{"QueueUrl": "http://x/000000000000/celery"}'


def visibility(seconds: str) -> Answer:
    return 200, {}, json.dumps({"Attributes": {"VisibilityTimeout": seconds}}).encode()


def test_a_queue_that_is_there_is_left_alone_and_one_with_another_timeout_corrected(server: Server) -> None:
    server.answers["GetQueueUrl"] = (200, {}, QUEUE_URL)
    server.answers["GetQueueAttributes"] = [visibility("43200"), visibility("30")]
    made = client.provision(server.url, "us-east-1", queue="celery", visibility_timeout_s=43200)
    assert (made.queue_url, made.created) == ("http://x/000000000000/celery", ())
    assert "SetQueueAttributes" not in server.actions()
    client.provision(server.url, "us-east-1", queue="celery", visibility_timeout_s=43200)
    assert server.actions()[-1] == "SetQueueAttributes"
    assert json.loads(server.asked[-1][3])["Attributes"] == {"VisibilityTimeout": "43200"}


@pytest.mark.parametrize("code", ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"])
def test_a_queue_that_is_not_there_is_made_with_its_timeout(server: Server, code: str) -> None:
    """SQS's own default of 30 s runs a long task twice (spec/10 section 6.1)."""
    server.answers |= {"GetQueueUrl": refusal(code), "CreateQueue": (200, {}, QUEUE_URL)}
    made = client.provision(server.url, "us-east-1", queue="celery", visibility_timeout_s=43200)
    assert made.created == ("celery",)
    assert json.loads(server.asked[-1][3]) == {"QueueName": "celery", "Attributes": {"VisibilityTimeout": "43200"}}
    with pytest.raises(ValueError, match="visibility timeout"):
        client.provision(server.url, "us-east-1", queue="celery")


def test_another_refusal_about_a_queue_is_not_passed_over(server: Server) -> None:
    server.answers["GetQueueUrl"] = refusal("AccessDenied", 403)
    with pytest.raises(AwsRefusedError, match="AccessDenied"):
        client.provision(server.url, "us-east-1", queue="celery", visibility_timeout_s=1)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_bucket_is_versioned_and_closed_to_the_public(server: Server, region: str) -> None:
    """spec/04 section 10; only us-east-1 takes no location."""
    server.answers["HEAD /mwaa"] = (404, {}, b"")
    made = client.provision(server.url, region, bucket="mwaa")
    assert made.created == ("mwaa",)
    assert server.actions() == ["HEAD /mwaa", "PUT /mwaa", "PUT /mwaa?versioning=", "PUT /mwaa?publicAccessBlock="]
    bodies = [body.decode() for *_, body in server.asked]
    assert ("<LocationConstraint>eu-west-1</LocationConstraint>" in bodies[1]) == (region == "eu-west-1")
    assert "<Status>Enabled</Status>" in bodies[2]
    for name in ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"):
        assert f"<{name}>true</{name}>" in bodies[3]


def test_a_bucket_that_is_there_is_not_made_again(server: Server) -> None:
    assert client.provision(server.url, "us-east-1", bucket="mwaa").created == ()
    assert "PUT /mwaa" not in server.actions()
    server.answers |= {
        "HEAD /mwaa": (404, {}, b""),
        "PUT /mwaa": (409, {}, b"<Error><Code>BucketAlreadyOwnedByYou</Code></Error>"),
    }
    assert client.provision(server.url, "us-east-1", bucket="mwaa").created == (), "another was faster"
    server.answers["PUT /mwaa"] = (409, {}, b"<Error><Code>BucketAlreadyExists</Code></Error>")
    with pytest.raises(AwsRefusedError, match="BucketAlreadyExists"):
        client.provision(server.url, "us-east-1", bucket="mwaa")
    server.answers["HEAD /mwaa"] = (403, {}, b"")
    with pytest.raises(AwsRefusedError, match="403"):
        client.provision(server.url, "us-east-1", bucket="mwaa")


def test_log_groups_that_are_there_are_not_counted_as_made(server: Server) -> None:
    server.answers["CreateLogGroup"] = [(200, {}, b"{}"), refusal("ResourceAlreadyExistsException")]
    assert client.provision(server.url, "us-east-1", log_groups=["a", "b"]).created == ("a",)
    server.answers["CreateLogGroup"] = refusal("LimitExceededException")
    with pytest.raises(AwsRefusedError, match="LimitExceeded"):
        client.provision(server.url, "us-east-1", log_groups=["c"])


# -- health ------------------------------------------------------------------------------------------------------------


def test_health(server: Server) -> None:
    path = f"GET {client.HEALTH_PATH}"
    server.answers[path] = (200, {}, b'{"status": "ok"}')
    assert client.health(server.url) == {"status": "ok"}
    assert client.wait_ready(server.url) < 5
    for answer, words in (
        ((503, {}, b"{}"), "not healthy"),
        ((200, {}, b"[]"), "not healthy"),
        ((200, {}, b"<x"), "not answer"),
    ):
        server.answers[path] = answer
        with pytest.raises(EndpointError, match=words):
            client.health(server.url)
    with pytest.raises(EndpointError, match=r"did not become ready within 0.05 s"):
        client.wait_ready(server.url, 0.05)


def test_the_boto3_client_knows_nothing_of_the_users(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://real.example")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "theirs")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server.answers["ListQueues"] = (200, {}, b'{"QueueUrls": ["http://x/celery"]}')
    made = client.client("sqs", server.url, "us-east-1")
    assert made.list_queues()["QueueUrls"] == ["http://x/celery"]
    assert "Credential=test/" in server.asked[0][2]["authorization"]
    assert client.queue_url("http://x/", "123", "celery") == "http://x/123/celery"
