"""Which engine runs an environment, and why (design section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mwaa_local.engines import owner
from mwaa_local.engines.protocol import Engine
from mwaa_local.model import Environment


@dataclass(frozen=True)
class Choice:
    """An engine and one line saying why it was taken."""

    engine: Engine
    reason: str


def choose(environment: Environment, variables: Mapping[str, str]) -> Choice:
    """The engine the definition names; for ``auto`` Docker where it can serve, else the process engine.

    An environment that already exists in one engine stays there under ``auto``: its data lives there.
    """
    wish = environment.local.engine
    if wish == "process":
        return Choice(_process(environment, variables), f"asked for ({environment.sources['Local.Engine']})")
    if wish == "docker":
        return Choice(_docker(environment, variables), f"asked for ({environment.sources['Local.Engine']})")
    name = owner.of(environment.state)
    if name is not None:
        make = _docker if name == "docker" else _process
        return Choice(make(environment, variables), "this environment was started with it; `reset` to choose anew")
    from mwaa_local.engines.docker.engine import why_unusable

    reason = why_unusable(environment, variables)
    if reason is None:
        return Choice(_docker(environment, variables), "a Docker daemon answers and has the images, or can build them")
    return Choice(_process(environment, variables), reason)


def _process(environment: Environment, variables: Mapping[str, str]) -> Engine:
    from mwaa_local.engines.process.engine import ProcessEngine

    return ProcessEngine(environment, variables)


def _docker(environment: Environment, variables: Mapping[str, str]) -> Engine:
    from mwaa_local.engines.docker.engine import DockerEngine

    return DockerEngine(environment, variables)
