"""PLG012: plugins without a name, or with the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.python import text_of
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    source = workspace.plugins
    seen: dict[str, Path] = {}
    for entry, file in source.python if source else ():
        assert source is not None
        for plugin in file.plugins:
            named = [
                node for node in plugin.body if isinstance(node, ast.Assign | ast.AnnAssign) and _target(node) == "name"
            ]
            if not named:
                if len(plugin.bases) == 1:
                    yield Hit(
                        f"plugin class {plugin.name} has no name",
                        source.place(entry),
                        plugin.lineno,
                        fix=f'name = "{plugin.name.lower()}"',
                        key=plugin.name,
                    )
                continue
            name = text_of(named[0].value)
            if name and name in seen:
                yield Hit(
                    f"plugin name {name!r} is already taken by {workspace.relative(seen[name])}: this one is skipped",
                    source.place(entry),
                    named[0].lineno,
                    fix="give it a name of its own",
                    key=name,
                )
            elif name:
                seen[name] = source.place(entry)


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else ""


RULE = Rule(
    id="PLG012",
    severity=Severity.ERROR,
    area=Area.PLUGINS,
    title="Plugin name missing or taken",
    why="Airflow refuses a plugin class without a name and skips one whose name it has seen",
    source="spec/04 section 11.1",
    fix="Give each plugin class a name of its own",
    check=check,
)
