"""SUP013: variables that change what pip does with requirements.txt."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_EFFECTS = {
    "PIP_INDEX_URL": "it replaces the public index for every line of requirements.txt",
    "PIP_NO_INDEX": "it switches every index off for requirements.txt",
    "PIP_CONSTRAINT": "it is added to MWAA's own constraints and may contradict them",
    "PIP_NO_DEPS": "no dependency of any requirement is installed",
    "PIP_TARGET": "packages land where Airflow does not look",
    "PIP_PREFIX": "packages land where Airflow does not look",
    "PIP_USER": "MWAA installs into the user site anyway",
    "MWAA_ESSENTIAL_CONSTRAINTS_FILE": "it replaces the pins that keep Airflow, Celery and the log shipper working",
}
_FIXES = {
    "PIP_INDEX_URL": "export PIP_EXTRA_INDEX_URL instead, which is asked beside the public index",
    "PIP_CONSTRAINT": "write a --constraint line into requirements.txt",
}


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    for export in script.exports if script else ():
        effect = _EFFECTS.get(export.name)
        if script is not None and effect is not None:
            yield Hit(
                f"{export.name} reaches the installation of requirements.txt: {effect}",
                script.source.path,
                export.line,
                fix=_FIXES.get(export.name, ""),
                key=export.name,
            )


RULE = Rule(
    id="SUP013",
    severity=Severity.WARNING,
    area=Area.STARTUP,
    title="pip settings exported",
    why="what the script exports is in pip's environment when requirements.txt is installed right after it",
    source="spec/10 sections 2.6 and 4.1, spec/07 B2.3",
    fix="Remove the line if that is not meant",
    check=check,
)
