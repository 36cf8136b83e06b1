"""REQ007: constraints of another Airflow or another Python."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.rules.requirements_no_constraint import url
from mwaa_local.preflight.workspace import Workspace

_AIRFLOW = re.compile(r"constraints-(\d+\.\d+\.\d+)")
_PYTHON = re.compile(
    r"constraints-(?:no-providers-|source-providers-)?(?:\d+\.\d+\.\d+-py)?(3\.\d+)(?=[^.\d]|\.[a-z]|$)"
)


def check(workspace: Workspace) -> Iterator[Hit]:
    airflow, python = workspace.version.airflow, workspace.version.python
    for file, number, options in _requirements.option_lines(workspace):
        for target in options.constraints:
            named, minor = _AIRFLOW.search(target), _PYTHON.search(target)
            wrong = []
            if named and named[1] != airflow:
                wrong.append(f"Airflow {named[1]}")
            if minor and minor[1] != python:
                wrong.append(f"Python {minor[1]}")
            if wrong:
                yield Hit(
                    f"the constraints are those of {' and '.join(wrong)}; the environment has "
                    f"Airflow {airflow} and Python {python}",
                    file,
                    number,
                    fix=f"--constraint {url(workspace)}",
                    key="foreign",
                )


RULE = Rule(
    id="REQ007",
    severity=Severity.ERROR,
    area=Area.REQUIREMENTS,
    title="Constraints of another version",
    why="the pins of another Airflow or Python bring packages this version was never tested with, "
    "and collide with the essential pins that MWAA always adds",
    source="spec/04 section 12.1, spec/07 B2.3",
    fix="Name the constraint file of your Airflow and Python",
    check=check,
)
