"""The components of an environment by name, the same in every engine (spec/10 section 1.2)."""

from __future__ import annotations

from mwaa_local.catalog import AIRFLOW_COMPONENTS
from mwaa_local.model import Environment

AIRFLOW = AIRFLOW_COMPONENTS
# What brings the database to its schema.
JOBS = ("migrate-db",)
# The folder beside those of the environments, where a site keeps what they share; no environment can have that name.
SITE = "_site"
# As people are shown them.
ORDER = ("postgres", "aws", "migrate-db", "webserver", "scheduler", "worker", "guardian")


def kind(component: str) -> str:
    """``worker`` for ``worker-2``."""
    return "worker" if component.startswith("worker") else component


def worker_names(environment: Environment) -> list[str]:
    """The workers that run: the minimum, at least one; the first carries the plain name."""
    return ["worker", *(f"worker-{number}" for number in range(2, environment.spec.min_workers + 1))]


def bucket_name(environment: Environment) -> str:
    """A bucket name that S3 accepts for any environment name."""
    plain = "".join(char if char.isalnum() else "-" for char in environment.id.lower())
    return f"mwaa-local-{plain}"[:63].strip("-")
