"""SUP010: an installation that asks first."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_ASKING = {
    "yum": ("install", "update", "upgrade", "remove", "erase", "groupinstall"),
    "dnf": ("install", "update", "upgrade", "remove", "groupinstall"),
    "pip": ("uninstall",),
    "pip3": ("uninstall",),
}


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    for command in script.commands if script else ():
        words = _ASKING.get(command.name)
        if script is None or words is None or not any(word in words for word in command.arguments[:3]):
            continue
        agreed = any(
            word in ("--assumeyes", "--yes") or (word.startswith("-") and not word.startswith("--") and "y" in word)
            for word in command.arguments
        )
        if not agreed and command.after != "|":
            yield Hit(
                f"{command.name} asks for a yes that nobody can give",
                script.source.path,
                command.line,
                fix=f"add -y: {command.name} -y {' '.join(command.arguments)}",
            )


RULE = Rule(
    id="SUP010",
    severity=Severity.ERROR,
    area=Area.STARTUP,
    title="Installation that asks",
    why="nobody sits at the container: the question is answered with no, and nothing is installed",
    source="spec/04 section 8.3",
    fix="Add -y",
    check=check,
)
