"""REQ011: sources that a private web server does not reach."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.packages.paths import is_url, redact
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.reading is None or not _requirements.private(workspace):
        return
    reading = outcome.reading
    for file, number, options in _requirements.option_lines(workspace):
        for link in (*options.find_links, *options.extra_index_urls, *filter(None, [options.index_url])):
            if is_url(link) and not link.lower().startswith("file:"):
                yield Hit(
                    f"{redact(link)} has to be reachable from the private web server too, through your VPC",
                    file,
                    number,
                    key=redact(link),
                )
        for target in options.constraints:
            if is_url(target) and not target.lower().startswith("file:"):
                yield Hit(
                    "the private web server cannot fetch the constraint file",
                    file,
                    number,
                    fix="put the file into plugins.zip and name its path below /usr/local/airflow/plugins",
                    key="constraint",
                )
    for entry in reading.entries:
        outside = entry.kind in {"url", "vcs"}
        if outside:
            yield Hit(
                f"{redact(entry.text)} is fetched by the private web server too",
                outcome.place(entry.file),
                entry.line,
                key=entry.text,
            )
    first = next((entry for entry in reading.entries if entry.kind == "index"), None)
    if first is not None and not reading.indexes.no_index and not reading.indexes.default:
        yield Hit(
            "the private web server cannot reach the public index: it starts without these packages",
            outcome.place(first.file),
            first.line,
            key="index",
        )


RULE = Rule(
    id="REQ011",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="Not reachable from a private web server",
    why="with WebserverAccessMode PRIVATE_ONLY the web server installs the same file and reaches "
    "no public address; each try waits for its time-out",
    source="spec/04 section 12.1, spec/05 section 1.2, spec/07 B2.3",
    fix="Ship wheels: `mwaa-local package --wheels` writes plugins.zip and packaged-requirements.txt",
    check=check,
)
