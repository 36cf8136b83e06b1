"""What the AWS endpoint does with a full disk, and with state that is no longer what it wrote."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_endpoint_support import REGION, Endpoint, free_port
from botocore.exceptions import ClientError
from patience import until

from mwaa_local.aws.server import soundness
from mwaa_local.engines.process import probes

pytestmark = pytest.mark.contract
DRAIN = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}


def bodies(sqs: Any, url: str) -> set[str]:
    found: set[str] = set()
    while messages := sqs.receive_message(QueueUrl=url, **DRAIN).get("Messages"):
        found |= {message["Body"] for message in messages}
    return found


# -- a full disk -------------------------------------------------------------------------------------------------------


class Small:
    """An endpoint whose state lies on a file system of 6 MB, in a mount namespace of its own."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        user = () if os.geteuid() == 0 else ("-U", "-r")
        mount = f'mount -t tmpfs -o size=6m tmpfs "{self.state}" && exec "$@"'
        self.endpoint = Endpoint(self.state, prefix=("unshare", *user, "-m", "sh", "-c", mount, "sh"))

    @property
    def inside(self) -> Path:
        """The state folder as the endpoint sees it."""
        assert self.endpoint.process is not None
        return Path(f"/proc/{self.endpoint.process.pid}/root{self.state}")

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.inside / "filler").open("wb", buffering=0) as file:
            while file.write(b"x" * 4096) == 4096:
                pass

    def free(self) -> None:
        (self.inside / "filler").unlink()


def _docker_health() -> Any:
    path = Path(__file__).resolve().parents[2] / "docker/health.py"
    spec = importlib.util.spec_from_file_location("docker_health", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _may_mount() -> bool:
    user = [] if os.geteuid() == 0 else ["-U", "-r"]
    words = ["unshare", *user, "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(words, capture_output=True).returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    if not _may_mount():
        pytest.skip("no mount namespace for a small file system here")
    found = Small(tmp_path)
    found.endpoint.start()
    yield found
    if found.endpoint.process is not None:
        found.endpoint.kill()


def test_a_full_disk_is_answered_with_an_error_and_what_was_answered_before_is_there(small: Small) -> None:
    endpoint = small.endpoint
    clients = {name: endpoint.client(name) for name in ("sqs", "s3", "secretsmanager", "ssm", "logs")}
    url = clients["sqs"].create_queue(QueueName="q")["QueueUrl"]
    clients["s3"].create_bucket(Bucket="bkt", CreateBucketConfiguration={"LocationConstraint": REGION})
    clients["logs"].create_log_group(logGroupName="g")
    clients["logs"].create_log_stream(logGroupName="g", logStreamName="s")
    event = {"logGroupName": "g", "logStreamName": "s"}

    def calls(name: str) -> dict[str, Callable[[], Any]]:
        return {
            "sqs": lambda: clients["sqs"].send_message(QueueUrl=url, MessageBody=name * 500),
            "s3": lambda: clients["s3"].put_object(Bucket="bkt", Key=name, Body=name.encode() * 5000),
            "secretsmanager": lambda: clients["secretsmanager"].create_secret(Name=name, SecretString=name),
            "ssm": lambda: clients["ssm"].put_parameter(Name=f"/{name}", Value=name, Type="String"),
            "logs": lambda: clients["logs"].put_log_events(
                **event, logEvents=[{"timestamp": 1_700_000_000_000, "message": name * 500}]
            ),
        }

    for call in calls("before").values():
        call()
    small.fill()
    codes = {}
    for service, call in calls("full").items():
        with pytest.raises(ClientError) as refused:
            call()
        codes[service] = refused.value.response["Error"]["Code"]
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
        assert refused.value.response["ResponseMetadata"].get("RetryAttempts", 0) == 0
        assert "No space left on device" in str(refused.value)
    assert codes == {
        "sqs": "InternalFailure",
        "s3": "InternalError",
        "secretsmanager": "InternalServiceError",
        "ssm": "InternalServerError",
        "logs": "ServiceUnavailableException",
    }
    code, health = endpoint.private("GET", "health")
    assert (code, health["status"]) == (507, "failing")
    assert "No space left" in health["problem"]
    probe = {"kind": "aws", "url": endpoint.url, "path": "/_mwaa_local/health", "region": REGION, "provision": {}}
    assert "No space left" in probes.ask(probe, probes.Memory(0, 0.0)), "what `status` shows"
    healthy, line = _docker_health().address(int(endpoint.url.rpartition(":")[2]), "/_mwaa_local/health")
    assert (healthy, "No space left" in line) == (False, True), "what Docker's health check shows"
    assert clients["s3"].get_object(Bucket="bkt", Key="before")["Body"].read() == b"before" * 5000
    read = clients["sqs"].receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    assert [message["Body"] for message in read] == ["before" * 500], "reading goes on"
    small.free()
    assert until(lambda: endpoint.private("GET", "health")[1]["status"] == "ok", seconds=15)
    for call in calls("after").values():
        call()
    listed = clients["secretsmanager"].list_secrets()["SecretList"]
    assert {one["Name"] for one in listed} == {"before", "after"}, "what is refused has no effect"
    assert {one["Key"] for one in clients["s3"].list_objects_v2(Bucket="bkt")["Contents"]} == {"before", "after"}
    # What lies in the namespace goes with it: the next server gets a copy, as it is at this moment.
    copy = small.state.with_name("copy")
    assert endpoint.process is not None
    inside = small.inside
    os.kill(endpoint.process.pid, 19)  # SIGSTOP: nothing more is written
    shutil.copytree(inside, copy)
    endpoint.kill()
    again = Endpoint(copy)
    again.start()
    try:
        assert bodies(again.client("sqs"), again.client("sqs").get_queue_url(QueueName="q")["QueueUrl"]) == {
            "before" * 500,
            "after" * 500,
        }
        keys = {item["Key"] for item in again.client("s3").list_objects_v2(Bucket="bkt")["Contents"]}
        assert {"before", "after"} <= keys
        secrets = again.client("secretsmanager")
        assert {secrets.get_secret_value(SecretId=name)["SecretString"] for name in ("before", "after")} == {
            "before",
            "after",
        }
        ssm = again.client("ssm")
        assert ssm.get_parameter(Name="/before")["Parameter"]["Value"] == "before"
        assert ssm.get_parameter(Name="/after")["Parameter"]["Value"] == "after"
        events = again.client("logs").get_log_events(**event, startFromHead=True)["events"]
        assert {one["message"] for one in events} >= {"before" * 500, "after" * 500}
    finally:
        again.kill()


# -- kill -9 right after the answer ------------------------------------------------------------------------------------


def test_a_kill_right_after_the_answer_takes_nothing_of_any_service(tmp_path: Path) -> None:
    """Each row of docs/reference/durability.md that says "before the answer"."""
    endpoint = Endpoint(tmp_path / "state")
    for number in range(3):
        endpoint.start()
        name = f"name{number}"
        endpoint.client("secretsmanager").create_secret(Name=name, SecretString=name)
        endpoint.client("ssm").put_parameter(Name=f"/{name}", Value=name, Type="String")
        endpoint.client("kms").create_alias(
            AliasName=f"alias/{name}", TargetKeyId=endpoint.client("kms").create_key()["KeyMetadata"]["KeyId"]
        )
        endpoint.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        endpoint.client("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        endpoint.client("s3").create_bucket(
            Bucket=f"b-{name}", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        endpoint.client("s3").put_bucket_tagging(
            Bucket=f"b-{name}", Tagging={"TagSet": [{"Key": "name", "Value": name}]}
        )
        topic = endpoint.client("sns").create_topic(Name=name)["TopicArn"]
        queue = endpoint.client("sqs").create_queue(QueueName=name)["QueueUrl"]
        arn = endpoint.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        endpoint.client("sns").subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=arn["Attributes"]["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )
        endpoint.client("sns").publish(TopicArn=topic, Message=f"told {name}")
        endpoint.kill()
    endpoint.start()
    try:
        for number in range(3):
            name = f"name{number}"
            assert endpoint.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"] == name
            assert endpoint.client("ssm").get_parameter(Name=f"/{name}")["Parameter"]["Value"] == name
            assert f"alias/{name}" in {a["AliasName"] for a in endpoint.client("kms").list_aliases()["Aliases"]}
            assert endpoint.client("iam").get_role(RoleName=name)["Role"]["RoleName"] == name
            assert name in endpoint.client("dynamodb").list_tables()["TableNames"]
            tags = endpoint.client("s3").get_bucket_tagging(Bucket=f"b-{name}")["TagSet"]
            assert tags == [{"Key": "name", "Value": name}]
            queue = endpoint.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
            assert bodies(endpoint.client("sqs"), queue) == {f"told {name}"}
    finally:
        endpoint.kill()


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with something of everything, stopped cleanly."""
    endpoint = Endpoint(tmp_path_factory.mktemp("sound") / "state")
    endpoint.start()
    url = endpoint.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    for number in range(5):
        endpoint.client("sqs").send_message(QueueUrl=url, MessageBody=f"old {number}")
    endpoint.private("POST", "checkpoint")
    for number in range(20):
        endpoint.client("sqs").send_message(QueueUrl=url, MessageBody=f"message {number}")
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket="bkt", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_tagging(Bucket="bkt", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.put_object(Bucket="bkt", Key="folder/object", Body=b"content")
    for name in ("first", "second"):
        endpoint.client("secretsmanager").create_secret(Name=name, SecretString=name)
    assert endpoint.stop()[0] == 0
    return endpoint.state


@pytest.fixture
def state(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "state")
    return tmp_path / "state"


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _middle(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = b"{}\n"
    path.write_bytes(b"".join(lines))


def _journal(state: Path) -> Path:
    return max(state.glob("journal/sqs.*.journal"), key=lambda path: path.stat().st_size)


DAMAGES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None]]] = {
    "half of a state file": (lambda state: state / "services/secretsmanager.json", _half),
    "an empty state file": (lambda state: state / "services/sqs.json", _empty),
    "half of the queues": (lambda state: state / "services/sqs.json", _half),
    "half of the buckets": (lambda state: state / "services/s3.json", _half),
    "a state file that is gone": (lambda state: state / "services/secretsmanager.json", _gone),
    "a journal line of another form": (_journal, _middle),
    "a journal cut in half": (_journal, _half),
    "a journal that is gone": (_journal, _gone),
    "a bucket's folder that is gone": (lambda state: state / "s3/000000000000/bkt", _gone),
    "an object that is gone": (lambda state: state / "s3/000000000000/bkt/folder/object", _gone),
    "an object that is cut": (lambda state: state / "s3/000000000000/bkt/folder/object", _half),
    "an object of which nothing is said": (
        lambda state: state / "s3/000000000000/bkt/folder/object.meta.json",
        _gone,
    ),
}


def _contents(state: Path) -> dict[str, bytes]:
    return {str(path.relative_to(state)): path.read_bytes() for path in state.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_named_and_left_as_it_is_and_repair_keeps_all_the_rest(kind: str, state: Path) -> None:
    place, harm = DAMAGES[kind]
    path = place(state)
    harm(path)
    before = _contents(state)
    command = [sys.executable, "-m", "mwaa_local.aws.server", "--port", str(free_port()), "--state", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert "doctor --state" in done.stderr
    assert "Traceback" not in done.stderr
    after = _contents(state)
    assert {name: after[name] for name in before if name != "lock"} == {
        name: content for name, content in before.items() if name != "lock"
    }
    assert soundness.repair(state)
    assert soundness.check(state) == []
    endpoint = Endpoint(state)
    endpoint.start()
    try:
        sqs = endpoint.client("sqs")
        messages = bodies(sqs, sqs.get_queue_url(QueueName="q")["QueueUrl"])
        old, new = {f"old {number}" for number in range(5)}, {f"message {number}" for number in range(20)}
        if "journal" not in kind:
            assert messages == old | new, "a damaged snapshot costs nothing: the one before it and the journal have all"
        else:
            assert old <= messages < old | new
        secrets = endpoint.client("secretsmanager")
        assert secrets.get_secret_value(SecretId="first")["SecretString"] == "first"
        if "buckets" not in kind:  # whose last change is what a repair cannot know
            assert endpoint.client("s3").get_bucket_tagging(Bucket="bkt")["TagSet"] == [{"Key": "k", "Value": "v"}]
        if "object" not in kind and "folder" not in kind:
            assert endpoint.client("s3").get_object(Bucket="bkt", Key="folder/object")["Body"].read() == b"content"
    finally:
        endpoint.kill()


def test_older_versions_of_objects_are_looked_at_too(tmp_path: Path) -> None:
    endpoint = Endpoint(tmp_path / "state")
    endpoint.start()
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket="bkt", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket="bkt", VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        s3.put_object(Bucket="bkt", Key="dags/a.py", Body=b"x" * (number + 1))
    s3.put_object(Bucket="bkt", Key="gone", Body=b"y")
    s3.delete_object(Bucket="bkt", Key="gone")
    endpoint.stop()
    assert soundness.check(endpoint.state) == []
    files = sorted(endpoint.state.glob("s3/.versions/*/bkt/*/dags/a.py"), key=lambda path: path.stat().st_size)
    assert [path.stat().st_size for path in files] == [1, 2]
    files[0].unlink()
    files[1].write_bytes(b"")
    found = {damage.path: damage.what for damage in soundness.check(endpoint.state)}
    assert found.keys() == set(files)
    assert "is missing" in found[files[0]] and "has 0 bytes" in found[files[1]]


def test_secrets_are_for_the_owners_eyes_only(state: Path) -> None:
    (state / "services").chmod(0o755)  # as an earlier version left it
    endpoint = Endpoint(state)
    endpoint.start()
    endpoint.client("ssm").put_parameter(Name="/p", Value="v", Type="SecureString")
    endpoint.kill()
    for path in (state, *state.rglob("*")):
        if path.is_dir() and path.parent in (state, state.parent):
            assert path.stat().st_mode & 0o777 == 0o700, path
    assert (state / "services/ssm.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((state / "services/manifest.json").read_text())["services"]
