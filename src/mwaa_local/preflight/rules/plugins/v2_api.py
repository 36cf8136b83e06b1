"""PLG009: plugin attributes that this Airflow does not look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mwaa_local.catalog.upgrade import plugin_attributes
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def _assigned(plugin: ast.ClassDef) -> Iterator[tuple[str, int]]:
    for node in plugin.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        empty = isinstance(value, ast.List | ast.Tuple) and not value.elts
        for target in targets:
            if isinstance(target, ast.Name) and not empty:
                yield target.id, node.lineno


def check(workspace: Workspace) -> Iterator[Hit]:
    source = workspace.plugins
    if source is None:
        return
    major, new = workspace.version.series, workspace.version.has("ui_of_3")
    gone = plugin_attributes("gone") if new else plugin_attributes("new") | plugin_attributes("v2_gone")
    for entry, file in source.python:
        for plugin in file.plugins:
            for name, line in _assigned(plugin):
                place = source.place(entry)
                if name in gone:
                    fix = (
                        "import the class by its module: the plugins folder is on the module path"
                        if name in ("operators", "hooks", "sensors")
                        else "remove it"
                    )
                    if not new and name not in ("operators", "sensors"):
                        fix = "it needs Airflow 3: use flask_blueprints or appbuilder_views on Airflow 2"
                    yield Hit(
                        f"Airflow {major} does not look at {plugin.name}.{name}",
                        place,
                        line,
                        fix=fix,
                        # On Airflow 2 the rest of the plugin works as ever; on 3 what it was written for is lost.
                        severity=None if new else Severity.WARNING,
                        key=name,
                    )
                elif new and name in plugin_attributes("dropped"):
                    yield Hit(
                        f"Airflow 3 shows nothing of {plugin.name}.{name}",
                        place,
                        line,
                        fix="use external_views or react_apps",
                        key=name,
                    )
                elif new and name in plugin_attributes("legacy"):
                    yield Hit(
                        (
                            f"{plugin.name}.{name} is served by the old web application below /pluginsv2 only, "
                            "outside of the new UI"
                        ),
                        place,
                        line,
                        fix="use fastapi_apps and external_views",
                        severity=Severity.WARNING,
                        key=name,
                    )


RULE = Rule(
    id="PLG009",
    severity=Severity.ERROR,
    area=Area.PLUGINS,
    title="Plugin API of another Airflow version",
    why=(
        "Airflow ignores plugin attributes that it does not know without a word: operators, hooks, sensors, "
        "executors and dependencies listed in a plugin are lost on Airflow 3, FastAPI apps and React apps on "
        "Airflow 2"
    ),
    source="spec/04 section 11.3, spec/05 T-13",
    fix="Use the attributes of this version",
    check=check,
)
