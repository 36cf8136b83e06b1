"""SUP017: a variable that never leaves the script."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    exported = {item.name for item in script.exports}
    text = script.source.text
    for command in script.commands:
        if command.words or command.subshell:
            continue
        for name, _ in command.assignments:
            if (
                not re.fullmatch(r"[A-Z][A-Z0-9_]+", name)
                or name in exported
                or name in ("PATH", "IFS", "PS1", "LD_LIBRARY_PATH")
            ):
                continue
            if not re.search(rf"\$\{{?[#!]?{name}\b", text):
                yield Hit(
                    f"{name} is set, never used in the script and not exported: no task will see it",
                    script.source.path,
                    command.line,
                    fix=f"export {name}=...",
                    key=name,
                )


RULE = Rule(
    id="SUP017",
    severity=Severity.WARNING,
    area=Area.STARTUP,
    title="Variable not exported",
    why=(
        "MWAA takes over the exported environment of the script; plain shell variables, functions, aliases and "
        "`cd` are lost"
    ),
    source="spec/10 section 3.2",
    fix="Write export before it",
    check=check,
)
