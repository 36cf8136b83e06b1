"""SUP011: work that needs root without sudo."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog import limits
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_ROOT_COMMANDS = frozenset(
    {"yum", "dnf", "rpm", "ldconfig", "alternatives", "update-ca-trust", "chown", "update-crypto-policies"}
)
_WRITABLE = ("/tmp", "/var/tmp", "/dev/")
_WRITERS = {"mkdir": 1, "touch": 1, "tee": 1, "rm": 1, "chmod": 2, "ln": 0, "cp": 0, "mv": 0, "install": 0}
_READING = frozenset({"list", "info", "search", "repolist", "--version", "-q", "-qa", "check-update", "provides"})


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    for command in script.commands:
        if command.sudo:
            continue
        if command.name in _ROOT_COMMANDS:
            if command.name == "chown" and not any(_outside(word) for word in command.arguments):
                continue
            if not any(word in _READING for word in command.arguments):
                yield Hit(
                    f"{command.name} needs root, and the script runs as the user airflow",
                    script.source.path,
                    command.line,
                    fix=f"sudo {command.name} {' '.join(command.arguments)}",
                )
            continue
        targets = [word for word in command.redirects if _outside(word)]
        if command.name in _WRITERS:
            plain = [word for word in command.arguments if not word.startswith("-")]
            first = _WRITERS[command.name]
            # cp and mv write to the last word only.
            targets += [word for word in (plain[first - 1 :] if first else plain[-1:]) if _outside(word)]
        for target in targets:
            yield Hit(
                f"{target} belongs to root, and the script runs as the user airflow",
                script.source.path,
                command.line,
                fix="write below the home folder or /tmp, or use sudo (`... | sudo tee FILE`)",
            )


def _outside(word: str) -> bool:
    return word.startswith("/") and not word.startswith((limits().home, *_WRITABLE))


RULE = Rule(
    id="SUP011",
    severity=Severity.ERROR,
    area=Area.STARTUP,
    title="Root needed",
    why=(
        "the script runs as the unprivileged user airflow; sudo works without a password, and nothing else "
        "writes outside of the home folder and /tmp"
    ),
    source="spec/04 section 8.1, spec/10 section 5.3",
    fix="Use sudo",
    check=check,
)
