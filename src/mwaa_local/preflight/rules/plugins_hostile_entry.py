"""PLG002: entries that leave the plugins folder."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.readings.plugins import PluginEntry
from mwaa_local.preflight.workspace import Workspace


def _fault(entry: PluginEntry) -> str:
    name = entry.name.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "an absolute path"
    if ".." in name.split("/"):
        return "a path that climbs out of the folder"
    if entry.link:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.link))
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
