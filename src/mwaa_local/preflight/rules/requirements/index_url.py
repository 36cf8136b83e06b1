"""REQ012: an index that replaces the public one for every line."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.packages.paths import redact
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    for file, number, options in _requirements.option_lines(workspace):
        if options.index_url:
            yield Hit(
                f"--index-url {redact(options.index_url)} replaces the public index for every "
                "line of the file, wherever it stands",
                file,
                number,
                fix=f"--extra-index-url {redact(options.index_url)}",
                key="index",
            )


RULE = Rule(
    id="REQ012",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="The public index is replaced",
    why="pip takes --index-url for the whole file, whatever its line: all other packages, and what "
    "they depend on, must then be in that index too",
    source="spec/07 B2.7 (mixed example trap)",
    fix="Use --extra-index-url unless your index mirrors the public one",
    check=check,
)
