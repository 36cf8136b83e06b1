"""Which engine runs an environment, and why (design section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.engines.layout import Layout
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
    name = _kept(environment.state)
    if name is not None:
        make = _docker if name == "docker" else _process
        return Choice(make(environment, variables), "this environment was started with it; `reset` to choose anew")
    from mwaa_local.engines.docker.engine import why_unusable

    reason = why_unusable(environment, variables)
    if reason is None:
        return Choice(_docker(environment, variables), "a Docker daemon answers and has the images, or can build them")
    return Choice(_process(environment, variables), reason)


def _kept(state: Path) -> str | None:
    """The engine whose data the state folder holds; read off the data where its own note is damaged or gone."""
    try:
        name = (state / "engine").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        name = ""
    if name in ("process", "docker"):
        return name
    plans = {"process": Layout(state).plan, "docker": state / "docker" / "plan.json"}
    return next((engine for engine, plan in plans.items() if plan.exists()), None)


def _process(environment: Environment, variables: Mapping[str, str]) -> Engine:
    from mwaa_local.engines.process.engine import ProcessEngine

    return ProcessEngine(environment, variables)


def _docker(environment: Environment, variables: Mapping[str, str]) -> Engine:
    from mwaa_local.engines.docker.engine import DockerEngine

    return DockerEngine(environment, variables)
