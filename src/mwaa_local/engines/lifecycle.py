"""The one sequence that brings an environment to what it shall be, in every engine (design section 5).

Revision, refusals, package set, apply, wait, verdicts. Whoever changes an environment (``up``, scaling, a control
plane) comes through here, one at a time.
"""

from __future__ import annotations

import time
from dataclasses import replace

from mwaa_local.engines import desired as wanted
from mwaa_local.engines.desired import Desired
from mwaa_local.engines.names import kind
from mwaa_local.engines.protocol import Engine, Progress, UpResult
from mwaa_local.engines.turn import turn
from mwaa_local.engines.verdicts import crashes, verdicts, warnings
from mwaa_local.errors import EngineError, UsageError
from mwaa_local.model import Environment
from mwaa_local.workflow import revision


def up(engine: Engine, environment: Environment, progress: Progress, *, timeout_s: float) -> UpResult:
    """Start the environment from its workspace, or apply only what changed, and wait until all of it is healthy.

    Workers that were added by :func:`scale` stay while the environment runs and the definition allows as many.

    Args:
        engine: Where.
        environment: As its definition has it now.
        progress: Shows each step.
        timeout_s: Limit of the wait for the components, in seconds.

    Raises:
        MwaaLocalError: What cannot be had; everything that could be started keeps running.
    """
    with turn(engine.layout, progress):
        notes = engine.admit(environment)
        files = revision.of_workspace(environment, engine.layout.digests)
        shall = Desired(environment, files, _workers(engine, environment))
        return _bring(engine, shall, progress, notes, timeout_s)


def scale(engine: Engine, workers: int, progress: Progress, *, timeout_s: float) -> UpResult:
    """Have more or fewer workers of what was applied last; no file of the workspace is read.

    A worker with a running task stays: then there are more than asked for, and calling again later takes them away.

    Args:
        engine: Where.
        workers: How many, between 1 and ``MaxWorkers``.
        progress: Shows each step.
        timeout_s: Limit of the wait for the components, in seconds.

    Raises:
        UsageError: As many are not allowed.
        EngineError: The environment does not run.
        MwaaLocalError: A new worker does not become healthy.
    """
    with turn(engine.layout, progress):
        last = engine.desired()
        if last is None or not engine.observe().runs:
            raise EngineError("the environment does not run", where=str(engine.layout.state), hint="mwaa-local up")
        highest = last.environment.spec.max_workers
        if not 1 <= workers <= highest:
            raise UsageError(
                f"{workers} workers are not allowed",
                why=f"1 to {highest}: MaxWorkers of {last.environment.name} as it was applied last",
                hint="set MaxWorkers in mwaa.yaml and `mwaa-local up`",
            )
        return _bring(engine, replace(last, workers=workers), progress, [], timeout_s)


def _workers(engine: Engine, environment: Environment) -> int:
    least, last = wanted.least_workers(environment), engine.desired()
    if last is None or last.workers == wanted.least_workers(last.environment) or not engine.observe().runs:
        return least  # nobody scaled it
    return min(max(last.workers, least), max(environment.spec.max_workers, least))


def _bring(engine: Engine, shall: Desired, progress: Progress, notes: list[str], timeout_s: float) -> UpResult:
    began = time.time()
    engine.make_packages(shall, progress)
    applied = engine.apply(shall, progress)
    settled = engine.wait(applied, progress, timeout_s=timeout_s)
    there = [one.name for one in settled.components if kind(one.name) == "worker"]
    stay = (
        [f"{', '.join(there[shall.workers :])}: kept beyond {shall.workers} while a task may run on it"]
        if len(there) > shall.workers
        else []
    )
    allowed = shall.environment.local.allow_failed_requirements
    found = verdicts(settled.components)
    loops, once = crashes(settled.components, began)
    return UpResult(
        changes=[*notes, *settled.changes],
        addresses=settled.addresses,
        components=settled.components,
        seconds=settled.seconds,
        verdicts=[*loops, *([] if allowed else found)],
        warnings=[
            *once,
            *stay,
            *settled.warnings,
            *(error.what for error in found if allowed),
            *warnings(settled.components),
        ],
    )
