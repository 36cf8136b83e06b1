"""SUP016: pip install without constraints."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.utils import canonicalize_name

from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    essential = {canonicalize_name(name) for name in workspace.version.essential}
    active = False
    for command in script.commands:
        if command.name in ("source", ".") and any(word.endswith("/activate") for word in command.arguments):
            active = True
        elif command.name == "deactivate":
            active = False
        words = command.arguments
        if command.name in ("python", "python3") and words[:2] == ["-m", "pip"]:
            words = words[2:]
        elif command.name not in ("pip", "pip3"):
            continue
        if "install" not in words or active or re.search(r"(venv|virtualenv|env)[^ ]*/bin/", command.plain[0]):
            continue  # a virtual environment is the user's own
        names = [
            canonicalize_name(re.split(r"[\[=<>!~; ]", word)[0])
            for word in words[words.index("install") + 1 :]
            if not word.startswith("-")
        ]
        for name in names:
            if name in essential:
                yield Hit(
                    f"{name} is one of the packages MWAA's components depend on",
                    script.source.path,
                    command.line,
                    fix="remove it: the version in the image is the one that works",
                    severity=Severity.ERROR,
                    key=name,
                )
                break
        else:
            if not any(word in ("-c", "--constraint") or word.startswith("--constraint=") for word in words):
                yield Hit("pip install here knows nothing of MWAA's constraints", script.source.path, command.line)


RULE = Rule(
    id="SUP016",
    severity=Severity.WARNING,
    area=Area.STARTUP,
    title="pip install without constraints",
    why=(
        "requirements.txt is installed under the Airflow version's constraints and MWAA's essential pins; pip in "
        "the script is not, and can replace a package that Airflow needs"
    ),
    source="spec/10 sections 4.1 and 4.4",
    fix="Move the package to requirements.txt, or install it into a virtual environment",
    check=check,
)
