"""A second environment beside one that runs: the same files on another Airflow version, with a copy of its data."""

from __future__ import annotations

from pathlib import Path

from mwaa_local import catalog
from mwaa_local.engines import lifecycle
from mwaa_local.engines.protocol import Engine, Progress, UpResult
from mwaa_local.errors import EngineError
from mwaa_local.model import Environment, definition

SUFFIX = "-rehearsal"
_LONGEST_NAME = 80


def environment_of(environment: Environment, target: str) -> Environment:
    """The environment to rehearse in: everything of the definition but its name, its version and its wished ports.

    Args:
        environment: The one that runs.
        target: The Airflow version.

    Raises:
        DefinitionError: The version is not known, or does not take a field of the definition.
    """
    kept = {path: value for path, value in environment.given.items() if not path.startswith("Local.Ports")}
    kept |= {
        "Name": environment.name[: _LONGEST_NAME - len(SUFFIX)] + SUFFIX,
        "AirflowVersion": target,
        "Local.AllowUnsupported": True,
        # The report says which requirements failed; that they did must not keep the rest from being seen.
        "Local.AllowFailedRequirements": True,
    }
    return definition.restored(environment.project, kept, "rehearse")


def bring_up(
    source: Engine, other: Engine, environment: Environment, copy: Path, progress: Progress, *, timeout_s: float
) -> UpResult:
    """Start the rehearsal; within a major on a copy of the data, which the version takes along as a change would.

    Args:
        source: The engine of the environment that runs.
        other: The engine of the rehearsal.
        environment: See :func:`environment_of`.
        copy: A file for the copy of the database.
        progress: Shows each step.
        timeout_s: Limit of each wait for the components, in seconds.

    Raises:
        MwaaLocalError: The version does not come up with these files, or does not take the data.
    """
    other.prepare(environment, progress)
    target = environment.version.airflow
    if source.database_version(target) is None:
        return lifecycle.up(other, environment, progress, timeout_s=timeout_s)
    with progress.step("copy of the database"):
        source.snapshot(copy)
    # Taking data back to an older version needs an environment that was applied once; so does Docker's volume.
    if _is_older(target, source) or not _restored(other, copy):
        lifecycle.up(other, environment, progress, timeout_s=timeout_s)
        other.down(timeout_s=10.0, keep_site=True)
        other.restore(copy)
    return lifecycle.up(other, environment, progress, timeout_s=timeout_s)


def _restored(other: Engine, copy: Path) -> bool:
    """Whether there was a place for the data."""
    try:
        other.restore(copy)
    except EngineError:
        return False
    return True


def _is_older(target: str, source: Engine) -> bool:
    names = catalog.version_names()  # newest first
    used = source.database_version(target)
    return used in names and names.index(target) > names.index(used)
