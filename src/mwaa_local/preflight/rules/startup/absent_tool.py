"""SUP007: a command that MWAA's image does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.catalog.image_tools import absent_tools
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    absent = absent_tools()
    installed: set[str] = set()
    defined = set(re.findall(r"^\s*(?:function\s+)?([\w-]+)\s*\(\)", script.source.text, re.MULTILINE))
    said: set[str] = set()
    tested: set[str] = set()
    for command in script.commands:
        if command.name in ("yum", "dnf") and any(word in ("install", "localinstall") for word in command.arguments):
            installed.update(word for word in command.arguments if not word.startswith("-"))
        # `command -v wget` asks first; what depends on it knows.
        if command.words[:1] in (["command"], ["type"], ["hash"]) and len(command.words) > 1:
            tested.add(command.words[-1])
            continue
        tool = absent.get(command.name)
        if tool is None or tool.command in said or tool.command in defined or tool.command in tested:
            continue
        if tool.command in installed or (tool.package and any(_same(word, tool.package) for word in installed)):
            continue
        said.add(tool.command)
        yield Hit(f"{tool.command} is not in MWAA's image", script.source.path, command.line, fix=tool.hint)


def _same(word: str, package: str) -> bool:
    return word == package or word.startswith(re.sub(r"\d+$", "", package))


RULE = Rule(
    id="SUP007",
    severity=Severity.ERROR,
    area=Area.STARTUP,
    title="Command not in the image",
    why=(
        "the image is a small Amazon Linux 2023; `command not found` does not stop the script, so everything "
        "after it works on what is not there"
    ),
    source="spec/10 section 5.4",
    fix="Install it first with sudo dnf install -y, or use what is there",
    check=check,
)
