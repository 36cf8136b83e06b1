"""PLG007: Python files that are run as plugins and are none."""

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
    seen = {
        path.relative_to(root).as_posix()
        for path in ignore.looked_at(root, workspace.ignore_syntax, engine=workspace.parsing.ignore_engine)
    }
    plain = [entry for entry, file in source.python if entry.name in seen and not file.plugins]
    if not plain:
        return
    has_file = any(entry.base == ignore.IGNORE_FILE for entry in source.files)
    folders = sorted({entry.name.split("/", 1)[0] + ("/" if "/" in entry.name else "") for entry in plain})
    what = (
        f"{len(plain)} Python files here define no plugin and are run at every start"
        if len(plain) > 1
        else f"{plain[0].name} defines no plugin and is run at every start"
    )
    how = "no line of .airflowignore names them" if has_file else "there is no .airflowignore"
    yield Hit(
        f"{what}: {how}",
        plain[0].path,
        excerpt="" if not source.archive else plain[0].name,
        fix=f"add to plugins/.airflowignore: {', '.join(folders[:6])}",
        key="airflowignore",
    )


RULE = Rule(
    id="PLG007",
    severity=Severity.WARNING,
    area=Area.PLUGINS,
    title="Missing .airflowignore",
    why=(
        "the guide asks for every file in the plugins folder that defines no plugin or DAG to be listed in "
        ".airflowignore: Airflow executes each Python file it finds there, under its bare name, in every "
        "component. Listed files can still be imported"
    ),
    source="spec/04 section 11.1",
    fix="List folders of operators, hooks and helpers in plugins/.airflowignore",
    check=check,
)
