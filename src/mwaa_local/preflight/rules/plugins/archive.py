"""PLG001: plugins.zip cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    for source in workspace.plugin_sources:
        if source.error:
            yield Hit(f"{source.path.name} cannot be unpacked: {source.error}", source.path)


RULE = Rule(
    id="PLG001",
    severity=Severity.ERROR,
    area=Area.PLUGINS,
    title="plugins.zip is corrupt",
    why="MWAA unpacks the archive before anything else starts on each component; one it cannot read ends the update",
    source="spec/04 sections 11.1 and 14.2",
    fix="Build it again: cd plugins && zip -r ../plugins.zip . (no password)",
    check=check,
)
