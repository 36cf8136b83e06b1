"""SUP016: pip install without constraints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from packaging.utils import canonicalize_name

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings.shell import Command
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

# Where MWAA's own pip and Python lie; a program named with any other folder is a virtual environment's.
_OWN_FOLDERS = re.compile(
    r"(/usr)?(/local)?/s?bin|(~|\$\{?(HOME|AIRFLOW_HOME|AIRFLOW_USER_HOME)\}?|/usr/local/airflow)/\.local/bin"
)
_PYTHON, _PIP = re.compile(r"python[\d.]*"), re.compile(r"pip[\d.]*")
# Packages land in a folder of their own, out of Airflow's way.
_ELSEWHERE = re.compile(r"-t|--target|--prefix|--root|--python")


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    essential = {canonicalize_name(name) for name in workspace.version.essential}
    constrained = any(export.name == "PIP_CONSTRAINT" for export in script.exports)
    for command, active in _with_environment(script.commands):
        words = _pip_words(command)
        if "install" not in words or active or _of_environment(command.plain[0]):
            continue  # a virtual environment is the user's own
        if any(_ELSEWHERE.fullmatch(word.partition("=")[0]) for word in words):
            continue
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
            if not constrained and not _constrained(command, words):
                yield Hit("pip install here knows nothing of MWAA's constraints", script.source.path, command.line)


def _pip_words(command: Command) -> list[str]:
    """What a command gives to pip; empty for any other command."""
    words = command.arguments
    if _PIP.fullmatch(command.name):
        return words
    if _PYTHON.fullmatch(command.name) and "pip" in words:
        at = words.index("pip")
        if words[at - 1] == "-m" and all(word.startswith("-") for word in words[:at]):
            return words[at + 1 :]
    return []


def _of_environment(program: str) -> bool:
    folder = program.rpartition("/")[0]
    return bool(folder) and not _OWN_FOLDERS.fullmatch(folder)


def _with_environment(commands: Sequence[Command]) -> Iterator[tuple[Command, bool]]:
    """Each command, and whether a virtual environment is active there: activated, or first on PATH."""
    active: int | None = None  # how many subshells deep it was activated: it ends with them
    for command in commands:
        if active is not None and command.subshell < active:
            active = None
        if command.name in ("source", ".") and any(word.endswith("/activate") for word in command.arguments):
            active = command.subshell
        elif command.name == "deactivate":
            active = None
        pairs = [*command.assignments, *(_pair(word) for word in command.arguments if command.name == "export")]
        first = next((value.partition(":")[0] for name, value in pairs if name == "PATH"), "")
        if re.search(r"/bin$|VIRTUAL_?ENV", first) and not _OWN_FOLDERS.fullmatch(first):
            if command.words and command.name != "export":
                yield command, True  # PATH=... for this command alone
                continue
            active = command.subshell
        yield command, active is not None


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _constrained(command: Command, words: Sequence[str]) -> bool:
    return any(word.startswith(("--constraint", "-c")) for word in words) or any(
        name == "PIP_CONSTRAINT" for name, _ in command.assignments
    )


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
