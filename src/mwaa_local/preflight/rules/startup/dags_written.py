"""SUP014: files written where MWAA's synchronisation removes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.catalog import limits
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_WRITERS = frozenset({"mkdir", "touch", "tee", "cp", "mv", "ln", "install", "unzip", "git"})


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    folder = re.compile(rf"({re.escape(limits().home)}|\$\{{?AIRFLOW_HOME\}}?|\$\{{?HOME\}}?|~)?/?\bdags(/|$)")
    for command in script.commands:
        targets = list(command.redirects)
        if command.name in _WRITERS and command.arguments:
            targets.append(command.arguments[-1])
        for target in targets:
            if folder.match(target):
                yield Hit(
                    f"{target} lies in the DAG folder, which mirrors the bucket", script.source.path, command.line
                )


RULE = Rule(
    id="SUP014",
    severity=Severity.WARNING,
    area=Area.STARTUP,
    title="File written into the DAG folder",
    why=(
        "the DAG folder is a mirror of the bucket, renewed every 30 seconds with deletions; a file made here is "
        "not in the bucket and not on the other components"
    ),
    source="spec/04 sections 10.2 and 13, spec/07 section 0.3",
    fix="Upload the file with the DAGs, or write it to /tmp or the home folder",
    check=check,
)
