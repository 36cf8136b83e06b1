"""REQ021: a verdict that rests on the image's pins, because Airflow's constraint file was not to be had."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight import resolve
from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.reading is None or not outcome.reading.entries:
        return
    for part in outcome.reading.parts[1:]:
        if part.source.kind == "catalog":
            why = f" ({part.source.notes[0]})" if part.source.notes else ""
            yield Hit(f"checked against {part.source.label}{why}", outcome.file, 0, key="catalog")


RULE = Rule(
    id="REQ021",
    severity=Severity.INFO,
    area=Area.REQUIREMENTS,
    title="Checked without Airflow's constraint file",
    why="MWAA uses Airflow's whole constraint file. Where it cannot be fetched, the exact pins of MWAA's image and its "
    "date stand in for it: packages that only the whole file names may get another version there",
    source="design section 11, spec/10 section 4.5",
    fix="Let this machine reach the constraint file once, or put it into a folder and set MWAA_CONSTRAINTS_DIR",
    check=check,
)
