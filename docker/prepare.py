"""Make what an environment needs before its components start, then become the program that follows.

    python prepare.py PROGRAM ARGUMENT...

``docker compose up`` alone has nobody else to do it: the service ``guardian`` starts through this file. Secrets are made
once and kept in a volume (MWAA_LOCAL__SECRETS_FILE) unless MWAA__CORE__FERNET_KEY is given; queue, bucket and log groups
are made at the AWS endpoint under the names that the components' own variables (spec/10 section 2.1) carry.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from mwaa_local.aws.client import provision, wait_ready
from mwaa_local.aws.wire import Credentials
from mwaa_local.catalog import limits
from mwaa_local.errors import MwaaLocalError
from mwaa_local.model.secrets import load_or_create

ENDPOINT_SECONDS = 60.0


def log_groups(variables: Mapping[str, str]) -> list[str]:
    """Give the log groups of the categories that are switched on, each once (spec/08 section 3.1)."""
    arns = [
        value
        for name, value in sorted(variables.items())
        if name.startswith("MWAA__LOGGING__AIRFLOW_") and name.endswith("_LOG_GROUP_ARN") and value
        if variables.get(f"{name.removesuffix('_GROUP_ARN')}S_ENABLED", "").strip().lower() == "true"
    ]
    return list(dict.fromkeys(arn.split(":log-group:", 1)[-1].removesuffix(":*") for arn in arns))


def prepare(variables: Mapping[str, str]) -> None:
    """Make secrets, queue, bucket and log groups, or find them made.

    Raises:
        MwaaLocalError: the endpoint does not answer, or the secrets cannot be read.
    """
    secrets = variables.get("MWAA_LOCAL__SECRETS_FILE")
    if secrets and not variables.get("MWAA__CORE__FERNET_KEY"):
        load_or_create(Path(secrets))
    endpoint = variables["MWAA_LOCAL__AWS_ENDPOINT"]
    wait_ready(endpoint, ENDPOINT_SECONDS)
    done = provision(
        endpoint,
        variables["AWS_REGION"],
        queue=variables["MWAA__SQS__QUEUE_URL"].rstrip("/").rsplit("/", 1)[-1],
        visibility_timeout_s=limits().visibility_timeout_seconds,
        bucket=variables.get("MWAA_LOCAL__BUCKET", ""),
        log_groups=log_groups(variables),
        credentials=Credentials(
            variables["MWAA_LOCAL__AWS_ACCESS_KEY_ID"], variables["MWAA_LOCAL__AWS_SECRET_ACCESS_KEY"]
        ),
    )
    print(f"prepared in {done.seconds:.2f} s; new: {', '.join(done.created) or 'nothing'}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        prepare(os.environ)
    except MwaaLocalError as error:
        sys.exit(f"Error: {error}")
    os.execvp(sys.argv[1], sys.argv[1:])
