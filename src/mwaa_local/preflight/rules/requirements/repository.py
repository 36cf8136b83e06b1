"""REQ016: lines that fetch or build from a repository or a folder."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.packages.paths import redact
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.reading is None:
        return
    for entry in outcome.reading.entries:
        place, text = outcome.place(entry.file), redact(entry.text)
        if entry.kind == "vcs":
            held = "@" in entry.text.rpartition("/")[2]
            tail = "" if held else "; it names no commit, so each container may get another state"
            yield Hit(f"{text} is cloned and built by every container{tail}", place, entry.line, key=entry.text)
        elif entry.editable:
            yield Hit(
                f"-e {text}: MWAA's folders are replaced at every sync, an editable install points into them",
                place,
                entry.line,
                key=entry.text,
            )
        elif entry.kind == "path" and entry.local is not None and entry.local.is_dir():
            yield Hit(f"{text} is built from its folder by every container", place, entry.line, key=entry.text)


RULE = Rule(
    id="REQ016",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="Built from a repository or folder",
    why="the containers need the repository, the credentials for it and the build requirements at "
    "every start; a web server without a way out has none of them",
    source="spec/04 section 12.1, spec/07 B2.2",
    fix="Build a wheel once and ship it in plugins.zip: `mwaa-local package --wheels`",
    check=check,
)
