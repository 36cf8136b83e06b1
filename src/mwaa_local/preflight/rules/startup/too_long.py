"""SUP009: a script that does not end in time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.catalog import limits
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.shell import Command
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _slept(command: Command) -> float:
    total = 0.0
    for word in command.arguments:
        if word == "infinity":
            return float("inf")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", word)
        total += float(match.group(1)) * _UNITS[match.group(2)] if match else 0.0
    return total


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    limit = limits().startup_script_seconds - limits().startup_script_patience_seconds
    total, said = 0.0, False
    for command in script.commands:
        if command.before == "&":
            continue
        if command.name == "sleep":
            total += _slept(command)
            if total >= limit and not said:
                said = True
                yield Hit(
                    f"by this line the script has slept {total:g} s; MWAA ends it after {limit} s",
                    script.source.path,
                    command.line,
                    key="sleep",
                )
        elif command.name == "tail" and any(word in ("-f", "-F", "--follow") for word in command.arguments):
            yield Hit(
                "tail -f never ends",
                script.source.path,
                command.line,
                fix="leave it out; the script's output is in its log stream anyway",
            )
        elif command.name in ("python", "python3") and "http.server" in command.arguments:
            yield Hit(
                "a server in the foreground never ends", script.source.path, command.line, fix="end the line with &"
            )
        elif (
            command.name == "read"
            and command.after != "|"
            and not command.inputs
            and "-t" not in command.arguments
            and not command.subshell
            and not _in_loop(workspace, command)
        ):
            yield Hit(
                "read waits for somebody to type",
                script.source.path,
                command.line,
                fix="take the value from a variable",
            )
    text = script.source.lines
    for number, line in enumerate(text, 1):
        if re.match(r"\s*while\s+(true|:|\[\s*1\s*\]|\(\(\s*1\s*\)\))\s*(;|$)", line) and not _has_way_out(
            text[number - 1 :]
        ):
            yield Hit(
                "a loop without an end",
                script.source.path,
                number,
                fix="bound it: for i in $(seq 10); do ...; sleep 1; done",
            )


def _in_loop(workspace: Workspace, command: Command) -> bool:
    script = workspace.startup
    return script is not None and bool(re.search(r"\bwhile\b.*\bread\b", script.source.line(command.line)))


def _has_way_out(lines: list[str]) -> bool:
    for line in lines:
        if re.search(r"\b(break|exit|return)\b", line):
            return True
        if re.match(r"\s*done\b", line):
            return line.rstrip().endswith("&")
    return False


RULE = Rule(
    id="SUP009",
    severity=Severity.ERROR,
    area=Area.STARTUP,
    title="Script that does not end in time",
    why=(
        "the script has five minutes on every start of every component; then it is killed, its variables are "
        "lost and the component does not start"
    ),
    source="spec/04 section 8.4, spec/10 sections 3.1 and 3.3",
    fix="Shorten it, or put the long work into a task",
    check=check,
)
