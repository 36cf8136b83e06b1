"""Waiting until the keeper has brought every component to health, or one of them shows that it never will."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mwaa_local.engines.layout import Layout
from mwaa_local.engines.process import console, keeper_client
from mwaa_local.engines.protocol import Progress, Step
from mwaa_local.engines.verdicts import told
from mwaa_local.errors import EngineError

_HOPELESS_EXITS = 3  # a component that ended so often without once being healthy will not become so
_LOOPING_EXITS = 5  # one that was healthy now and then all the same
_TAIL = 12


def until_healthy(
    layout: Layout,
    generation: str,
    names: Sequence[str],
    progress: Progress,
    *,
    timeout_s: float,
    look: Callable[[Mapping[str, Any]], None] = lambda _components: None,
) -> dict[str, float]:
    """Wait for components; the others go on whatever happens to one.

    Args:
        layout: Whose.
        generation: The plan that the keeper must have applied.
        names: The components to wait for.
        progress: Shows each of them as a step of its own.
        timeout_s: Limit in seconds.
        look: Given what the keeper says of the components at each look; may raise to end the wait.

    Returns:
        Seconds that each took from now.

    Raises:
        MwaaLocalError: One cannot start (its own error if it told one), the keeper ended, or the time is over.
    """
    began, wall = time.monotonic(), time.time()
    seconds: dict[str, float] = {}
    with ExitStack() as stack:
        steps: dict[str, tuple[ExitStack, Step]] = {}
        while True:
            report = keeper_client.report(layout)
            applied = report.get("generation") == generation
            found: Mapping[str, Any] = report["components"]
            look(found)
            for name in names:
                one = found.get(name)
                if one is None or name in seconds:
                    continue
                _refuse_hopeless(layout, name, one, wall)
                if applied and one["state"] == "healthy":
                    seconds[name] = round(time.monotonic() - began, 2)
                    if name in steps:
                        own, step = steps.pop(name)
                        step.note("")  # what it waited for is of no interest any more
                        own.close()
                    continue
                if name not in steps:
                    own = stack.enter_context(ExitStack())
                    steps[name] = (own, own.enter_context(progress.step(name)))
                steps[name][1].note(str(one["detail"]))
            # A component seen healthy may have fallen again while another was waited for.
            if applied and all(found.get(name, {}).get("state") == "healthy" for name in names):
                return seconds
            if not keeper_client.runs(layout):
                raise keeper_client.gone(layout)
            if time.monotonic() - began > timeout_s:
                raise _late(layout, found, names, timeout_s)
            time.sleep(keeper_client.LOOK_SECONDS)


def _refuse_hopeless(layout: Layout, name: str, one: Mapping[str, Any], since: float) -> None:
    # One that began before us read the files as they were: what is wrong with them may just have been mended.
    exits = [row for row in one["exits"] if row["at"] - row["seconds"] >= since]
    if not exits:
        return
    last = exits[-1]
    if last.get("error"):
        log = layout.log(name)
        raise told(last["error"], name, where=str(log), tail=lambda: _tail(log))
    hopeless = len([row for row in exits if not row["was_healthy"]]) >= (1 if one["kind"] == "job" else _HOPELESS_EXITS)
    if hopeless or len(exits) >= _LOOPING_EXITS:
        raise EngineError(
            f"{name} cannot start: it {last['why']}" if hopeless else f"{name} does not keep running: it {last['why']}",
            where=str(layout.log(name)),
            why=_tail(layout.log(name)),
            hint=f"mwaa-local logs {name}; the other components keep running, `make down` stops them",
        )


def _late(layout: Layout, found: Mapping[str, Any], names: Sequence[str], timeout_s: float) -> EngineError:
    slow = [name for name in names if found.get(name, {}).get("state") != "healthy"]
    first = slow[0] if slow else names[0]
    details = "; ".join(f"{name}: {found.get(name, {}).get('detail') or 'not started'}" for name in slow)
    return EngineError(
        f"{', '.join(slow)} did not become healthy within {timeout_s:.0f} s",
        where=str(layout.log(first)),
        why="\n".join(part for part in (details, _tail(layout.log(first))) if part),
        hint=f"mwaa-local logs {first}; they keep starting, `make up` again waits on, `make down` stops them",
    )


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(console.tail(log, _TAIL))
    return ""
