"""SUP003: set -e and set -u."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.shell import Command
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_NAMES = {"errexit": "e", "nounset": "u"}


def _switched_on(command: Command) -> set[str]:
    found: set[str] = set()
    words = list(command.arguments)
    while words:
        word = words.pop(0)
        if word == "-o" and words:
            found |= {_NAMES[words[0]]} & {"e", "u"} if words[0] in _NAMES else set()
            words.pop(0)
        elif word.startswith("-") and not word.startswith("--"):
            found |= set(word) & {"e", "u"}
            if word.endswith("o") and words:
                found |= {_NAMES[words[0]]} if words[0] in _NAMES else set()
                words.pop(0)
    return found


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    for command in script.commands if script else ():
        if command.name != "set" or command.subshell or script is None:
            continue
        found = _switched_on(command)
        if "e" in found:
            yield Hit(
                "with set -e the first failing command keeps the component from starting at all",
                script.source.path,
                command.line,
                key="e",
            )
        if "u" in found:
            yield Hit(
                "with set -u an unset variable keeps the component from starting at all",
                script.source.path,
                command.line,
                key="u",
            )


RULE = Rule(
    id="SUP003",
    severity=Severity.WARNING,
    area=Area.STARTUP,
    title="set -e or set -u",
    why=(
        "MWAA sources the script and saves its variables at the end; a shell that leaves early saves nothing, "
        "the component is marked unhealthy, and the environment rolls back. `exit 1` would be harmless: MWAA "
        "turns it into a saved, successful end"
    ),
    source="spec/10 section 3.3",
    fix='Leave it out, and write `command || echo "command failed"` where a failure matters',
    check=check,
)
