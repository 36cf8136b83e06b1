"""REQ002: packages or versions that no index has for this Python and machine."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.packages.paths import redact
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome, causes = _requirements.causes(workspace)
    if outcome is None:
        return
    for cause in causes:
        if cause.missing and not cause.core:
            entry = cause.entries[0]
            where = (
                "in the links of the file"
                if outcome.reading and outcome.reading.indexes.no_index
                else f"for Python {workspace.version.python} on Linux x86_64"
            )
            text = f"no distribution matches {redact(entry.text)} {where}" + (
                f": {cause.detail}" if cause.detail else ""
            )
            text += f"; {cause.fits} is there" if cause.fits else ""
            yield Hit(
                text,
                outcome.place(entry.file),
                entry.line,
                fix=f"write {cause.write}" if cause.write else "",
                key=entry.name or entry.text,
            )


RULE = Rule(
    id="REQ002",
    severity=Severity.ERROR,
    area=Area.REQUIREMENTS,
    title="No matching distribution",
    why='pip ends with "No matching distribution found" and installs nothing of the whole file; '
    "wheels for other Pythons and machines do not count",
    source="spec/04 section 12.2, spec/07 B2.7",
    fix="Correct the name or the version; with --no-index put the wheel into plugins.zip "
    "(`mwaa-local package --wheels`)",
    check=check,
)
