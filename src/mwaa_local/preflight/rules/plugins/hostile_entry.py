"""PLG002: entries that leave the plugins folder."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.plugins import PluginEntry, way_out
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def _fault(entry: PluginEntry) -> str:
    if found := way_out(entry.name):
        return found
    if entry.link:
        folder = posixpath.dirname(entry.name.replace("\\", "/"))
        target = posixpath.normpath(posixpath.join(folder, entry.link))
        if entry.link.startswith("/") or target.startswith(".."):
            return f"a link out of the folder, to {entry.link}"
    return ""


def check(workspace: Workspace) -> Iterator[Hit]:
    for source in workspace.plugin_sources:
        for entry in source.entries:
            fault = _fault(entry)
            if fault:
                yield Hit(f"{entry.name!r} is {fault}", entry.path, excerpt=entry.name)


RULE = Rule(
    id="PLG002",
    severity=Severity.ERROR,
    area=Area.PLUGINS,
    title="Entry outside of the plugins folder",
    why=(
        "everything in the archive belongs below /usr/local/airflow/plugins; an entry that points elsewhere is "
        "refused or overwrites what is not yours"
    ),
    source="spec/04 section 11.1",
    fix="Build the archive from inside the folder, with relative names and without links",
    check=check,
)
