"""PLG016: a plugin that .airflowignore hides."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings import ignore
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    source = workspace.plugins
    if source is None or source.error:
        return
    root = workspace.plugins_folder
    seen = {path.relative_to(root).as_posix() for path in ignore.looked_at(root, workspace.ignore_syntax)}
    for entry, file in source.python:
        if file.plugins and entry.name not in seen:
            plugin = file.plugins[0]
            yield Hit(
                f"{plugin.name} is never loaded: a line of .airflowignore hides {entry.name}",
                source.place(entry),
                plugin.lineno,
                key=entry.name,
            )


RULE = Rule(
    id="PLG016",
    severity=Severity.ERROR,
    area=Area.PLUGINS,
    title="Plugin hidden by .airflowignore",
    why=(
        "the plugin manager passes over what .airflowignore lists; the file is not reported anywhere, its plugin "
        "is just not there"
    ),
    source="spec/04 section 11.1",
    fix="Take the file out of .airflowignore; list only files that define no plugin",
    check=check,
)
