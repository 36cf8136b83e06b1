"""``mwaa.yaml`` read to the end: every fault it has, and the environment that its good fields describe.

The model refuses a definition at its first fault, which is right for ``up``. Here the faults are the result, and the
other areas still have to be checked against something.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mwaa_local.catalog import locked_options
from mwaa_local.errors import DefinitionError
from mwaa_local.model import Environment, Source, definition, document, domain, plugins
from mwaa_local.model.document import Value

# Fields whose bad values have a rule of their own.
_KINDS = {"KmsKey": "key"}


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
        return _line(value.place) if value else 0

    @property
    def options(self) -> Mapping[str, Value]:
        """Configuration options with their places."""
        value = self.values.get("AirflowConfigurationOptions")
        return value.value if value else {}

    def option_line(self, option: str) -> int:
        """The line of a configuration option, 0 when it is not set."""
        value = self.options.get(option)
        return _line(value.place) if value else 0


def _line(place: str) -> int:
    match = re.search(r":(\d+)$", place)
    return int(match.group(1)) if match else 0


def _issue(kind: str, error: DefinitionError, field: str = "") -> Issue:
    return Issue(kind, field, _line(error.where), error.what, error.why, error.hint)


def read(project: Path, flags: Mapping[str, Any], variables: Mapping[str, str]) -> DefinitionReading:
    """Read a project's definition.

    Raises:
        DefinitionError: A flag or variable is wrong; the file never raises.
    """
    path = project / definition.FILE_NAME
    values: dict[str, Value] = {}
    issues: list[Issue] = []
    if path.is_file():
        try:
            _collect(path, values, issues)
        except DefinitionError as error:
            issues.append(_issue("unreadable", error))
    dropped: set[str] = set()
    chosen = str(_effective("AirflowVersion", values, flags, variables) or "")
    _drop_locked(values, issues, chosen)
    while True:
        try:
            environment = _load(project, values, flags, variables)
            break
        except DefinitionError as error:
            field = _culprit(error, values, dropped)
            if not field:
                raise
            dropped.add(field)
            kind = "access" if field == "WebserverAccessMode" else "count"
            if domain.OPTION in error.what:
                kind = "domain"
            line = _line(error.where) or _line(values[field].place)
            issues.append(dataclasses.replace(_issue(kind, error, field), line=line))
            del values[field]
    issues.sort(key=lambda issue: issue.line)
    return DefinitionReading(path, values, tuple(issues), environment)


def _effective(field: str, values: Mapping[str, Value], flags: Mapping[str, Any], variables: Mapping[str, str]) -> Any:
    if flags.get(field) is not None:
        return flags[field]
    name = definition.variable_name(field)
    return variables.get(name) or (values[field].value if field in values else None)


def _culprit(error: DefinitionError, values: Mapping[str, Value], dropped: set[str]) -> str:
    """The field of the file that an error of the whole is about; fields given by flags are the caller's."""
    for word in re.findall(r"[A-Z]\w+(?:\.\w+)*", error.what):
        if word in values and word not in dropped:
            return str(word)
    return ""


def _load(
    project: Path, values: Mapping[str, Value], flags: Mapping[str, Any], variables: Mapping[str, str]
) -> Environment:
    """Let the model itself judge the good fields: from a folder without a definition file, with the fields as flags."""
    variable_fields = {
        field
        for field in values
        if variables.get(definition.variable_name(field)) and not isinstance(values[field].value, dict)
    }
    given = {field: value.value for field, value in values.items() if field not in variable_fields}
    given.update({field: value for field, value in flags.items() if value is not None})
    with tempfile.TemporaryDirectory(prefix="mwaa-validate-") as empty:
        loaded = definition.load(Path(empty), flags=given, variables=variables)
        base = Path(empty).resolve()
    sources = {
        field: Source("file", values[field].place)
        if field in values and source.kind == "flag" and field not in flags
        else source
        for field, source in loaded.sources.items()
    }
    told = loaded.workflow

    def moved(path: Path) -> str:
        return str(path.relative_to(base) if path.is_relative_to(base) else path)

    workflow = definition.workflow(
        project,
        dags=moved(told.dags),
        plugins=moved(told.plugins),
        requirements=moved(told.requirements),
        startup_script=moved(told.startup_script),
        plugins_named=sources[plugins.FIELD].kind != "default",
    )
    return dataclasses.replace(loaded, project=project, workflow=workflow, sources=sources)


def _drop_locked(values: dict[str, Value], issues: list[Issue], airflow_version: str) -> None:
    """Take out the options that the model refuses as a whole, one issue each."""
    held = values.get("AirflowConfigurationOptions")
    if held is None:
        return
    with contextlib.suppress(DefinitionError):
        # An unknown version is an issue already; the newest one's rules count then.
        from mwaa_local.catalog import default_version, version

        try:
            airflow_version = version(airflow_version).airflow
        except DefinitionError:
            airflow_version = default_version()
    locked = {option.name for option in locked_options(airflow_version)}
    good: dict[str, Value] = {}
    for option, item in held.value.items():
        try:
            document.check_options({option: item}, airflow_version)
        except DefinitionError as error:
            kind = "locked" if option in locked else "domain" if option == domain.OPTION else "value"
            issues.append(_issue(kind, error, f"AirflowConfigurationOptions.{option}"))
        else:
            good[option] = item
    values["AirflowConfigurationOptions"] = Value(good, held.place)


def _collect(path: Path, values: dict[str, Value], issues: list[Issue]) -> None:
    """Walk the file field by field; every fault becomes an issue and the walk goes on.

    Raises:
        DefinitionError: There is no mapping to walk.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=loader)
    except (UnicodeDecodeError, yaml.YAMLError, OSError, RecursionError):
        document.parse(path)  # says it in the tool's words
        raise
    if node is None:
        return
    if not isinstance(node, yaml.MappingNode):
        document.parse(path)
        return
    if len(node.value) == 1 and node.value[0][0].value == "Environment":
        inner = node.value[0][1]
        if isinstance(inner, yaml.MappingNode):
            node = inner
    for field, child, place, _key in _members(node, path, issues, ""):
        _walk(field, child, place, path, values, issues)


def _members(
    node: yaml.MappingNode, path: Path, issues: list[Issue], parent: str
) -> list[tuple[str, yaml.Node, str, yaml.Node]]:
    seen: set[str] = set()
    result: list[tuple[str, yaml.Node, str, yaml.Node]] = []
    for key_node, child in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            issues.append(Issue("unknown", parent, line, "a field's name must be text", "", "write `Field: value`"))
            continue
        key = str(key_node.value)
        field = f"{parent}.{key}" if parent else key
        if key in seen:
            issues.append(
                Issue("unknown", field, line, f"field {document.short(key)} is given twice", "", "keep one of them")
            )
            continue
        seen.add(key)
        result.append((field, child, f"{path}:{line}", key_node))
    return result


def _walk(field: str, node: yaml.Node, place: str, path: Path, values: dict[str, Value], issues: list[Issue]) -> None:
    rule = document.rule_of(field)
    if rule is not None and rule.type == "object" and not rule.ignored and isinstance(node, yaml.MappingNode):
        members = _members(node, path, issues, field)
        for child_field, child, child_place, _key in members:
            _walk(child_field, child, child_place, path, values, issues)
        faulty = {issue.field for issue in issues}
        if any(child_field in faulty for child_field, *_ in members):
            return
    elif rule is not None and rule.type == "map" and isinstance(node, yaml.MappingNode):
        _walk_map(field, node, place, path, values, issues)
        return
    # The model's own walk judges one field at a time, so its words and its rules are the ones a user meets in `up`.
    found: dict[str, Value] = {}
    try:
        document._walk(field, node, place, found, str(path))
    except DefinitionError as error:
        kind = "unknown" if error.what.startswith("unknown field") else _KINDS.get(field, "value")
        issues.append(_issue(kind, error, field))
    else:
        values.update(found)


def _walk_map(
    field: str, node: yaml.MappingNode, place: str, path: Path, values: dict[str, Value], issues: list[Issue]
) -> None:
    rule = document.rule_of(field)
    good: dict[str, Value] = {}
    for child_field, child, _, key in _members(node, path, issues, field):
        single = yaml.MappingNode(node.tag, [(key, child)], node.start_mark, node.end_mark)
        found: dict[str, Value] = {}
        try:
            document._walk(field, single, place, found, str(path))
        except DefinitionError as error:
            issues.append(_issue("value", error, child_field))
        else:
            good.update(found[field].value)
    if rule is not None:
        values[field] = Value(good, place)
