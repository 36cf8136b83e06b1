"""REQ003: lines and files that pip refuses to read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.preflight import resolve
from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.workspace import Workspace

_LINE = re.compile(r"^(.*), line (\d+)")


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    error = outcome.error if outcome else None
    if outcome is None or error is None or error.kind != "syntax":
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
