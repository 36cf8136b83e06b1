"""What every engine is made of: one environment, its state folder, and what all of them read off that the same way."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mwaa_local.engines import desired as wanted
from mwaa_local.engines import ports
from mwaa_local.engines.databases import Databases, version_of
from mwaa_local.engines.desired import Desired
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.protocol import Addresses, ComponentState, Observed
from mwaa_local.model import Environment
from mwaa_local.model.cache import cache_folder


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note how long the block takes, in seconds."""
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = round(time.monotonic() - began, 2)


class Base(ABC):
    """The half of an engine that only looks, as far as it is the same in every one.

    Args:
        environment: Which one.
        variables: The caller's process environment.
    """

    def __init__(self, environment: Environment, variables: Mapping[str, str]) -> None:
        self._environment = environment
        self._host = dict(variables)
        self.layout = Layout(environment.state)
        self._cache = cache_folder(variables)
        self._registry = ports.Registry(self._cache / "ports.json")
        self._databases = Databases(environment.state)

    @property
    @abstractmethod
    def _memory(self) -> Path:
        """Where what was applied last is kept."""

    @abstractmethod
    def _plan(self) -> Plan | None:
        """The plan of what runs, or ran last."""

    @abstractmethod
    def _states(self, *, memory: bool) -> list[ComponentState]:
        """State of every component, the site's included; measuring memory takes time."""

    @abstractmethod
    def addresses(self) -> Addresses | None:
        """Where the environment answers; ``None`` when it does not run."""

    def desired(self) -> Desired | None:
        """What was applied last; ``None`` before the first time."""
        return wanted.read(self._memory, self._environment.project)

    def observe(self) -> Observed:
        """What is at this moment; memory is not measured."""
        return Observed(self.desired(), self.addresses(), tuple(self._states(memory=False)))

    def components(self) -> list[ComponentState]:
        """State of every component, the site's included."""
        return self._states(memory=True)

    def database_version(self, airflow: str) -> str | None:
        """The version that last used the database which this version would get; ``None`` where it gets an empty one."""
        return self._databases.version(airflow)

    def _database_in_use(self) -> str:
        """The version whose database is the environment's at present."""
        asked = self._environment.version.airflow
        return self._databases.version(version_of(self._plan()) or asked) or asked
