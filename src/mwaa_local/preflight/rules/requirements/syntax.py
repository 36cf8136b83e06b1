"""REQ003: lines and files that pip refuses to read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.workspace import Workspace

_LINE = re.compile(r"^(.*), line (\d+)")
# ``name @ address``
_NAME = re.compile(r"([A-Za-z0-9][\w.-]*(?:\[[^]]*\])?) *@ ")


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    error = outcome.error if outcome else None
    if outcome is None:
        return
    for conflict in outcome.unreachable:
        yield Hit(
            f"{conflict.requirement} cannot be fetched from here ({conflict.source}); "
            "where MWAA cannot either, pip installs nothing of the file",
            outcome.place(conflict.file),
            conflict.line,
            fix="check the address and the login, or ship a wheel in plugins.zip, which needs neither",
            severity=Severity.WARNING,
            key=conflict.requirement,
        )
    if error is None or error.kind != "syntax":
        return
    for conflict in error.conflicts:
        name = _NAME.match(conflict.requirement)
        fix = f"write {name[1]} and its version instead, or ship a wheel in plugins.zip" if name else error.hint
        message = f"{conflict.requirement}: {conflict.source}"
        yield Hit(message, outcome.place(conflict.file), conflict.line, fix=fix, key=conflict.requirement)
    if error.conflicts:
        return
    found = _LINE.match(error.where)
    file = outcome.place(found[1]) if found else outcome.file
    yield Hit(
        f"{error.what}: {error.why}" if error.why else error.what, file, int(found[2]) if found else 0, fix=error.hint
    )


RULE = Rule(
    id="REQ003",
    severity=Severity.ERROR,
    area=Area.REQUIREMENTS,
    title="Line that pip refuses",
    why="a requirements file takes requirements and a few of pip's options; at one line it does "
    "not know (--upgrade, --user, a single equals sign, a file that is missing) pip ends "
    "before it installs anything",
    source="spec/04 section 12.1, spec/10 section 4.1",
    fix="Write name==version, one in a line; only options of pip's requirements file format may stand in the file",
    check=check,
)
