"""The one sequence that brings an environment to what it shall be, in every engine (design section 5).

Revision, refusals, package set, apply, wait, verdicts. Whoever changes an environment (``up``, scaling, a control
plane) comes through here, one at a time.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from packaging.version import Version as PackageVersion

from mwaa_local import catalog
from mwaa_local.engines import desired as wanted
from mwaa_local.engines.databases import SWITCH_SECONDS
from mwaa_local.engines.desired import Desired
from mwaa_local.engines.names import kind
from mwaa_local.engines.protocol import Engine, Progress, Settled, UpResult
from mwaa_local.engines.turn import turn
from mwaa_local.engines.verdicts import crashes, verdicts, warnings
from mwaa_local.errors import DefinitionError, EngineError, MwaaLocalError, UsageError
from mwaa_local.model import Environment
from mwaa_local.workflow import revision
from mwaa_local.workflow.revision import Revision

# What a version that did not come up is given to end, in seconds.
_QUICK_SECONDS = 10.0
# How many copies of databases are kept of changes of version.
_KEPT_SNAPSHOTS = 3


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
    refuse_unsupported(engine, environment)
    with turn(engine.layout, progress):
        notes = engine.admit(environment)
        files = revision.of_workspace(environment, engine.layout.digests)
        shall = Desired(environment, files, _workers(engine, environment))
        return _bring(engine, shall, progress, notes, timeout_s)


def _switched(engine: Engine, was: str, shall: Desired, progress: Progress, timeout_s: float) -> Settled:
    """Another version of the same major on the same data: snapshot first, everything back on any failure (spec/04
    section 7).

    Raises:
        MwaaLocalError: The new version does not come up; what was before runs again, or the error says why not.
    """
    environment = shall.environment
    last = engine.desired()
    kept = engine.layout.state / "snapshots" / f"{was}-before-{environment.version.airflow}.sql.gz"
    ran = engine.addresses() is not None
    if ran:
        with progress.step(f"stopping Airflow {was}"):
            engine.down(timeout_s=SWITCH_SECONDS, keep_site=True)
    with progress.step("copy of the database"):
        engine.snapshot(kept)
        _forget_older(kept)
    try:
        if PackageVersion(was) > PackageVersion(environment.version.airflow):
            engine.downgrade(_of_version(last, was, environment), environment.version.airflow, progress)
        applied = engine.apply(shall, progress)
        return engine.wait(applied, progress, timeout_s=timeout_s)
    except MwaaLocalError as error:
        error.why = "\n".join(
            part for part in (error.why, _returned(engine, last, ran, kept, progress, timeout_s)) if part
        )
        raise


def _of_version(last: Desired | None, was: str, environment: Environment) -> Desired:
    """What the newer version ran as; where nobody kept it, the new definition under that version."""
    if last is not None and last.environment.version.airflow == was:
        return last
    return Desired(environment.having(version=catalog.version(was)), Revision(), wanted.least_workers(environment))


def _returned(engine: Engine, last: Desired | None, ran: bool, kept: Path, progress: Progress, timeout_s: float) -> str:
    """Bring back what was before; one line that says how that ended."""
    try:
        with progress.step("back to what was before"):
            engine.down(timeout_s=_QUICK_SECONDS, keep_site=True)
            engine.restore(kept)
        if last is None or not ran:
            return f"the database is as it was before ({kept})"
        engine.prepare(last.environment, progress)
        engine.wait(engine.apply(last, progress), progress, timeout_s=timeout_s)
    except MwaaLocalError as error:
        return f"and what was before did not come back: {error.what}; its database is kept in {kept}"
    return f"everything is as it was before: Airflow {last.environment.version.airflow} runs with its data"


def _forget_older(kept: Path) -> None:
    for other in sorted(kept.parent.glob("*.sql.gz"), key=lambda path: path.stat().st_mtime)[:-_KEPT_SNAPSHOTS]:
        other.unlink(missing_ok=True)


def refuse_unsupported(engine: Engine, environment: Environment) -> None:
    """MWAA makes no environment of a version whose support has ended; one that is there goes on (spec/02 section 9.3).

    Raises:
        DefinitionError: The version is one, and nobody asked for it all the same.
    """
    version = environment.version
    if version.is_supported or environment.local.allow_unsupported:
        return
    last = engine.desired()
    if last is not None and last.environment.version == version:
        return
    raise DefinitionError(
        f"MWAA has ended its support of Airflow {version.airflow}"
        + (f" on {version.ended.isoformat()}" if version.ended else ""),
        where=str(environment.sources["AirflowVersion"]),
        why="no new environment of it can be made there",
        hint="to try the way out of it here: `mwaa-local up --allow-unsupported`, or Local: {AllowUnsupported: true}; "
        f"`mwaa-local validate --target {catalog.default_version()}` says what has to change",
        code="value",
        fields=("AirflowVersion",),
        value=version.airflow,
    )


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
        if last is None or engine.addresses() is None:
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
    if last is None or last.workers == wanted.least_workers(last.environment) or engine.addresses() is None:
        return least  # nobody scaled it
    return min(max(last.workers, least), max(environment.spec.max_workers, least))


def _bring(engine: Engine, shall: Desired, progress: Progress, notes: list[str], timeout_s: float) -> UpResult:
    began = time.time()
    engine.make_packages(shall, progress)
    was, version = engine.database_version(shall.environment.version.airflow), shall.environment.version.airflow
    if was is not None and was != version:
        settled = _switched(engine, was, shall, progress, timeout_s)
        notes = [*notes, f"Airflow {was} -> {version}: the database was taken along, a copy of before is kept"]
    else:
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
