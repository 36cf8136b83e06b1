"""PLG013: a plugin that sets variables, loaded too late."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.python import PythonFile
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def _sets_environment(file: PythonFile) -> int:
    """The line where a file changes ``os.environ`` while it is imported; 0 for nowhere."""
    for call in file.calls:
        if call.name in (
            "os.putenv",
            "os.environ.update",
            "os.environ.setdefault",
            "environ.update",
            "environ.setdefault",
        ):
            return call.line
    for node in file.tree.body:
        for inner in ast.walk(node) if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ():
            targets = (
                inner.targets
                if isinstance(inner, ast.Assign)
                else [inner.target]
                if isinstance(inner, ast.AugAssign)
                else []
            )
            for target in targets:
                if isinstance(target, ast.Subscript) and file.dotted(target.value) in ("os.environ", "environ"):
                    return target.lineno
    return 0


def check(workspace: Workspace) -> Iterator[Hit]:
    source = workspace.plugins
    if source is None or workspace.option("core.lazy_load_plugins", "True").strip().lower() in (
        "false",
        "0",
        "f",
        "no",
        "off",
    ):
        return
    for entry, file in source.python:
        line = _sets_environment(file)
        if line:
            yield Hit(
                "the plugin changes os.environ, but plugins are loaded on first need: tasks may run without it",
                source.place(entry),
                line,
            )


RULE = Rule(
    id="PLG013",
    severity=Severity.WARNING,
    area=Area.PLUGINS,
    title="Variables set by a lazily loaded plugin",
    why=(
        "core.lazy_load_plugins is True on MWAA; a plugin that sets LD_LIBRARY_PATH or the like must be loaded "
        "when each process starts (the guide's Oracle example: libclntsh.so cannot be opened)"
    ),
    source="spec/04 section 4.2, spec/05 T-27, PF-10",
    fix='AirflowConfigurationOptions: {core.lazy_load_plugins: "False"}, or export the variable in the startup script',
    check=check,
)
