"""REQ007: constraints of another Airflow or another Python."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.packages.paths import redact
from mwaa_local.packages.requirements import foreign_to
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.resolving.foreign import Foreign
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.rules.requirements.no_constraint import url
from mwaa_local.preflight.workspace import Workspace

_SHOWN = 6


def check(workspace: Workspace) -> Iterator[Hit]:
    version = workspace.version
    for file, number, options in _requirements.option_lines(workspace):
        for target in options.constraints:
            if wrong := foreign_to(version, target):
                lead, outcome = _requirements.foreign(workspace), resolve.outcome(workspace)
                cause = lead is not None and lead.cause
                text = (
                    f"the constraints are those of {wrong}; the environment has Airflow {version.airflow} and "
                    f"Python {version.python}"
                )
                if cause:
                    text += ", and pip cannot install the file with them"
                elif outcome is not None and outcome.reading is None and outcome.error is None:
                    text += "; whether pip can install the file with them cannot be told here"
                yield Hit(
                    text + (_going_with(lead) if lead else ""),
                    file,
                    number,
                    fix=f"--constraint {url(workspace)}" + (_also(lead) if lead else ""),
                    severity=Severity.ERROR if cause else Severity.WARNING,
                    key="foreign",
                )


def _going_with(lead: Foreign) -> str:
    if not lead.moved:
        return ""
    places = ", ".join(f"line {item.entry.line} ({redact(item.entry.text)})" for item in lead.moved[:_SHOWN])
    more = f" and {len(lead.moved) - _SHOWN} more" if len(lead.moved) > _SHOWN else ""
    return f"; lines whose versions must follow: {places}{more}"


def _also(lead: Foreign) -> str:
    if not lead.moved:
        return ""
    told = ", ".join(item.write for item in lead.moved[:_SHOWN]) + (", ..." if len(lead.moved) > _SHOWN else "")
    return f", and with it {told} (`mwaa-local validate requirements --fix` writes all of it)"


RULE = Rule(
    id="REQ007",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="Constraints of another version",
    why="the pins of another Airflow or Python bring packages this version was never tested with, "
    "and mostly collide with the essential pins that MWAA always adds: an error where pip cannot install the file "
    "because of them",
    source="spec/04 section 12.1, spec/07 B2.3",
    fix="Name the constraint file of your Airflow and Python",
    check=check,
)
