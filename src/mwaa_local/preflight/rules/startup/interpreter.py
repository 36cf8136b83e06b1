"""SUP018: a script for another interpreter."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    first = script.source.line(1)
    match = re.match(r"#!\s*(?:\S*/env\s+(?:-S\s+)?)?(\S+)", first)
    if match is None:
        return
    name = match.group(1).rsplit("/", 1)[-1]
    if name not in ("sh", "bash", "dash", "env"):
        yield Hit(f"the script asks for {name}, but MWAA always runs it in bash", script.source.path, 1)


RULE = Rule(
    id="SUP018",
    severity=Severity.ERROR,
    area=Area.STARTUP,
    title="Interpreter ignored",
    why="MWAA sources the script in bash, whatever its first line and mode say",
    source="spec/10 section 3.1",
    fix="Write bash, and call the other interpreter from it: python3 /usr/local/airflow/plugins/setup.py",
    check=check,
)
