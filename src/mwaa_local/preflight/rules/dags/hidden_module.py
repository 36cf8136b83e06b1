"""DAG016: a helper module that can never be imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    root = workspace.dags.path
    if not root.is_dir():
        return
    taken = {*sys.stdlib_module_names, "airflow"}
    names: dict[str, Path] = {}
    for path in workspace.dags.files:
        parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
        if path.suffix == ".py" and parts:
            top = parts[0].removesuffix(".py")
            if top in taken and (len(parts) == 1 or parts[1] == "__init__.py"):
                names.setdefault(top, path)
    if not names:
        return
    for file in workspace.dags.python:
        for item in file.imports:
            top, _, rest = item.name.partition(".")
            helper = names.get(top)
            if helper is None or helper == file.path or not rest:
                continue
            own = workspace.dags.by_path.get(helper)
            # Only a name that the file of the project defines was meant to come from it.
            if own is not None and any(getattr(node, "name", None) == rest for node in own.tree.body):
                yield Hit(
                    f"`{top}` is Python's own module, not {workspace.relative(own.path)}: {rest} will not be found",
                    file.path,
                    item.line,
                    fix=f"rename {own.path.name}",
                    key=item.name,
                )


RULE = Rule(
    id="DAG016",
    severity=Severity.ERROR,
    area=Area.DAGS,
    title="Helper module hidden by Python's own",
    why=(
        "the DAG folder comes last on the module path: a helper with the name of a standard module, or of "
        "airflow, is never found"
    ),
    source="spec/10 section 5.1",
    fix="Rename the helper",
    check=check,
)
