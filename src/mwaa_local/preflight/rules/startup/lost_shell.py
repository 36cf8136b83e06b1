"""SUP004: the shell is replaced or left for good."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    for command in script.commands:
        if command.subshell or not command.words:
            continue
        # `exec >log` alone redirects; with a program it replaces the shell.
        if command.words[0] == "exec" and len(command.words) > 1:
            yield Hit(
                f"exec {command.words[1]} replaces the shell that has to save the variables",
                script.source.path,
                command.line,
            )
        elif command.words[:2] == ["builtin", "exit"] or command.raw[0] == "\\exit":
            yield Hit(
                "this leaves the shell past MWAA's own exit, which saves the variables",
                script.source.path,
                command.line,
                fix="write a plain `exit`",
            )


RULE = Rule(
    id="SUP004",
    severity=Severity.ERROR,
    area=Area.STARTUP,
    title="exec or builtin exit",
    why=(
        "after the script MWAA reads the variables it exported; where the shell was replaced they are missing, "
        "which is fatal: the component never starts"
    ),
    source="spec/10 section 3.3",
    fix="Run the program without exec, in the background if it has to stay",
    check=check,
)
