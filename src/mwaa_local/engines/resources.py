"""What an environment needs of its site's AWS endpoint, the same in every engine."""

from __future__ import annotations

from typing import Any

from mwaa_local.catalog import limits, log_types
from mwaa_local.engines.names import bucket_name
from mwaa_local.engines.ports import Wish
from mwaa_local.model import Environment


def resources(environment: Environment) -> dict[str, Any]:
    """What an environment needs of the AWS endpoint, as :func:`mwaa_local.aws.client.provision` takes it."""
    return {
        "queue": queue_name(environment),
        "visibility_timeout_s": limits().visibility_timeout_seconds,
        "bucket": bucket_name(environment),
        "log_groups": [
            kind.group(environment.name) for kind in log_types() if environment.spec.logging[kind.key].enabled
        ],
    }


def wish(environment: Environment) -> Wish:
    """The endpoint's port on this machine."""
    asked = environment.local.ports
    return Wish("aws", asked.aws, "aws" in asked.explicit, "Local.Ports.Aws")


def queue_name(environment: Environment) -> str:
    """The Celery queue's."""
    return limits().queue_prefix + environment.id
