"""SUP012: another Python."""

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
        words = command.arguments
        if command.name in ("yum", "dnf") and "install" in words:
            for word in words:
                if re.fullmatch(r"python3?(\.?\d+)?", word):
                    yield Hit(
                        f"installing {word} does not change the Python that Airflow runs on",
                        script.source.path,
                        command.line,
                    )
        elif command.name in ("alternatives", "update-alternatives") and any("python" in word for word in words):
            yield Hit("the Python that Airflow runs on cannot be replaced", script.source.path, command.line)
        elif command.name == "ln" and words and re.search(r"/(usr/)?(local/)?bin/(python3?|pip3?)$", words[-1]):
            yield Hit(f"{words[-1]} is MWAA's own and must stay", script.source.path, command.line)
        elif command.name in ("pyenv", "conda", "micromamba") or any(
            "pyenv.run" in word or "miniconda" in word.lower() for word in words
        ):
            yield Hit("another Python installation does not become Airflow's", script.source.path, command.line)


RULE = Rule(
    id="SUP012",
    severity=Severity.WARNING,
    area=Area.STARTUP,
    title="Python replaced",
    why=(
        "MWAA's Python is fixed by the Airflow version and cannot be replaced or upgraded; a second one is seen "
        "by BashOperator tasks at most"
    ),
    source="spec/04 section 8.1, spec/10 section 5.4",
    fix="Choose the AirflowVersion that has the Python you need, or a virtual environment for single tasks",
    check=check,
)
