"""PLG004: scripts that nobody may run."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.plugins import is_junk
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    for source in workspace.plugin_sources:
        files = [entry for entry in source.files if not is_junk(entry.name)]
        scripts = [
            entry
            for entry in files
            if entry.name.endswith(".sh") or (not entry.name.endswith(".py") and entry.read(2) == b"#!")
        ]
        if source.archive and files and all(entry.mode is None for entry in files):
            if scripts:
                yield Hit(
                    "the archive holds no file modes (it was made on Windows): no script in it can be run",
                    source.path,
                    excerpt=scripts[0].name,
                    fix="build it on Linux or macOS, or with `mwaa-local package`",
                )
            continue
        for entry in scripts:
            if not entry.executable:
                yield Hit(
                    f"{entry.name} may not be executed",
                    entry.path,
                    excerpt=entry.name if source.archive else "",
                    fix=f"chmod 755 {entry.name}, then zip again" if source.archive else f"chmod 755 {entry.name}",
                    key=entry.name,
                )


RULE = Rule(
    id="PLG004",
    severity=Severity.WARNING,
    area=Area.PLUGINS,
    title="Script without execute mode",
    why="MWAA keeps the modes that the archive holds; an operator that runs the script ends with `Permission denied`",
    source="spec/05 T-11, PF-11, spec/04 section 11.1",
    fix="chmod -R 755 . before zipping",
    check=check,
)
