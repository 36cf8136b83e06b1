"""SUP015: PATH without what it held before."""

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
    for command in script.commands:
        pairs = list(command.assignments) if not command.words else []
        if command.name == "export":
            pairs += [(name, value) for name, _, value in (word.partition("=") for word in command.arguments) if value]
        for name, value in pairs:
            if name == "PATH" and not command.subshell and not re.search(r"\$\{?PATH\b", value):
                yield Hit(f"PATH becomes {value!r} alone", script.source.path, command.line)
        if command.name == "unset" and "PATH" in command.arguments:
            yield Hit("PATH is unset", script.source.path, command.line)


RULE = Rule(
    id="SUP015",
    severity=Severity.ERROR,
    area=Area.STARTUP,
    title="PATH replaced",
    why=(
        "MWAA saves the variables with a program it looks up on PATH right after the script; when it is not "
        "found the component never starts, and pip and airflow are found the same way"
    ),
    source="spec/10 section 3.3",
    fix='export PATH="/your/folder:$PATH"',
    check=check,
)
