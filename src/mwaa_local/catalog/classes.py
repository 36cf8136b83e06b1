"""Environment classes: container sizes and what follows from them (spec/04 section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from mwaa_local.catalog import _data
from mwaa_local.errors import DefinitionError


@dataclass(frozen=True)
class ContainerSize:
    """Size of one container: ``vcpu`` in virtual CPUs, ``memory_gb`` in GB."""

    vcpu: float
    memory_gb: float


@dataclass(frozen=True)
class CountRange:
    """Allowed and default numbers of one kind of component."""

    minimum: int
    maximum: int
    default_minimum: int
    default_maximum: int


@dataclass(frozen=True)
class EnvironmentClass:
    """One ``EnvironmentClass`` (spec/04 section 1.1).

    Attributes:
        worker_autoscale: Default ``celery.worker_autoscale``, ``max,min``.
        tasks_per_worker: Concurrent tasks of one worker.
        triggers: Default capacity of one triggerer.
        shared_worker_scheduler: Whether worker and scheduler share one container (micro).
        api_workers: Processes that answer in the web server component (ours).
    """

    name: str
    dag_capacity: int
    tasks_per_worker: int
    worker_autoscale: str
    triggers: int
    schedulers: CountRange
    webservers: CountRange
    workers: CountRange
    autoscaling: bool
    webserver: ContainerSize
    worker: ContainerSize
    scheduler: ContainerSize
    database: ContainerSize
    shared_worker_scheduler: bool
    api_workers: int


def _build(name: str, raw: dict[str, Any], quota: int) -> EnvironmentClass:
    schedulers, webservers, workers = raw["schedulers"], raw["webservers"], raw["workers"]
    sizes = {key: ContainerSize(**raw[key]) for key in ("webserver", "worker", "scheduler", "database")}
    return EnvironmentClass(
        name=name,
        dag_capacity=raw["dag_capacity"],
        tasks_per_worker=raw["tasks_per_worker"],
        worker_autoscale=raw["worker_autoscale"],
        triggers=raw["triggers"],
        schedulers=CountRange(
            schedulers["minimum"], schedulers["maximum"], schedulers["default"], schedulers["default"]
        ),
        webservers=CountRange(
            webservers["minimum"], webservers["maximum"], webservers["default_minimum"], webservers["default_maximum"]
        ),
        workers=CountRange(
            1, quota if workers["autoscaling"] else 1, workers["default_minimum"], workers["default_maximum"]
        ),
        autoscaling=workers["autoscaling"],
        shared_worker_scheduler=raw["shared_worker_scheduler"],
        api_workers=raw["api_workers"],
        **sizes,
    )


@cache
def environment_classes() -> dict[str, EnvironmentClass]:
    """All classes by name, smallest first."""
    quota = int(_data.read("limits.toml")["max_workers_quota"])
    return {name: _build(name, raw, quota) for name, raw in _data.read("environment_classes.toml").items()}


def environment_class(name: str) -> EnvironmentClass:
    """One class by name.

    Raises:
        DefinitionError: MWAA has no such class.
    """
    try:
        return environment_classes()[name]
    except KeyError:
        raise DefinitionError(
            f"EnvironmentClass {name!r} is not known",
            why=f"MWAA has: {', '.join(environment_classes())}",
            hint="set EnvironmentClass to one of them",
        ) from None
