"""PLG006: files that an archive maker left behind."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.plugins import is_junk
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    for source in workspace.plugin_sources:
        if not source.archive:
            continue  # in a folder it hurts nobody: `mwaa-local package` leaves it out
        junk = [entry.name for entry in source.files if is_junk(entry.name)]
        if junk:
            yield Hit(
                f"{len(junk)} files that do not belong to a plugin, the first is {junk[0]}",
                source.path,
                excerpt=junk[0],
                key="junk",
            )


RULE = Rule(
    id="PLG006",
    severity=Severity.WARNING,
    area=Area.PLUGINS,
    title="Leftovers in plugins.zip",
    why=(
        "__MACOSX, .DS_Store and __pycache__ are unpacked on every component; a `._name.py` among them is tried "
        "as a plugin and fails to import"
    ),
    source="spec/04 section 11.1",
    fix="zip -r ../plugins.zip . -x '*__pycache__*' '*.DS_Store' '__MACOSX/*', or `mwaa-local package`",
    check=check,
)
