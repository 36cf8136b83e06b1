"""What a followed script's shell knows at one point, and how two points come together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mwaa_local.catalog import limits
from mwaa_local.preflight.readings import shell_tree as tree
from mwaa_local.preflight.readings.shell_words import Texts, few

# Variables that a container has and nobody here knows; any other is unset until the script sets it.
_CONTAINERS = re.compile(
    r"(AIRFLOW|MWAA|AWS|ECS|JWT|CUSTOMER|WATCHTOWER|PYTHON|BASH|LC|EPOCH|FUNC)_?.*|PATH|LANG|TZ|HOSTNAME|USER|LOGNAME|"
    r"SHELL|TERM|PWD|OLDPWD|CLASSPATH|GUNICORN_CMD_ARGS|RANDOM|SRANDOM|SECONDS|LINENO|UID|EUID|PPID|IFS|REPLY|OPTARG|"
    r"SQLALCHEMY_SILENCE_UBER_WARNING|\W|\d+"
)


@dataclass(frozen=True)
class Variable:
    """A variable of the shell: possible values, may it be unset, may it be exported, and where it was set."""

    values: Texts
    unset: bool
    exported: frozenset[bool]
    line: int = 0


@dataclass(frozen=True)
class Surroundings:
    """What a script finds: variables with their values, and folders of the container with where they lie here."""

    variables: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    home: str = field(default_factory=lambda: limits().home)

    def file(self, text: str) -> Path | None:
        """A file of the workspace by its path in the container."""
        full = text if text.startswith("/") else f"{self.home}/{text}"
        for folder, place in self.folders.items():
            if full.startswith(f"{folder}/"):
                found = (place / full[len(folder) + 1 :]).resolve()
                return found if found.is_relative_to(place.resolve()) and found.is_file() else None
        return None


class State:
    """The shell at one point; :class:`shell_words.Variables`."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = given
        self.variables: dict[str, Variable] = {}
        self.functions: dict[str, tree.Node] = {}
        self.all_export: frozenset[bool] = frozenset({False})
        self.arguments: Texts | None = None
        self.opened: tuple[int, str] | None = None
        self.moved = False
        self.line = 0  # of the command that runs

    def copy(self) -> State:
        other = State(self.given)
        other.variables, other.functions = dict(self.variables), dict(self.functions)
        other.all_export, other.arguments = self.all_export, self.arguments
        other.opened, other.moved, other.line = self.opened, self.moved, self.line
        return other

    def variable(self, name: str) -> Variable:
        known = self.variables.get(name)
        if known is not None:
            return known
        if name in self.given:
            return Variable((self.given[name],), False, frozenset({True}))
        if _CONTAINERS.fullmatch(name):
            return Variable((None,), False, frozenset({True}))
        return Variable((None,) if self.opened else (), True, frozenset({False}))

    def look_up(self, name: str) -> tuple[Texts, bool]:
        if self.arguments is not None and re.fullmatch(r"[1-9]", name):
            at = int(name) - 1
            return ((self.arguments[at],), False) if at < len(self.arguments) else ((), True)
        found = self.variable(name)
        return found.values, found.unset

    def assign(self, name: str, values: Texts, line: int = 0, *, export: bool = False) -> None:
        before = self.variable(name)
        exported = before.exported
        if export or self.all_export == {True}:
            exported = frozenset({True})
        elif True in self.all_export:
            exported |= {True}
        self.variables[name] = Variable(values, False, exported, line or self.line or before.line)

    def open(self, line: int, text: str) -> None:
        self.opened = self.opened or (line, " ".join(text.split())[:80])
        for name, found in self.variables.items():
            self.variables[name] = replace(found, values=few((*found.values, None)))


def merged(states: Sequence[State | None]) -> State | None:
    """One state for several ways that come together; ``None`` when none goes on."""
    going = [state for state in states if state is not None]
    if not going:
        return None
    whole, *others = going
    for other in others:
        names = dict.fromkeys((*whole.variables, *other.variables))
        whole, before = whole.copy(), whole
        for name in names:
            one, two = before.variable(name), other.variable(name)
            whole.variables[name] = (
                one
                if one == two
                else Variable(
                    few((*one.values, *two.values)),
                    one.unset or two.unset,
                    one.exported | two.exported,
                    one.line or two.line,
                )
            )
        whole.functions = {**other.functions, **whole.functions}
        whole.all_export |= other.all_export
        whole.opened = whole.opened or other.opened
        whole.moved |= other.moved
    return whole
