"""Looking at an environment of the process engine: states, console output, exports. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mwaa_local.engines.layout import Layout
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.process import console, keeper_client
from mwaa_local.engines.protocol import ComponentState
from mwaa_local.errors import EngineError
from mwaa_local.ground import atomic, processes
from mwaa_local.runtime.files import ENVIRONMENT_FILE
from mwaa_local.runtime.status import FILE_NAME

KEEPER, SITE_KEEPER = "keeper", "site-keeper"


def states(layout: Layout, made: Plan | None, *, site: bool = False, memory: bool = True) -> list[ComponentState]:
    """State of every component, and of the keeper while it runs: what it takes belongs to the environment too.

    Args:
        layout: Whose.
        made: What its keeper was told.
        site: Whether that is the site, and not one environment.
        memory: Whether to measure what each takes, which costs milliseconds per process.
    """
    if made is None:
        return []
    keeper = keeper_client.pid(layout)
    report = keeper_client.report(layout) if keeper is not None else {"components": {}}
    told: Mapping[str, Any] = report["components"]
    left = {} if keeper is not None else _left(layout)
    found = [
        _state(item, told.get(item.name), left.get(item.name), memory=memory)
        for item in made.components
        if item.kind == "service"
    ]
    if keeper is not None:
        own = processes.own_pss(keeper) if memory else None
        name = SITE_KEEPER if site else KEEPER
        found.append(ComponentState(name, "healthy", keeper, report.get("started_at"), memory_bytes=own))
    return [replace(one, site=True) for one in found] if site else found


def with_site(own: list[ComponentState], site: list[ComponentState], asked: Mapping[str, Any]) -> list[ComponentState]:
    """The components of both levels; what an environment finds wrong with the site's counts too.

    Args:
        own: Of the environment.
        site: Of its site.
        asked: What the environment's keeper says of what it only asks, by name.
    """
    seen = []
    for one in site:
        said = asked.get(one.name)
        if one.state == "healthy" and said and said["state"] != "healthy":
            seen.append(replace(one, state=said["state"], detail=str(said["detail"])))
        else:
            seen.append(one)
    return [*own, *seen]


def _left(layout: Layout) -> dict[str, int]:
    """What a keeper that was killed left running: component to the oldest of its processes."""
    prefix = f"{layout.state}|"
    return {name: min(pids) for name, pids in processes.marked_parts(prefix).items()}


def _state(
    item: Component, one: Mapping[str, Any] | None, left: int | None = None, *, memory: bool = True
) -> ComponentState:
    status = atomic.read_json(Path(item.run_dir) / FILE_NAME) if item.run_dir else None
    if one is None and left is not None:
        detail = "its keeper was killed; it ends by itself within seconds, and `make up` starts it anew"
        size = processes.pss(left) if memory else None
        return ComponentState(item.name, "unhealthy", left, memory_bytes=size, detail=detail, status=status)
    if one is None:
        return ComponentState(item.name, "stopped", status=status)
    detail = str(one["detail"])
    if not detail and one["exits"]:
        detail = f"last restart: it {one['exits'][-1]['why']}"
    return ComponentState(
        name=item.name,
        state=one["state"],
        pid=one["pid"],
        started_at=one["started_at"] if one["pid"] else None,
        restarts=one["restarts"],
        memory_bytes=processes.pss(one["pid"]) if memory and one["pid"] else None,
        detail=detail,
        status=status,
    )


def exports(layout: Layout, made: Plan | None, component: str) -> dict[str, str] | None:
    """What the startup script exported in a running component; ``None`` when it does not run."""
    item = made.component(component) if made is not None else None
    kept = variables(layout, made, component)
    status = atomic.read_json(Path(item.run_dir) / FILE_NAME) if item is not None and item.run_dir else None
    if status is None or kept is None:
        return None
    names = (status.get("startup_script") or {}).get("variables") or []
    return {name: kept[name] for name in names if name in kept}


def variables(layout: Layout, made: Plan | None, component: str) -> dict[str, str] | None:
    """The variables of a running component's Airflow processes; ``None`` when it does not run."""
    item = made.component(component) if made is not None else None
    if item is None or not item.run_dir or not keeper_client.runs(layout):
        return None
    kept = atomic.read_json(Path(item.run_dir) / ENVIRONMENT_FILE)
    return dict(kept["variables"]) if kept is not None else None


def lines(layout: Layout, made: Plan | None, component: str, *, follow: bool, lines: int) -> Iterator[str]:
    """A component's console output; followed until the environment ends.

    Raises:
        EngineError: There is no such component.
    """
    names = [item.name for item in made.components] if made else []
    if component not in [*names, KEEPER]:
        raise EngineError(
            f"no component {component!r}", why=f"components: {', '.join(names) or 'none yet'}", hint="make up"
        )
    path = layout.log(component)
    if not follow:
        return iter(console.tail(path, lines))
    return console.follow(path, lines=lines, until=lambda: not keeper_client.runs(layout))
