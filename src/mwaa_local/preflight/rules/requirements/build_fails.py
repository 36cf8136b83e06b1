"""REQ004: source archives that cannot be built for this Python."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.workspace import Workspace

# What a build may miss on this machine although MWAA's image has it (spec/10 section 5.4).
_IN_IMAGE = ("gcc", "g++", "cc1", "pg_config", "mysql_config", "krb5-config", "xml2-config", "pkg-config", "Python.h")


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    error = _requirements.failure(workspace)
    if outcome is None or error is None or error.kind not in {"build", "other"}:
        return
    name = error.packages[0] if error.packages else ""
    place = _requirements.place_of(outcome, name)
    if not place.line and error.conflicts:
        place = _requirements.Place(outcome.place(error.conflicts[0].file), error.conflicts[0].line)
    asked = [word for word in _IN_IMAGE if word in f"{error.what} {' '.join(error.explanation)}"]
    tail = [text for text in error.explanation if text.strip()][-1:]
    text = error.what + (f" ({tail[0][:200]})" if tail else "")
    if asked and error.kind == "build":
        yield Hit(
            f"{text}; MWAA's image has {', '.join(asked)}, so it may build there",
            place.file,
            place.line,
            severity=Severity.WARNING,
            fix=error.hint,
            key=name,
        )
    else:
        yield Hit(text, place.file, place.line, fix=error.hint, key=name)


RULE = Rule(
    id="REQ004",
    severity=Severity.ERROR,
    area=Area.REQUIREMENTS,
    title="Source archive that does not build",
    why="without a wheel for this Python pip builds the source archive in every container; where "
    "that fails nothing of the file is installed",
    source="spec/10 sections 4.2 and 5.4, spec/05 section 4 (T-12)",
    fix="Take a version that has a wheel for this Python",
    check=check,
)
