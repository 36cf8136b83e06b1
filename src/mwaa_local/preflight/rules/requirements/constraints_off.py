"""REQ006: a file that switches MWAA's constraints off without naming others."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome, source = resolve.outcome(workspace), workspace.requirements
    if outcome is None or outcome.reading is None or source is None:
        return
    reading = outcome.reading
    if reading.injected or reading.constrained or not reading.entries or reading.indexes.no_index:
        return
    for number, line in enumerate(source.lines, start=1):
        if "-c " in line or "--constraint " in line:
            given = ", ".join(part.source.label for part in reading.parts[1:])
            what = f"; {given} holds no constraint" if given else ""
            yield Hit(
                "this line makes MWAA believe that constraints are given, and none are"
                f"{what}: packages come in any version",
                source.path,
                number,
                key="off",
            )
            return


RULE = Rule(
    id="REQ006",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="Constraints switched off",
    why='MWAA looks for "-c " or "--constraint " anywhere in the text, comments included, and then '
    "adds no constraints of its own; only the essential pins are left, and packages that "
    "Airflow was never tested with are installed",
    source="spec/10 section 4.1",
    fix="Name a constraint file, or reword the comment",
    check=check,
)
