"""SUP006: an update of the system that may replace Python."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_WORDS = ("update", "upgrade", "distro-sync")


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    for command in script.commands:
        if command.name not in ("yum", "dnf"):
            continue
        names = [word for word in command.arguments if not word.startswith("-")]
        if not names or names[0] not in _WORDS or len(names) > 1:
            continue  # an update of named packages says itself what it touches
        if not any(word.startswith(("--exclude=python", "-x=python")) for word in command.arguments) and not _excluded(
            command.arguments
        ):
            yield Hit(
                f"{command.name} {names[0]} without --exclude=python* may change the system's Python",
                script.source.path,
                command.line,
                fix=f"sudo {command.name} {names[0]} -y --exclude=python*",
            )


def _excluded(words: list[str]) -> bool:
    return any(
        word in ("--exclude", "-x") and following.startswith("python") for word, following in itertools.pairwise(words)
    )


RULE = Rule(
    id="SUP006",
    severity=Severity.ERROR,
    area=Area.STARTUP,
    title="System update without the Python exclude",
    why=(
        "the guide requires --exclude=python*: the Python that Airflow and the package manager run on must stay "
        "what it is"
    ),
    source="spec/04 sections 8.1 and 8.3",
    fix="sudo yum update -y --exclude=python*",
    check=check,
)
