"""``mwaa.yaml`` read to the end: every fault it has, and the environment that its good fields describe.

The model refuses a definition at its first fault, which is right for ``up``. Here the faults are the result, and the
other areas still have to be checked against something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mwaa_local.catalog import default_version
from mwaa_local.errors import DefinitionError
from mwaa_local.model import Environment, checks, definition
from mwaa_local.model.checks import Value

# Fields whose bad values have a rule of their own.
_KEYS = frozenset({"KmsKey"})


@dataclass(frozen=True)
class Issue:
    """One fault of the definition.

    Attributes:
        kind: ``unreadable``, ``unknown``, ``value``, ``key``, ``locked``, ``domain``, ``count`` or ``access``; one rule
            reports each kind.
        field: Dotted field, empty where there is none.
        line: 1-based line in ``mwaa.yaml``; 0 when it came from a flag or variable.
    """

    kind: str
    field: str
    line: int
    what: str
    why: str
    hint: str


@dataclass(frozen=True)
class DefinitionReading:
    """Everything a definition file says.

    Attributes:
        path: ``mwaa.yaml``, which may not exist.
        values: Dotted field to its value and place, good ones only. Configuration options are inside
            ``AirflowConfigurationOptions`` as a mapping of option to ``Value``.
        environment: What the good fields describe.
    """

    path: Path
    values: Mapping[str, Value]
    issues: tuple[Issue, ...]
    environment: Environment

    def line(self, field: str) -> int:
        """The 1-based line a field stands on, 0 when the file does not set it."""
        value = self.values.get(field)
        return checks.line_of(value.place) if value else 0

    @property
    def options(self) -> Mapping[str, Value]:
        """Configuration options with their places."""
        value = self.values.get("AirflowConfigurationOptions")
        return value.value if value else {}

    def option_line(self, option: str) -> int:
        """The line of a configuration option, 0 when it is not set."""
        value = self.options.get(option)
        return checks.line_of(value.place) if value else 0


def read(project: Path, flags: Mapping[str, Any], variables: Mapping[str, str]) -> DefinitionReading:
    """Read a project's definition.

    Raises:
        DefinitionError: A flag or variable is wrong; the file never raises.
    """
    path = project / definition.FILE_NAME
    project = project.expanduser().resolve()
    faults: list[DefinitionError] = []
    try:
        values = definition.told(project, faults)
    except DefinitionError as error:
        values = {}
        faults.append(error)
    _without_bad_options(values, faults, flags, variables)
    while True:
        given, sources = definition.over(values, flags, variables)
        try:
            environment = definition.build(project, given, sources)
            break
        except DefinitionError as error:
            # Fields given by flags and variables are the caller's.
            field = next((name for name in error.fields if name in values and sources[name].kind == "file"), None)
            if field is None:
                raise
            if not checks.line_of(error.where):
                error.where = values[field].place
            faults.append(error)
            del values[field]
    issues = sorted(map(_issue, faults), key=lambda issue: issue.line)
    return DefinitionReading(path, values, tuple(issues), environment)


def _issue(error: DefinitionError) -> Issue:
    field = error.fields[0] if error.fields else ""
    kind = "key" if field in _KEYS and error.code == "value" else error.code
    return Issue(kind, field, checks.line_of(error.where), error.what, error.why, error.hint)


def _without_bad_options(
    values: dict[str, Value], faults: list[DefinitionError], flags: Mapping[str, Any], variables: Mapping[str, str]
) -> None:
    """Take out the options that the model refuses, by the newest version where the file's is not known."""
    field = "AirflowConfigurationOptions"
    held = values.get(field)
    if held is None:
        return
    told = {name: value for name, value in values.items() if name == "AirflowVersion"}
    chosen = definition.over(told, flags, variables)[0].get("AirflowVersion")
    airflow_version = chosen.value if chosen is not None else default_version()
    values[field] = Value(checks.check_options(held.value, airflow_version, faults), held.place)
