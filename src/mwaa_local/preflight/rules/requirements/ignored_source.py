"""REQ013: locations that pip ignores."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.reading is None:
        return
    for note in outcome.reading.indexes.notes:
        line = next(
            (
                number
                for _, number, options in _requirements.option_lines(workspace)
                for link in (*options.find_links, *options.extra_index_urls, *filter(None, [options.index_url]))
                if link in note or (link.partition("://")[2].partition("/")[0].rpartition("@")[2] or link) in note
            ),
            0,
        )
        yield Hit(note.removeprefix("WARNING: "), outcome.file, line, key=note)


RULE = Rule(
    id="REQ013",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="Source that pip ignores",
    why="pip passes over an index on plain http and over a folder that is not there with a warning "
    "only, and then does not find what it was to bring",
    source="spec/07 B2.7",
    fix="Use https, name the host with --trusted-host, or correct the path (below /usr/local/airflow on MWAA)",
    check=check,
)
