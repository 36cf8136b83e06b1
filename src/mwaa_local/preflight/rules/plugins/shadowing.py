"""PLG014: modules that hide others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

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
    stems: dict[str, str] = {}
    for entry, file in source.python:
        path = PurePosixPath(entry.name)
        # A file that is executed as a plugin becomes the module of its bare name, whatever folder it lies in.
        name = path.stem if entry.name in seen else ""
        if name and name != "__init__" and (name in sys.stdlib_module_names or name == "airflow"):
            yield Hit(
                f"{entry.name} takes the place of the module {name!r}",
                source.place(entry),
                fix=f"rename it: my_{name}.py",
                key=name,
            )
        elif entry.name in seen and file.plugins:
            if name in stems:
                yield Hit(
                    f"{entry.name} and {stems[name]} both become the module {name!r}",
                    source.place(entry),
                    fix="rename one of them",
                    severity=Severity.WARNING,
                    key=name,
                )
            stems.setdefault(name, entry.name)


RULE = Rule(
    id="PLG014",
    severity=Severity.ERROR,
    area=Area.PLUGINS,
    title="Module hides another",
    why=(
        "the plugins folder is on the module path, and Airflow registers each plugin file under its bare name: a "
        "file called logging.py or airflow.py breaks every import of the real one"
    ),
    source="spec/04 section 11.3",
    fix="Rename the file",
    check=check,
)
