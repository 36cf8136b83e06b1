"""The workflow files of a bucket prefix, fetched for a check."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mwaa_local.errors import EndpointError, UsageError

CONNECT_SECONDS = 5
READ_SECONDS = 30
MAX_OBJECTS = 20_000
MAX_BYTES = 2_000_000_000
# Where MWAA users put these files, and where a workspace has them.
_PLACES = {
    "requirements.txt": "requirements/requirements.txt",
    "startup.sh": "startup/startup.sh",
    "startup-sh": "startup/startup.sh",
}


@contextmanager
def fetched(address: str, variables: Mapping[str, str], progress: Callable[[str], None]) -> Iterator[Path]:
    """A folder with the objects below ``s3://bucket/prefix``, laid out as a workspace; removed at the end.

    Args:
        address: ``s3://bucket/prefix``.
        variables: ``AWS_*`` of the caller: profile, Region, endpoint.
        progress: Told how much was fetched.

    Raises:
        UsageError: The address is none.
        EndpointError: The bucket cannot be read, within bounded time.
    """
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    if not bucket:
        raise UsageError(f"{address} names no bucket", hint="write s3://BUCKET/PREFIX")
    prefix = prefix.strip("/")
    with tempfile.TemporaryDirectory(prefix="mwaa-validate-bucket-") as name:
        folder = Path(name)
        count = _download(_client(variables), bucket, f"{prefix}/" if prefix else "", folder)
        if not count:
            raise EndpointError("there is nothing to check", where=address, hint="name the prefix that holds dags/")
        progress(f"{address}: {count} objects")
        yield folder


def _client(variables: Mapping[str, str]) -> Any:
    import boto3
    from botocore.config import Config

    session = boto3.session.Session(
        profile_name=variables.get("AWS_PROFILE"),
        region_name=variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION"),
    )
    return session.client(
        "s3",
        endpoint_url=variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL"),
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"max_attempts": 2},
            s3={"addressing_style": "path"} if variables.get("AWS_ENDPOINT_URL") else {},
        ),
    )


def _download(client: Any, bucket: str, prefix: str, folder: Path) -> int:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    count = size = 0
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                key = item["Key"][len(prefix) :]
                if not key or key.endswith("/"):
                    continue
                count += 1
                size += item["Size"]
                if count > MAX_OBJECTS or size > MAX_BYTES:
                    raise EndpointError(
                        "the prefix holds more than a workspace",
                        where=f"s3://{bucket}/{prefix}",
                        why=f"more than {MAX_OBJECTS} objects or {MAX_BYTES / 1e9:g} GB",
                        hint="name a longer prefix",
                    )
                place = (folder / _PLACES.get(key, key)).resolve()
                if not place.is_relative_to(folder.resolve()):
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, item["Key"], str(place))
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise EndpointError(
            "the bucket cannot be read",
            where=f"s3://{bucket}/{prefix}",
            why=str(error),
            hint="check the address, AWS_PROFILE and AWS_ENDPOINT_URL",
        ) from error
    return count
