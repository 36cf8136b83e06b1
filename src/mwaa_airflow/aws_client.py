"""AWS clients for the environment's own traffic: broker and logs.

A user's code may set ``AWS_*`` variables, a profile, a proxy or a config file, and may break
any of them. None of that may reach the broker or the logs, so these clients come from a
session that reads no file and no profile, with an explicit address and explicit keys.
"""

import os

from mwaa_airflow import environment


def session():
    """Return a botocore session that ignores the user's profile and files."""
    import botocore.session

    if environment.aws_endpoint() is None:
        return botocore.session.Session()
    # Name -> (name in the config file, variables, default, conversion). An unknown AWS_PROFILE would
    # raise ProfileNotFound from any client, even one with explicit keys.
    ours = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return botocore.session.Session(session_vars=ours)


def client(service, region=None, endpoint=None, connect_timeout=2.0, read_timeout=5.0, attempts=1, credentials=None):
    """Make a client.

    Args:
        service: botocore's name of the service, e.g. ``logs``.
        region: Region name; the environment's when not given.
        endpoint: URL; the environment's when not given.
        connect_timeout: Seconds for one connection.
        read_timeout: Seconds of silence that end one request.
        attempts: How often a request is sent at most.
        credentials: ``(access key, secret key)``; the environment's when not given.

    Returns:
        A botocore client (boto3's clients are the same objects).
    """
    from botocore.config import Config

    endpoint = endpoint or environment.aws_endpoint()
    key, secret = credentials or environment.aws_credentials()
    options = {
        "connect_timeout": connect_timeout,
        "read_timeout": read_timeout,
        "retries": {"mode": "standard", "total_max_attempts": attempts},
    }
    if endpoint is not None:
        # An empty mapping means "no proxy"; None would mean HTTP_PROXY of the user.
        options["proxies"] = {}
    return session().create_client(
        service,
        region_name=region or environment.region(),
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(**options),
    )
