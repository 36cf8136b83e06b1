"""The startup script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from mwaa_local.preflight.readings import components, shell, shell_run
from mwaa_local.preflight.readings.shell import Command
from mwaa_local.preflight.readings.shell_run import Exports
from mwaa_local.preflight.readings.shell_state import Surroundings
from mwaa_local.preflight.readings.text import TextFile


@dataclass(frozen=True)
class Export:
    """A variable that the script exports; ``value`` is ``None`` where only running the script would tell."""

    name: str
    value: str | None
    line: int
    components: frozenset[str]


@dataclass(frozen=True)
class StartupScript:
    """A startup script, read and taken apart once.

    Attributes:
        surroundings: What it finds in a container, as far as the workspace tells.
    """

    source: TextFile
    surroundings: Surroundings = field(default_factory=Surroundings)

    @cached_property
    def commands(self) -> tuple[Command, ...]:
        """Simple commands in order, with the components they run on; keywords are left out."""
        found = shell.commands(self.source.text)
        components.assign(found)
        return tuple(command for command in found if not command.keyword)

    @cached_property
    def exports(self) -> tuple[Export, ...]:
        """Every exported variable, in order."""
        return tuple(self._exports())

    def _exports(self) -> Iterator[Export]:
        held: dict[str, tuple[str, int]] = {}
        everything = any(command.name == "set" and "-a" in command.arguments for command in self.commands)
        for command in self.commands:
            if command.subshell:
                continue
            for name, value in command.assignments:
                if not command.words:
                    held[name] = (value, command.line)
                    if everything:
                        yield Export(name, _literal(value), command.line, command.components)
            if command.name == "export" or (command.name in ("declare", "typeset") and "-x" in command.arguments):
                for word in command.arguments:
                    if word.startswith("-"):
                        continue
                    name, sign, value = word.partition("=")
                    if not sign:
                        value = held.get(name, ("$", 0))[0]
                    if re.fullmatch(r"[A-Za-z_]\w*", name):
                        yield Export(name, _literal(value), command.line, command.components)

    @cached_property
    def _exported(self) -> dict[str, Exports]:
        return {}

    def exported(self, component: str) -> Exports:
        """What the script exports on one component; its branches are followed, nothing is run.

        Args:
            component: ``scheduler``, ``worker`` or ``webserver``. DAG files are parsed in the scheduler component.
        """
        if component not in self._exported:
            own = dict.fromkeys(("MWAA_AIRFLOW_COMPONENT", "MWAA_COMMAND"), component)
            given = replace(self.surroundings, variables={**self.surroundings.variables, **own})
            self._exported[component] = shell_run.exports(self.source.text, given)
        return self._exported[component]

    def installs(self, package: str) -> bool:
        """Whether the script installs an operating system package."""
        return any(
            command.name in ("yum", "dnf")
            and "install" in command.arguments
            and any(package and package in word for word in command.arguments)
            for command in self.commands
        )


def _literal(value: str) -> str | None:
    return None if "$" in value or "`" in value else value
