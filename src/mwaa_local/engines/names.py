"""The components of an environment by name, the same in every engine (spec/10 section 1.2)."""

from __future__ import annotations

from mwaa_local.catalog import AIRFLOW_COMPONENTS
from mwaa_local.model import Environment

AIRFLOW = AIRFLOW_COMPONENTS
# Database and user of the metadata database: the names MWAA uses in production (spec/10 section 6.5).
DATABASE, DATABASE_USER = "AirflowMetadata", "adminuser"
# What brings the database to its schema.
JOBS = ("migrate-db",)
# The folder beside those of the environments, where a site keeps what they share; no environment can have that name.
SITE = "_site"
# As people are shown them.
ORDER = ("postgres", "aws", "migrate-db", "webserver", "scheduler", "worker", "guardian")


def kind(component: str) -> str:
    """``worker`` for ``worker-2``."""
    return "worker" if component.startswith("worker") else component


def number_of(worker: str) -> int:
    """1 for ``worker``, 2 for ``worker-2``."""
    return int(worker.removeprefix("worker").strip("-") or 1)


def worker_name(number: int) -> str:
    """``worker`` for 1, ``worker-2`` for 2."""
    return "worker" if number == 1 else f"worker-{number}"


def bucket_name(environment: Environment) -> str:
    """A bucket name that S3 accepts for any environment name."""
    plain = "".join(char if char.isalnum() else "-" for char in environment.id.lower())
    return f"mwaa-local-{plain}"[:63].strip("-")
