"""The AWS endpoint as a process: what it keeps when it is killed, how fast it answers, what it refuses."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_endpoint_support import REGION, Endpoint, free_port
from patience import Stopwatch, gone

from mwaa_local.aws import client as aws
from mwaa_local.aws.wire import AwsRefusedError, Credentials, Wire
from mwaa_local.errors import EndpointError

pytestmark = pytest.mark.contract
# Long enough for a change's snapshot to begin (2 s) and finish.
SNAPSHOT_SECONDS = 4.5


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    server = Endpoint(tmp_path / "state")
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.kill()


def celery_body(task_id: str) -> str:
    envelope = {"body": "W1tdLHt9LHt9XQ==", "headers": {"id": task_id}, "properties": {"correlation_id": task_id}}
    return base64.b64encode(json.dumps(envelope).encode()).decode()


def drain(sqs: Any, url: str) -> list[str]:
    bodies = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
        bodies += [message["Body"] for message in messages]
    return bodies


# -- kill -9 -----------------------------------------------------------------------------------------------------------


def test_objects_secrets_and_settings_survive_a_kill(endpoint: Endpoint) -> None:
    s3, secrets = endpoint.client("s3"), endpoint.client("secretsmanager")
    aws.provision(endpoint.url, REGION, bucket="mwaa-b")
    secrets.create_secret(Name="airflow/connections/x", SecretString="s3cret")
    endpoint.client("ssm").put_parameter(Name="/p", Value="v", Type="String")
    endpoint.client("cloudwatch").put_metric_data(Namespace="N", MetricData=[{"MetricName": "M", "Value": 1.0}])
    first = s3.put_object(Bucket="mwaa-b", Key="dags/a.py", Body=b"one")["VersionId"]
    time.sleep(SNAPSHOT_SECONDS)
    s3.put_object(Bucket="mwaa-b", Key="dags/a.py", Body=b"two")  # written through: not older than any snapshot
    endpoint.kill()
    endpoint.start()
    s3 = endpoint.client("s3")
    assert s3.get_object(Bucket="mwaa-b", Key="dags/a.py")["Body"].read() == b"two"
    assert s3.get_object(Bucket="mwaa-b", Key="dags/a.py", VersionId=first)["Body"].read() == b"one"
    assert s3.get_bucket_versioning(Bucket="mwaa-b")["Status"] == "Enabled"
    secret = endpoint.client("secretsmanager").get_secret_value(SecretId="airflow/connections/x")
    assert secret["SecretString"] == "s3cret"
    assert endpoint.client("ssm").get_parameter(Name="/p")["Parameter"]["Value"] == "v"
    assert [m["MetricName"] for m in endpoint.client("cloudwatch").list_metrics(Namespace="N")["Metrics"]] == ["M"]


def test_no_queued_message_is_lost_and_none_in_flight_is_doubled(endpoint: Endpoint) -> None:
    url = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=43200).queue_url
    sqs = endpoint.client("sqs")
    for number in range(5):
        sqs.send_message(QueueUrl=url, MessageBody=f"single-{number}")
    entries = [{"Id": str(number), "MessageBody": f"batch-{number}"} for number in range(10)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    taken = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=4)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=taken[0]["ReceiptHandle"])
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=taken[1]["ReceiptHandle"], VisibilityTimeout=0)
    endpoint.kill()  # at once: no snapshot can have been taken
    endpoint.start()
    sqs = endpoint.client("sqs")
    bodies = drain(sqs, aws.queue_url(endpoint.url, "000000000000", "q"))
    in_flight = {message["Body"] for message in taken[2:]}
    expected = {f"single-{n}" for n in range(5)} | {f"batch-{n}" for n in range(10)}
    assert sorted(bodies) == sorted(expected - in_flight - {taken[0]["Body"]})
    # the consumer that outlived the endpoint can still acknowledge what it holds
    for message in taken[2:]:
        sqs.delete_message(
            QueueUrl=aws.queue_url(endpoint.url, "000000000000", "q"), ReceiptHandle=message["ReceiptHandle"]
        )
    counts = sqs.get_queue_attributes(
        QueueUrl=url.replace(url.split("/")[2], endpoint.url.split("/")[2]), AttributeNames=["All"]
    )
    assert counts["Attributes"]["VisibilityTimeout"] == "43200"
    assert counts["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "12"


def test_a_queue_keeps_its_messages_across_a_snapshot_and_a_journal(endpoint: Endpoint) -> None:
    url = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=60).queue_url
    sqs = endpoint.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="before")
    sqs.send_message(QueueUrl=url, MessageBody="gone")
    assert endpoint.private("POST", "checkpoint")[0] == 200
    sqs.send_message(QueueUrl=url, MessageBody="after")
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=2)["Messages"]:
        if message["Body"] == "gone":
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        else:
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    for _ in range(2):  # a start must not depend on what the start before it left open
        endpoint.kill()
        endpoint.start()
    again = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=60)
    assert again.created == ()
    assert again.queue_url == aws.queue_url(endpoint.url, "000000000000", "q")  # this start's port, not the first one's
    assert sorted(drain(endpoint.client("sqs"), again.queue_url)) == ["after", "before"]


def test_the_query_protocol_is_journalled_too(endpoint: Endpoint) -> None:
    """Older botocore, as in Airflow 2.10's image, speaks form encoding and XML to SQS."""
    url = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=60).queue_url

    def call(**parameters: str) -> str:
        form = "&".join(f"{name}={value}" for name, value in parameters.items()) + "&Version=2012-11-05"
        wire = Wire(endpoint.url, REGION)
        headers = {"content-type": "application/x-www-form-urlencoded"}
        with contextlib.closing(wire):
            return wire.call("POST", "sqs", "/000000000000/q", body=form.encode(), headers=headers).decode()

    for body in ("one", "two"):
        assert "<MessageId>" in call(Action="SendMessage", MessageBody=body)
    answer = call(Action="ReceiveMessage", MaxNumberOfMessages="1")
    receipt = answer.split("<ReceiptHandle>")[1].split("<")[0]
    call(Action="DeleteMessage", ReceiptHandle=receipt)
    endpoint.kill()
    endpoint.start()
    assert drain(endpoint.client("sqs"), aws.queue_url(endpoint.url, "000000000000", "q")) == ["two"]
    assert url


def test_a_purge_and_a_deleted_queue_stay_so(endpoint: Endpoint) -> None:
    sqs = endpoint.client("sqs")
    for name in ("purged", "deleted"):
        aws.provision(endpoint.url, REGION, queue=name, visibility_timeout_s=60)
        sqs.send_message(QueueUrl=aws.queue_url(endpoint.url, "000000000000", name), MessageBody="x")
    assert endpoint.private("POST", "checkpoint")[0] == 200
    sqs.purge_queue(QueueUrl=aws.queue_url(endpoint.url, "000000000000", "purged"))
    sqs.delete_queue(QueueUrl=aws.queue_url(endpoint.url, "000000000000", "deleted"))
    endpoint.kill()
    endpoint.start()
    sqs = endpoint.client("sqs")
    assert [url.rsplit("/", 1)[1] for url in sqs.list_queues().get("QueueUrls", [])] == ["purged"]
    assert drain(sqs, aws.queue_url(endpoint.url, "000000000000", "purged")) == []


def test_log_events_survive_a_kill_at_once(endpoint: Endpoint) -> None:
    aws.provision(endpoint.url, REGION, log_groups=["airflow-local-Task"])
    logs = endpoint.client("logs")
    logs.create_log_stream(logGroupName="airflow-local-Task", logStreamName="s")
    now = int(time.time() * 1000)
    events = [{"timestamp": now + number, "message": f"line {number} ä"} for number in range(50)]
    where = {"logGroupName": "airflow-local-Task", "logStreamName": "s"}
    logs.put_log_events(**where, logEvents=events[:30])
    assert endpoint.private("POST", "checkpoint")[0] == 200
    logs.put_log_events(**where, logEvents=events[30:])
    endpoint.kill()
    endpoint.start()
    found = endpoint.client("logs").get_log_events(**where, startFromHead=True)["events"]
    assert [event["message"] for event in found] == [event["message"] for event in events]
    assert [event["timestamp"] for event in found] == [event["timestamp"] for event in events]


def test_a_torn_journal_does_not_stop_the_start(endpoint: Endpoint) -> None:
    url = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=60).queue_url
    endpoint.client("sqs").send_message(QueueUrl=url, MessageBody="whole")
    endpoint.kill()
    journal = max((endpoint.state / "journal").glob("sqs.*.journal"))
    with journal.open("ab") as file:
        file.write(b'{"op":"send","q":["000000000000","' + REGION.encode())
    endpoint.start()
    assert drain(endpoint.client("sqs"), aws.queue_url(endpoint.url, "000000000000", "q")) == ["whole"]


# -- clean end and neighbours ------------------------------------------------------------------------------------------


def test_a_clean_stop_is_quick_during_a_long_poll_and_keeps_everything(endpoint: Endpoint) -> None:
    url = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=60, bucket="mwaa-b").queue_url
    sqs = endpoint.client("sqs", retries={"total_max_attempts": 1})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        poll = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=10)
        time.sleep(0.5)
        endpoint.client("secretsmanager").create_secret(Name="late", SecretString="x")
        status, seconds = endpoint.stop()
        poll.exception(10)
    assert status == 0
    assert seconds < 2
    endpoint.start()
    assert endpoint.client("secretsmanager").get_secret_value(SecretId="late")["SecretString"] == "x"


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    port = free_port()
    script = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-m', 'mwaa_local.aws.server', '--port', '{port}', '--state', {str(tmp_path / 's')!r}, '--die-with-parent'])\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        aws.wait_ready(f"http://127.0.0.1:{port}", 20)
        parent.kill()
    assert gone(pid)


def test_a_users_variables_do_not_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SERVICES": "dynamodb",
        "AUTH": "true",
        "AWS_PROFILE": "production",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "MINISTACK_REGION": "us-west-2",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    server = Endpoint(tmp_path / "state")
    try:
        server.start()
        assert server.client("sqs").list_queues().get("QueueUrls", []) == []
    finally:
        server.kill()


# -- speed -------------------------------------------------------------------------------------------------------------


def test_a_long_poll_hears_of_a_message_at_once(endpoint: Endpoint) -> None:
    url = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=60).queue_url
    sender, receiver = endpoint.client("sqs"), endpoint.client("sqs", read_timeout=15)
    sender.list_queues()
    receiver.list_queues()
    delays = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for _ in range(7):
            poll = pool.submit(lambda: (receiver.receive_message(QueueUrl=url, WaitTimeSeconds=10), time.monotonic()))
            time.sleep(0.25)
            begun = time.monotonic()
            sender.send_message(QueueUrl=url, MessageBody="x")
            answer, at = poll.result(12)
            assert len(answer["Messages"]) == 1
            delays.append(at - begun)
    assert sorted(delays)[1] < 0.05, delays  # on a busy machine most may be late; a wait in steps would make all so


def test_a_long_poll_hears_of_a_delayed_and_of_a_returned_message(endpoint: Endpoint) -> None:
    url = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=60).queue_url
    sqs = endpoint.client("sqs", read_timeout=15)
    sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=1)
    watch = Stopwatch()
    message = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"][0]
    assert watch.passed() > 0.5
    assert watch.given() < 2
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        poll = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=10)
        time.sleep(0.3)
        watch = Stopwatch()
        endpoint.client("sqs").change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
        assert poll.result(12)["Messages"][0]["Body"] == "x"
    assert watch.given() < 1


def test_a_consumer_killed_while_it_polls_takes_no_message_with_it(endpoint: Endpoint) -> None:
    url = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=43200).queue_url
    wire = Wire(endpoint.url, REGION)
    body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 10}).encode()
    headers = {"x-amz-target": "AmazonSQS.ReceiveMessage", "content-type": "application/x-amz-json-1.0"}

    def poll() -> None:
        with contextlib.suppress(EndpointError):
            wire.call("POST", "sqs", "/", body=body, headers=headers)

    polling = threading.Thread(target=poll)
    polling.start()
    time.sleep(0.4)
    wire._connection.sock.shutdown(socket.SHUT_RDWR)  # what the kernel does for a process that was killed
    polling.join(5)
    time.sleep(0.1)
    sqs = endpoint.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    assert sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"][0]["Body"] == "x"


def test_requests_do_not_wait_for_a_snapshot(endpoint: Endpoint) -> None:
    """With thousands of secrets the snapshot itself takes long; no request may feel it."""
    secrets = endpoint.client("secretsmanager")
    for number in range(40):
        secrets.create_secret(Name=f"s{number}", SecretString="x" * 60000)
    slowest = 0.0
    until = time.monotonic() + 6
    while time.monotonic() < until:
        begun = time.monotonic()
        secrets.put_secret_value(SecretId="s1", SecretString="y" * 10)
        slowest = max(slowest, time.monotonic() - begun)
    health = endpoint.private("GET", "health")[1]
    assert health["checkpoint"]["longest_stall_s"] < 0.25
    assert slowest < 1
    assert health["checkpoint"]["error"] == ""


def test_logs_are_not_rewritten_for_every_event(endpoint: Endpoint) -> None:
    aws.provision(endpoint.url, REGION, log_groups=["g"])
    logs = endpoint.client("logs")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    assert endpoint.private("POST", "checkpoint")[0] == 200
    path = endpoint.state / "services" / "cloudwatch_logs.json"
    before = path.stat().st_mtime_ns
    until = time.monotonic() + SNAPSHOT_SECONDS
    while time.monotonic() < until:
        event = {"timestamp": int(time.time() * 1000), "message": "x" * 200}
        logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[event])
        time.sleep(0.1)
    assert path.stat().st_mtime_ns == before


def test_logs_have_a_bound_and_the_longest_streams_pay(tmp_path: Path) -> None:
    server = Endpoint(tmp_path / "state", options=("--logs-mb", "2"))
    server.start()
    try:
        aws.provision(server.url, REGION, log_groups=["g"])
        logs = server.client("logs")
        for stream in ("long", "short"):
            logs.create_log_stream(logGroupName="g", logStreamName=stream)
        now = int(time.time() * 1000)
        short = [{"timestamp": now, "message": "keep me"}]
        logs.put_log_events(logGroupName="g", logStreamName="short", logEvents=short)
        for batch in range(8):
            events = [
                {"timestamp": now + batch * 1000 + n, "message": f"{batch}-{n} " + "x" * 300} for n in range(1000)
            ]
            logs.put_log_events(logGroupName="g", logStreamName="long", logEvents=events)
        health = server.private("GET", "health")[1]
        assert health["logs"]["bytes"] <= 2 << 20
        assert health["logs"]["trimmed_events"] > 0
        time.sleep(SNAPSHOT_SECONDS)
        server.kill()
        server.start()
        assert server.private("GET", "health")[1]["logs"]["bytes"] <= 2 << 20
        logs = server.client("logs")
        kept = logs.get_log_events(logGroupName="g", logStreamName="short")["events"]
        assert [event["message"] for event in kept] == ["keep me"]
        newest = logs.get_log_events(logGroupName="g", logStreamName="long", limit=1)["events"]
        assert newest[0]["message"].startswith("7-999 ")
    finally:
        server.kill()


# -- provisioning ------------------------------------------------------------------------------------------------------


def test_provisioning_is_idempotent_and_fast(endpoint: Endpoint) -> None:
    wanted: dict[str, Any] = {
        "queue": "airflow-celery-local",
        "visibility_timeout_s": 43200,
        "bucket": "mwaa-local",
        "log_groups": [
            f"airflow-local-{kind}" for kind in ("DAGProcessing", "Scheduler", "Task", "WebServer", "Worker")
        ],
    }
    first = aws.provision(endpoint.url, REGION, **wanted)
    assert len(first.created) == 7
    assert first.seconds < 0.5
    second = aws.provision(endpoint.url, REGION, **wanted)
    assert second.created == ()
    assert second.queue_url == first.queue_url == aws.queue_url(endpoint.url, "000000000000", "airflow-celery-local")
    block = endpoint.client("s3").get_public_access_block(Bucket="mwaa-local")["PublicAccessBlockConfiguration"]
    assert all(block.values())
    assert endpoint.client("s3").get_bucket_location(Bucket="mwaa-local")["LocationConstraint"] == REGION


def test_provisioning_corrects_a_queue_with_the_default_timeout(endpoint: Endpoint) -> None:
    sqs = endpoint.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=43200)
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert found["Attributes"] == {"VisibilityTimeout": "43200"}


def test_an_account_id_as_access_key_is_that_account(endpoint: Endpoint) -> None:
    made = aws.provision(
        endpoint.url, REGION, queue="q", visibility_timeout_s=60, credentials=Credentials("123456789012", "x")
    )
    assert made.queue_url.endswith("/123456789012/q")
    assert endpoint.client("sqs").list_queues().get("QueueUrls", []) == []


# -- what it refuses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "call"), [("glacier", "list_vaults"), ("redshift", "describe_clusters"), ("workdocs", "describe_users")]
)
def test_an_absent_service_answers_at_once_as_aws_would(endpoint: Endpoint, service: str, call: str) -> None:
    from botocore.exceptions import ClientError

    subject = endpoint.client(service)
    watch = Stopwatch()
    with pytest.raises(ClientError) as caught:
        getattr(subject, call)()
    assert watch.given() < 1
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
    assert service in caught.value.response["Error"]["Message"]


def test_an_absent_action_answers_at_once(endpoint: Endpoint) -> None:
    with contextlib.closing(Wire(endpoint.url, REGION)) as wire, pytest.raises(AwsRefusedError) as caught:
        wire.call_json("sqs", "AmazonSQS.NoSuchAction", {}, version="1.0")
    assert caught.value.code == "InvalidAction"


def test_a_web_page_of_another_host_may_not_call(endpoint: Endpoint) -> None:
    for origin, status in (("http://evil.example", 403), ("http://localhost:3000", 200)):
        connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/_mwaa_local/health", headers={"Origin": origin})
            response = connection.getresponse()
            response.read()
        assert response.status == status


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "mwaa_local.aws.server", "--port", str(port), "--state", str(tmp_path / "s")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env={**os.environ})
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_two_servers_never_share_a_folder(endpoint: Endpoint) -> None:
    command = [
        sys.executable,
        "-m",
        "mwaa_local.aws.server",
        "--port",
        str(free_port()),
        "--state",
        str(endpoint.state),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert endpoint.process is not None
    assert f"process {endpoint.process.pid} holds the lock" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_reset_of_everything_is_not_undone_by_a_journal(endpoint: Endpoint) -> None:
    url = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=60, bucket="mwaa-b").queue_url
    assert endpoint.private("POST", "checkpoint")[0] == 200
    endpoint.client("sqs").create_queue(QueueName="journalled")
    endpoint.client("sqs").send_message(QueueUrl=url, MessageBody=celery_body("t1"))
    connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", "/_ministack/reset")
        assert connection.getresponse().status == 200
    endpoint.kill()
    endpoint.start()
    assert endpoint.client("sqs").list_queues().get("QueueUrls", []) == []
    assert endpoint.client("s3").list_buckets()["Buckets"] == []


# -- for the guardian --------------------------------------------------------------------------------------------------


def test_the_tasks_of_a_queue_and_sending_one_again(endpoint: Endpoint) -> None:
    url = aws.provision(endpoint.url, REGION, queue="q", visibility_timeout_s=60).queue_url
    sqs = endpoint.client("sqs")
    for task_id in ("t1", "t2", "t3"):
        sqs.send_message(QueueUrl=url, MessageBody=celery_body(task_id))
    sqs.send_message(QueueUrl=url, MessageBody="not celery's")
    taken = sqs.receive_message(QueueUrl=url)["Messages"][0]
    status, document = endpoint.private("GET", "queues/q/tasks")
    assert status == 200
    assert {task: found["state"] for task, found in document["tasks"].items()} == {
        "t1": "in_flight",
        "t2": "visible",
        "t3": "visible",
    }
    assert endpoint.private("POST", "queues/q/resend", {"task_id": "t1"})[0] == 409
    assert endpoint.private("POST", "queues/q/resend", {"task_id": "t2"})[0] == 409
    assert endpoint.private("POST", "queues/q/resend", {"task_id": "nobody"})[0] == 404
    sqs.delete_message(QueueUrl=url, ReceiptHandle=taken["ReceiptHandle"])
    assert endpoint.private("POST", "queues/q/resend", {"task_id": "t1"}) == (410, {"error": "acknowledged"})
    sqs.purge_queue(QueueUrl=url)
    endpoint.kill()  # the record outlives the process
    endpoint.start()
    assert endpoint.private("GET", "queues/q/tasks")[1]["tasks"] == {}
    assert endpoint.private("POST", "queues/q/resend", {"task_id": "t2"})[0] == 200
    assert endpoint.private("POST", "queues/q/resend", {"task_id": "t1"})[0] == 410
    assert drain(endpoint.client("sqs"), aws.queue_url(endpoint.url, "000000000000", "q")) == [celery_body("t2")]
    assert endpoint.private("GET", "queues/none/tasks")[0] == 404
