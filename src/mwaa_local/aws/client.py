"""The AWS endpoint seen from the tool: wait for it, provision what an environment needs, make boto3 clients.

Everything is explicit: endpoint, region and credentials come from the caller, never from ``AWS_*`` variables or
``~/.aws``, so nothing here can reach a user's real account by accident.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mwaa_local.aws.wire import AwsRefusedError, Credentials, Wire
from mwaa_local.errors import EndpointError

HEALTH_PATH = "/_mwaa_local/health"
_PUBLIC_ACCESS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@dataclass(frozen=True)
class Provisioned:
    """What ``provision`` made sure of.

    Attributes:
        queue_url: URL of the queue, on the endpoint's own address; empty if none was asked for.
        created: Names of what did not exist before.
        seconds: How long it took.
    """

    queue_url: str
    created: tuple[str, ...]
    seconds: float


def health(endpoint: str, *, timeout_s: float = 2.0) -> dict[str, Any]:
    """The endpoint's own health document.

    Raises:
        EndpointError: It does not answer, or is not ours.
    """
    parts = urlsplit(endpoint)
    try:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        try:
            connection.request("GET", HEALTH_PATH)
            response = connection.getresponse()
            document = json.loads(response.read())
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EndpointError(
            "The AWS endpoint does not answer", where=endpoint, why=f"{type(error).__name__}: {error}"
        ) from error
    if response.status != 200 or not isinstance(document, dict):
        raise EndpointError("The AWS endpoint is not healthy", where=endpoint, why=f"HTTP {response.status}")
    return document


def wait_ready(endpoint: str, timeout_s: float = 15.0) -> float:
    """Wait until the endpoint answers its health route.

    Returns:
        Seconds waited.

    Raises:
        EndpointError: It did not within ``timeout_s``.
    """
    begun = time.monotonic()
    while True:
        try:
            health(endpoint, timeout_s=1.0)
        except EndpointError as error:
            if time.monotonic() - begun > timeout_s:
                raise EndpointError(
                    f"The AWS endpoint did not become ready within {timeout_s:g} s",
                    where=endpoint,
                    why=error.why,
                    hint="See the log of the component 'aws'",
                ) from error
            time.sleep(0.02)
        else:
            return time.monotonic() - begun


def queue_url(endpoint: str, account_id: str, name: str) -> str:
    """URL of a queue at an endpoint, without asking it."""
    return f"{endpoint.rstrip('/')}/{account_id}/{name}"


class Provisioner:
    """Makes sure that resources exist; each method may be called again and returns whether it created something.

    Args:
        endpoint: URL of the endpoint.
        region: Region of the environment.
        credentials: Explicit credentials.
        timeout_s: Seconds for each call.
    """

    def __init__(
        self, endpoint: str, region: str, credentials: Credentials | None = None, *, timeout_s: float = 5.0
    ) -> None:
        self._wire = Wire(endpoint, region, credentials, timeout_s=timeout_s)
        self._region = region

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def ensure_queue(self, name: str, visibility_timeout_s: int) -> tuple[str, bool]:
        """A queue with this visibility timeout (43200 on MWAA: spec/10 section 6.1). One that has another is corrected.

        Returns:
            Its URL, and whether it was created.
        """
        attributes = {"VisibilityTimeout": str(visibility_timeout_s)}
        try:
            url = str(self._sqs("GetQueueUrl", QueueName=name)["QueueUrl"])
        except AwsRefusedError as error:
            if "NonExistentQueue" not in error.code and "QueueDoesNotExist" not in error.code:
                raise
            return str(self._sqs("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]), True
        found = self._sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["VisibilityTimeout"]).get(
            "Attributes", {}
        )
        if found.get("VisibilityTimeout") != attributes["VisibilityTimeout"]:
            self._sqs("SetQueueAttributes", QueueUrl=url, Attributes=attributes)
        return url, False

    def ensure_bucket(self, name: str) -> bool:
        """A bucket as MWAA wants it: versioned, all public access blocked (spec/04 section 10)."""
        created = not self._bucket_exists(name)
        if created:
            place = f"<LocationConstraint>{self._region}</LocationConstraint>" if self._region != "us-east-1" else ""
            body = _xml("CreateBucketConfiguration", place) if place else b""
            try:
                self._wire.call("PUT", "s3", f"/{name}", body=body)
            except AwsRefusedError as error:
                if error.code != "BucketAlreadyOwnedByYou":
                    raise
                created = False
        self._put_bucket(name, "versioning", _xml("VersioningConfiguration", "<Status>Enabled</Status>"))
        blocked = "".join(f"<{setting}>true</{setting}>" for setting in _PUBLIC_ACCESS)
        self._put_bucket(name, "publicAccessBlock", _xml("PublicAccessBlockConfiguration", blocked))
        return created

    def ensure_log_groups(self, names: Iterable[str]) -> list[str]:
        """Log groups; returns those that were created."""
        created = []
        for name in names:
            try:
                self._wire.call_json("logs", "Logs_20140328.CreateLogGroup", {"logGroupName": name})
            except AwsRefusedError as error:
                if "ResourceAlreadyExists" not in error.code:
                    raise
            else:
                created.append(name)
        return created

    def _sqs(self, action: str, **document: Any) -> dict[str, Any]:
        return self._wire.call_json("sqs", f"AmazonSQS.{action}", document, version="1.0")

    def _bucket_exists(self, name: str) -> bool:
        try:
            self._wire.call("HEAD", "s3", f"/{name}")
        except AwsRefusedError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _put_bucket(self, name: str, setting: str, document: bytes) -> None:
        headers = {"content-type": "application/xml"}
        self._wire.call("PUT", "s3", f"/{name}", query={setting: ""}, body=document, headers=headers)


def _xml(root: str, content: str) -> bytes:
    return f'<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{content}</{root}>'.encode()


def provision(
    endpoint: str,
    region: str,
    *,
    queue: str = "",
    visibility_timeout_s: int = 0,
    bucket: str = "",
    log_groups: Iterable[str] = (),
    credentials: Credentials | None = None,
) -> Provisioned:
    """Everything an environment needs of the endpoint, in one go on one connection. May be called again at any time.

    Args:
        queue: Name of the Celery queue, none if empty.
        visibility_timeout_s: Its visibility timeout; required with ``queue``, because SQS's own default runs long
        tasks twice. bucket: Name of the environment's bucket, none if empty. log_groups: Names of the log groups.

    Raises:
        EndpointError: The endpoint does not answer, or refuses (``AwsRefusedError``).
    """
    begun = time.monotonic()
    if queue and visibility_timeout_s <= 0:
        raise ValueError("a queue needs its visibility timeout")
    created: list[str] = []
    url = ""
    provisioner = Provisioner(endpoint, region, credentials)
    try:
        if queue:
            url, made = provisioner.ensure_queue(queue, visibility_timeout_s)
            created += [queue] if made else []
        if bucket and provisioner.ensure_bucket(bucket):
            created.append(bucket)
        created += provisioner.ensure_log_groups(log_groups)
    finally:
        provisioner.close()
    return Provisioned(url, tuple(created), time.monotonic() - begun)


def remove(
    endpoint: str, region: str, *, queue: str = "", bucket: str = "", log_groups: Iterable[str] = (), **_: Any
) -> None:
    """Take away what :func:`provision` made, with everything in it; what is not there is passed over.

    Raises:
        botocore.exceptions.ClientError: The endpoint refuses.
    """
    sqs, s3, logs = (client(service, endpoint, region) for service in ("sqs", "s3", "logs"))
    if queue:
        with contextlib.suppress(sqs.exceptions.QueueDoesNotExist):
            sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"])
    for name in log_groups:
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            logs.delete_log_group(logGroupName=name)
    if bucket and bucket in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if found:
                rows = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]
                s3.delete_objects(Bucket=bucket, Delete={"Objects": rows, "Quiet": True})
        s3.delete_bucket(Bucket=bucket)


def client(
    service: str,
    endpoint: str,
    region: str,
    credentials: Credentials | None = None,
    *,
    timeout_s: float = 10.0,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """A boto3 client that knows no other configuration than these arguments. Importing boto3 takes about 0.3 s: here,
    not above.

    Args:
        service: boto3's name of the service.
        timeout_s: Seconds for connecting and for reading.
        options: More arguments of ``botocore.config.Config``.
    """
    import botocore.session
    from botocore.config import Config

    given = credentials or Credentials()
    # Not a file and not a profile of the user's: their config could set an endpoint or retries for us.
    nothing = (None, None, None, None)
    session = botocore.session.Session(
        session_vars={"profile": nothing, "config_file": nothing, "credentials_file": nothing}
    )
    settings: dict[str, Any] = {
        "connect_timeout": timeout_s,
        "read_timeout": timeout_s,
        "retries": {"mode": "standard", "total_max_attempts": 3},
        "s3": {"addressing_style": "path"},
        "inject_host_prefix": False,
        "proxies": {},
    }
    return session.create_client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=given.access_key,
        aws_secret_access_key=given.secret_key,
        aws_session_token=given.session_token or None,
        config=Config(**{**settings, **dict(options or {})}),
    )
