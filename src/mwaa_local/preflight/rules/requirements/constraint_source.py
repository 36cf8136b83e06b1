"""REQ021: a verdict that rests on the image's pins, because Airflow's constraint file was not to be had."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Severity, Unchecked
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.workspace import Workspace

_SHOWN = 4


def check(workspace: Workspace) -> Iterator[Unchecked]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.stand_in is None or not outcome.open_names:
        return
    source, names = outcome.stand_in, outcome.open_names
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    why = f" ({source.notes[0]})" if source.notes else ""
    yield Unchecked(
        f"the versions of {', '.join(names[:_SHOWN])}{more}",
        f"Airflow's constraint file was not to be had{why}, so they were checked against {source.label}. The whole "
        "file may hold other versions of them, and MWAA refuses a pin that is not one of those",
        RULE.fix,
        brief="without Airflow's constraint file",
    )


RULE = Rule(
    id="REQ021",
    severity=Severity.INFO,
    area=Area.REQUIREMENTS,
    title="Checked without Airflow's constraint file",
    why="MWAA uses Airflow's whole constraint file. Where it cannot be fetched, the exact pins of MWAA's image and "
    "the date of Airflow's release stand in for it: a package that only the whole file names may have another version "
    "there, and a pin that is not that version is refused. The summary line says so",
    source="design section 11, spec/10 section 4.5",
    fix="Let this machine reach the constraint file once, or put it into a folder and set MWAA_CONSTRAINTS_DIR",
    check=check,
)
