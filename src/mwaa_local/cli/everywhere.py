"""The options that every command shares, accepted before the command and after it.

``mwaa-local --engine process up`` and ``mwaa-local up --engine process`` are the same; where both are given, the one
after the command counts. A command that hands its words on (``airflow``) takes them up to the first word that is not an
option: what follows belongs to Airflow.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from mwaa_local.cli import output
from mwaa_local.cli.context import Settings, settings

PANEL = "Options of every command, before or after it"
# Words after these commands are somebody else's; an option that only Airflow could mean is left to it.
PASSING_ON = frozenset({"airflow"})


def _project(chosen: Settings, value: Path) -> Settings:
    return replace(chosen, project=value)


def _engine(chosen: Settings, value: str) -> Settings:
    return replace(chosen, flags={**chosen.flags, "Local.Engine": value})


def _name(chosen: Settings, value: str) -> Settings:
    return replace(chosen, flags={**chosen.flags, "Name": value})


def _debug(chosen: Settings, _value: bool) -> Settings:
    output.show_tracebacks()
    return chosen


# Name of a shared option's parameter to what it changes.
CHANGES: dict[str, Callable[[Settings, Any], Settings]] = {
    "project": _project,
    "name": _name,
    "engine": _engine,
    "debug": _debug,
}


def spread(group: TyperGroup) -> TyperGroup:
    """Give every command below a group the group's own options.

    Args:
        group: The command line; its callback has stored :class:`Settings` before a command is read.
    """
    shared = [param for param in group.params if param.name in CHANGES or param.name == "version"]
    for param in shared:
        _in_panel(param)
    for command in commands(group):
        for param in shared:
            if param.name == "version" and command.name in PASSING_ON:
                continue
            command.params.append(_near(param))
    return group


def commands(group: TyperGroup) -> Iterator[Any]:
    """Every command below a group, however deep."""
    for command in group.commands.values():
        if isinstance(command, TyperGroup):
            yield from commands(command)
        else:
            yield command


def _in_panel(param: Any) -> None:
    param.rich_help_panel = PANEL


def _near(param: Any) -> Any:
    """The option as a command has it: it changes what the options before the command said."""
    made = copy.copy(param)
    made.expose_value = False
    if param.name in CHANGES:
        made.default = None
        made.show_default = False
        made.callback = _merge
    return made


def _merge(context: typer.Context, param: Any, value: Any) -> None:
    if value not in (None, False):
        context.obj = CHANGES[param.name](settings(context), value)
