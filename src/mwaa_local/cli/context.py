"""From the shared options to an environment and the engine that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from mwaa_local import model
from mwaa_local.engines.choose import Choice, choose
from mwaa_local.engines.protocol import Addresses, Engine
from mwaa_local.model import Environment


@dataclass(frozen=True)
class Settings:
    """What the shared options say; ``variables`` is the process environment, read here and nowhere below."""

    project: Path
    flags: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self, **flags: Any) -> Environment:
        """The environment these options mean; keyword arguments are further flags by dotted field."""
        return model.load(self.project, flags={**self.flags, **flags}, variables=self.variables)

    def choose(self, environment: Environment) -> Choice:
        """The engine for it, and why."""
        return choose(environment, self.variables)

    def running(self) -> tuple[Environment, Engine, Addresses | None]:
        """The environment as it runs, its engine, and where it answers; ``None`` where it does not run.

        ``up`` may have been told another version than the definition says.
        """
        environment = self.environment()
        engine = self.choose(environment).engine
        addresses = engine.addresses()
        if addresses is not None and addresses.airflow_version != environment.version.airflow:
            environment = self.environment(AirflowVersion=addresses.airflow_version)
        return environment, engine, addresses


def settings(context: typer.Context) -> Settings:
    """The shared options of a command."""
    found = context.find_object(Settings)
    assert found is not None, "the callback sets it"
    return found
