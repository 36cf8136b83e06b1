"""PLG003: an extra folder level in plugins.zip."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.plugins import is_junk
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_OUTER = ("plugins",)


def check(workspace: Workspace) -> Iterator[Hit]:
    for source in workspace.plugin_sources:
        names = [entry.name.replace("\\", "/") for entry in source.files if not is_junk(entry.name)]
        tops = {name.split("/", 1)[0] for name in names}
        if len(tops) != 1 or not all("/" in name for name in names):
            continue
        top = tops.pop()
        # A single package at the top is fine; a folder called plugins, or one that is no package, is the archive
        # maker's.
        package = f"{top}/__init__.py" in names
        holds_plugins = any(name.count("/") == 1 and name.endswith((".py", ".whl")) for name in names)
        if top in _OUTER or (source.archive and not package and holds_plugins):
            where = f"/usr/local/airflow/plugins/{top}/"
            yield Hit(f"everything lies below {top}/, so it ends up in {where}", source.path, excerpt=names[0])


RULE = Rule(
    id="PLG003",
    severity=Severity.ERROR,
    area=Area.PLUGINS,
    title="Extra folder level",
    why=(
        "the archive's own layout decides the tree below /usr/local/airflow/plugins, which is on the module "
        "path: one level more and `import operators.x` or --find-links finds nothing. Windows adds such a level "
        "when it compresses a folder"
    ),
    source="spec/04 section 11.1",
    fix="cd plugins && zip -r ../plugins.zip .",
    check=check,
)
