"""PLG017: two sources of plugins."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    sources = workspace.plugin_sources
    if len(sources) != 2 or sources[1].error:
        return
    folder, archive = sources
    skip = {entry.name for entry in archive.files if entry.base.endswith(".whl")}
    packed = {entry.name: entry for entry in archive.files if entry.name not in skip}
    for entry, _ in folder.python:
        other = packed.get(entry.name)
        if other is None:
            yield Hit(f"plugins.zip does not hold {entry.name}", archive.path, excerpt=entry.name, key=entry.name)
            return
        if other.size != entry.size or other.read(5_000_000) != entry.read(5_000_000):
            yield Hit(
                f"plugins.zip holds another {entry.name} than the folder",
                archive.path,
                excerpt=entry.name,
                key=entry.name,
            )
            return


RULE = Rule(
    id="PLG017",
    severity=Severity.WARNING,
    area=Area.PLUGINS,
    title="plugins.zip is not the plugins folder",
    why=(
        "MWAA runs what is in the archive; a folder that was edited after it was zipped is tested here and "
        "missing there"
    ),
    source="spec/04 section 11.1",
    fix="Build it again: `mwaa-local package`",
    check=check,
)
