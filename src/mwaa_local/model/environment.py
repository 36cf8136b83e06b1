"""The one description every environment has, however it was started (design section 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mwaa_local.catalog import EnvironmentClass, Version
from mwaa_local.model.spec import Source, Spec

STATE_FOLDER = ".mwaa"


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
        allow_unsupported: Run an Airflow version whose support on MWAA has ended.
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
    allow_unsupported: bool
    dag_sync: str
    ports: Ports
    smoke: SmokeSettings


@dataclass(frozen=True)
class Environment:
    """One environment on this machine: its spec, and where and how it runs here.

    Attributes:
        project: Folder the definition belongs to.
        sources: Dotted field to where its value came from.
        given: Dotted field to its value as it was given; what is left out has its default.
    """

    spec: Spec
    local: LocalSettings
    project: Path
    workflow: Workflow
    sources: Mapping[str, Source]
    given: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def having(self, **changes: Any) -> Environment:
        """The environment with other values of its spec's attributes."""
        return replace(self, spec=replace(self.spec, **changes))

    @property
    def name(self) -> str:
        """The spec's."""
        return self.spec.name

    @property
    def version(self) -> Version:
        """The spec's."""
        return self.spec.version

    @property
    def environment_class(self) -> EnvironmentClass:
        """The spec's."""
        return self.spec.environment_class

    @property
    def id(self) -> str:
        """A short id, the same for as long as name and project folder are: ``local-1a2b3c4d``."""
        return id_of(self.name, self.project)

    @property
    def site(self) -> Path:
        """Folder of everything that the environments of this project keep."""
        return self.project / STATE_FOLDER

    @property
    def state(self) -> Path:
        """Folder of everything this environment keeps."""
        return self.site / self.name


def id_of(name: str, project: Path) -> str:
    """The id of the environment of that name in a project folder."""
    digest = hashlib.sha256(f"{name}\0{project}".encode()).hexdigest()
    return f"{name}-{digest[:8]}"
