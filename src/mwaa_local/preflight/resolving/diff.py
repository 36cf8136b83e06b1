"""What a change of requirements alters in the installed versions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mwaa_local.errors import RequirementsError
from mwaa_local.packages import listing
from mwaa_local.packages.listing import Change
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.workspace import Workspace


@dataclass(frozen=True)
class Difference:
    """The difference of two files.

    Attributes:
        airflow: The version both were resolved for.
        changes: Packages that differ; an empty version means absent.
        notes: What could not be told.
    """

    airflow: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()


def diff(workspace: Workspace, old: Path, new: Path) -> Difference:
    """Compare what two requirements files install on a workspace's Airflow version.

    Raises:
        UnmetRequirementsError: one of them cannot be installed.
        RequirementsError: one of them could not be resolved now.
    """
    notes: list[str] = []
    before, after = (_installed(workspace, file, notes) for file in (old, new))
    return Difference(workspace.version.airflow, listing.diff(before, after), tuple(dict.fromkeys(notes)))


def _installed(workspace: Workspace, file: Path, notes: list[str]) -> dict[str, str]:
    outcome = resolve.outcome_of(workspace, file)
    notes += [f"{item.what}: {item.why}" for item in outcome.unchecked]
    if outcome.error is not None:
        raise outcome.error
    if outcome.resolution is None:
        raise RequirementsError("The requirements cannot be resolved now", where=str(file), why="; ".join(notes))
    return {**outcome.situation.present, **{name: item.version for name, item in outcome.resolution.changes.items()}}
