"""The one description every environment has, however it was started (design section 5)."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.catalog import EnvironmentClass, Version
from mwaa_local.catalog.airflow_names import variable_of

STATE_FOLDER = ".mwaa"

# MWAA runs `Schedulers` of them; here one does the work of all (docs/explanation/differences.md).
RUNNING_SCHEDULERS = 1

_AUTOSCALE = re.compile(r"\s*(\d+)\s*,\s*(\d+)\s*")


@dataclass(frozen=True)
class Source:
    """Where a value came from: ``flag``, ``variable``, ``file`` or ``default``, and its exact place."""

    kind: str
    place: str

    def __str__(self) -> str:
        return f"{self.kind} {self.place}".strip()


@dataclass(frozen=True)
class LogSetting:
    """One member of ``LoggingConfiguration``."""

    enabled: bool
    level: str


@dataclass(frozen=True)
class Ports:
    """Wished TCP ports on loopback; ``explicit`` names those a user asked for, which are never replaced."""

    web: int
    aws: int
    postgres: int | None
    explicit: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Workflow:
    """The workflow files of a workspace; absolute paths that may not exist.

    Attributes:
        plugins: The folder or the archive that counts, see :mod:`mwaa_local.model.plugins`.
        plugins_choice: What the user should know about that choice; empty where there was none.
        plugins_unused: Other plugins of the project, which do not count.
    """

    dags: Path
    plugins: Path
    requirements: Path
    startup_script: Path
    plugins_choice: str = ""
    plugins_unused: tuple[Path, ...] = ()


@dataclass(frozen=True)
class SmokeSettings:
    """What ``mwaa-local smoke`` runs: named DAGs, else those tagged ``tag``; limit in seconds."""

    dags: tuple[str, ...]
    tag: str
    timeout_seconds: int


@dataclass(frozen=True)
class LocalSettings:
    """The block ``Local``: nothing in it exists on MWAA.

    Attributes:
        engine: ``auto``, ``docker`` or ``process``.
        base: ``al2023`` or ``debian``; docker engine only.
        image: Another image that keeps MWAA's runtime contract, by its full name.
        aws: ``local``, or the profile whose AWS the DAGs' own calls reach.
        aws_services: Services of the local endpoint that only pretend, asked for all the same.
        aws_containers: Whether these may start containers on this machine's Docker; process engine only.
        resource_factor: Multiplies the class's CPU and memory limits.
        max_plugins_bytes: Cap on the unpacked size of ``plugins.zip``, in bytes.
        dag_sync: ``workspace`` (a saved file shows in seconds) or ``mwaa`` (MWAA's intervals).
    """

    engine: str
    base: str
    image: str | None
    aws: str
    aws_services: tuple[str, ...]
    aws_containers: bool
    region: str
    resolver: str
    resource_factor: float
    max_plugins_bytes: int
    allow_failed_requirements: bool
    dag_sync: str
    ports: Ports
    smoke: SmokeSettings


@dataclass(frozen=True)
class Environment:
    """One MWAA environment.

    Attributes:
        options: ``AirflowConfigurationOptions``: ``section.option`` to value.
        logging: Log type key (``TaskLogs`` ...) to its setting.
        project: Folder the definition belongs to.
        sources: Dotted field to where its value came from.
    """

    name: str
    version: Version
    environment_class: EnvironmentClass
    min_workers: int
    max_workers: int
    schedulers: int
    min_webservers: int
    max_webservers: int
    options: Mapping[str, str]
    logging: Mapping[str, LogSetting]
    local: LocalSettings
    project: Path
    workflow: Workflow
    sources: Mapping[str, Source]

    @property
    def id(self) -> str:
        """A short id, the same for as long as name and project folder are: ``local-1a2b3c4d``."""
        digest = hashlib.sha256(f"{self.name}\0{self.project}".encode()).hexdigest()
        return f"{self.name}-{digest[:8]}"

    @property
    def state(self) -> Path:
        """Folder of everything this environment keeps."""
        return self.project / STATE_FOLDER / self.name

    @property
    def worker_autoscale(self) -> str:
        """``celery.worker_autoscale``, ``max,min``: the user's own, else the class's (spec/04 section 1.1)."""
        return self.options.get("celery.worker_autoscale", self.environment_class.worker_autoscale)

    @property
    def tasks_per_worker(self) -> int:
        """Most tasks that one worker runs at once (spec/04 section 1.2); the class's where the option is unreadable."""
        match = _AUTOSCALE.fullmatch(self.worker_autoscale)
        return int(match.group(1)) if match else self.environment_class.tasks_per_worker

    @property
    def parallelism(self) -> int:
        """MWAA's default ``core.parallelism``: workers x tasks per worker / schedulers x 1.5 (spec/07 B1.5).

        Airflow counts it per scheduler, so the divisor is the number that really runs: what all schedulers of an
        environment may run together is then MWAA's sum. Rounded up, which the guide leaves open.
        """
        return math.ceil(self.max_workers * self.tasks_per_worker / RUNNING_SCHEDULERS * 1.5)

    @property
    def parsing_processes(self) -> int:
        """MWAA's default number of DAG parsing processes: (2 x vCPU) - 1 (spec/07 B1.2)."""
        return max(1, int(2 * self.environment_class.scheduler.vcpu) - 1)

    def option_variables(self) -> dict[str, str]:
        """The configuration options as environment variables (spec/04 section 4.2)."""
        return {variable_of(option): value for option, value in self.options.items()}
