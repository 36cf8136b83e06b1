"""Reading ``mwaa.yaml``: every value with the line it stands on, every field checked against the catalog."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mwaa_local.catalog import Field, LockedOption, environment_classes, fields, locked_options, version_names
from mwaa_local.errors import DefinitionError
from mwaa_local.model import domain

_OPTIONS = "AirflowConfigurationOptions"
_TAG_FORM = "letters, numbers, spaces and _ . : / = + - @ are allowed"

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Place(str):
    """A line of a file as people read it, ``mwaa.yaml:12``, which knows its number."""

    __slots__ = ("line",)
    line: int

    @classmethod
    def of(cls, file: Path | str, line: int) -> Place:
        """A line, counted from 1."""
        made = cls(f"{file}:{line}")
        made.line = line
        return made


def line_of(place: str) -> int:
    """The line that a value stands on; 0 for one that stands in no file."""
    return place.line if isinstance(place, Place) else 0


@dataclass(frozen=True)
class Value:
    """A value and where it stands: ``place`` is ``mwaa.yaml:12``, ``--airflow-version`` or a variable's name."""

    value: Any
    place: str


def parse(path: Path, faults: list[DefinitionError] | None = None) -> dict[str, Value]:
    """The fields of a definition file by dotted path, each checked.

    Args:
        path: The file.
        faults: Takes what is wrong with single fields, which are then left out; without it the first one is raised.

    Raises:
        DefinitionError: the file is no YAML (``unreadable``), or says something MWAA or the tool does not know.
    """
    try:
        node = _composed(path)
    except DefinitionError as error:
        error.about("unreadable")
        raise
    if node is None:
        return {}
    walk = _Walk(str(path), faults)
    # The output of `aws mwaa get-environment` has everything under one key: accept it as it is pasted.
    if len(node.value) == 1 and node.value[0][0].value == "Environment":
        inner = node.value[0][1]
        node = inner if isinstance(inner, yaml.MappingNode) else node
    result: dict[str, Value] = {}
    for key, child, place in walk.pairs(node, ""):
        walk.field(key, child, place, result)
    return result


def _composed(path: Path) -> yaml.MappingNode | None:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=_Loader)
    except RecursionError as error:
        raise DefinitionError(
            f"{path.name} is nested too deeply", where=str(path), hint="no field needs that"
        ) from error
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{path.name} is not UTF-8 text", where=str(path), why=str(error)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = Place.of(path, mark.line + 1) if mark else str(path)
        raise DefinitionError(
            f"{path.name} is not valid YAML",
            where=where,
            why=str(getattr(error, "problem", error)),
            hint="mend the line",
        ) from error
    if node is not None and not isinstance(node, yaml.MappingNode):
        raise DefinitionError(
            f"{path.name} must be a mapping of fields", where=Place.of(path, 1), hint="begin with `Name: local`"
        )
    return node


def rule_of(path: str) -> Field | None:
    """The catalog's rule of a dotted field, wildcards included."""
    known = fields()
    if path in known:
        return known[path]
    parts = path.split(".")
    if len(parts) == 3:
        return known.get(f"{parts[0]}.*.{parts[2]}")
    return None


def _unknown(path: str, place: str) -> DefinitionError:
    parent, _, leaf = path.rpartition(".")
    siblings = [
        name.rpartition(".")[2]
        for name in fields()
        if name.rpartition(".")[0] in (parent, re.sub(r"\.\w+$", ".*", parent))
    ]
    close = difflib.get_close_matches(leaf, siblings, n=1, cutoff=0.6)
    return DefinitionError(
        f"unknown field {short(path)}",
        where=place,
        code="unknown",
        fields=(path,),
        why=f"fields allowed here: {', '.join(sorted(siblings)) or 'none'}",
        hint=f"did you mean {close[0]}?" if close else "remove it, or see docs/reference/mwaa-yaml.md",
    )


@dataclass(frozen=True)
class _Walk:
    """One walk through a file; what is wrong ends it, or is collected."""

    file: str
    faults: list[DefinitionError] | None

    def refuse(self, error: DefinitionError) -> None:
        """Raise a fault, or keep it where all of them are wanted."""
        if self.faults is None:
            raise error
        self.faults.append(error)

    @contextmanager
    def checking(self, field: str) -> Iterator[None]:
        """Checks of one field: what they raise is about it."""
        try:
            yield
        except DefinitionError as error:
            error.about("value", field)
            self.refuse(error)

    def pairs(self, node: yaml.MappingNode, parent: str) -> list[tuple[str, yaml.Node, str]]:
        """Key, value and place of each member."""
        seen: dict[str, tuple[str, yaml.Node, str]] = {}
        for key_node, child in node.value:
            place = Place.of(self.file, key_node.start_mark.line + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                self.refuse(
                    DefinitionError(
                        "a field's name must be text",
                        where=place, hint="write `Field: value`", code="unknown", fields=(parent,),
                    )
                )  # fmt: skip
                continue
            key = str(key_node.value)
            if key in seen:
                self.refuse(
                    DefinitionError(
                        f"field {short(key)} is given twice",
                        where=place, hint="keep one of them", code="unknown", fields=(_under(parent, key),),
                    )
                )  # fmt: skip
                continue
            seen[key] = (key, child, place)
        return list(seen.values())

    def field(self, path: str, node: yaml.Node, place: str, result: dict[str, Value]) -> None:
        """Take one field, and what lies in it, into the result."""
        rule = rule_of(path)
        if rule is None:
            self.refuse(_unknown(path, place))
        elif rule.ignored:
            return
        elif rule.type == "object":
            self._object(path, node, place, result)
        elif rule.type == "map":
            self._map(path, rule, node, place, result)
        else:
            with self.checking(path):
                value = Value(_construct(path, node, place), place)
                check(path, value)
                result[path] = value

    def _object(self, path: str, node: yaml.Node, place: str, result: dict[str, Value]) -> None:
        if not isinstance(node, yaml.MappingNode):
            with self.checking(path):
                raise DefinitionError(f"{path} must be a mapping of fields", where=place)
            return
        before = len(self.faults or ())
        members = self.pairs(node, path)
        given = {key for key, _, _ in members}
        for key, child, child_place in members:
            self.field(f"{path}.{key}", child, child_place, result)
        if len(self.faults or ()) > before:
            return  # a member that is wrong may be the one that would be missed
        for field in fields().values():
            head, _, leaf = field.path.rpartition(".")
            if field.required and head == re.sub(r"\.\w+$", ".*", path) and leaf not in given:
                with self.checking(path):
                    raise DefinitionError(
                        f"{path} lacks {leaf}", where=place, why=f"MWAA requires it in every {path}", hint=f"add {leaf}"
                    )

    def _map(self, path: str, rule: Field, node: yaml.Node, place: str, result: dict[str, Value]) -> None:
        found: dict[str, Value] = {}
        if isinstance(node, yaml.MappingNode):
            for key, child, child_place in self.pairs(node, path):
                with self.checking(_under(path, key)):
                    value = Value(_text(_construct(f"{path} {short(key)}", child, child_place), child), child_place)
                    _check_member(path, key, value, rule)
                    found[key] = value
        elif node.tag != "tag:yaml.org,2002:null":
            with self.checking(path):
                raise DefinitionError(f"{path} must be a mapping", where=Place.of(self.file, node.start_mark.line + 1))
            return
        with self.checking(path):
            _check_size(path, found, rule, place)
        result[path] = Value(found, place)


def _under(parent: str, key: str) -> str:
    return f"{parent}.{key}" if parent else key


def _text(value: Any, node: yaml.Node) -> Any:
    """YAML reads 3 and true as number and boolean; MWAA's API carries strings, and Airflow reads them back as such."""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, int | float):
        return str(node.value) if isinstance(node, yaml.ScalarNode) else str(value)
    return value


# Far above what any field takes; aliases of aliases reach it with a line.
_MOST_VALUES = 10_000


def _construct(path: str, node: yaml.Node, place: str) -> Any:
    """A field's value.

    Raises:
        DefinitionError: A tag, number or alias that gives no value.
    """
    _bounded(path, node, place)
    loader = _Loader("")
    try:
        value = loader.construct_document(node)
        if _has_giant(value):
            raise ValueError("a number that no field can hold")
        return value
    except Exception as error:  # PyYAML's constructors raise what Python's own types do
        problem = str(getattr(error, "problem", None) or error or type(error).__name__)
        raise DefinitionError(
            f"{path} cannot be read",
            where=place,
            why=short(problem),
            hint="write it as plain text, number, list or mapping, without a tag",
        ) from error
    finally:
        loader.dispose()


def _has_giant(value: Any) -> bool:
    """Whether a whole number is in it that Python itself could not print."""
    if isinstance(value, dict):
        return any(_has_giant(one) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple | set):
        return any(map(_has_giant, value))
    return isinstance(value, int) and value.bit_length() > 64


def _bounded(path: str, node: yaml.Node, place: str) -> None:
    """Refuse a value that its aliases blow up, or that holds itself."""
    count = 0

    def walk(one: yaml.Node, above: tuple[int, ...]) -> None:
        nonlocal count
        count += 1
        if id(one) in above or count > _MOST_VALUES or len(above) > 100:
            raise DefinitionError(
                f"{path} holds itself, or more than {_MOST_VALUES} values",
                where=place,
                why="an alias (*name) that repeats what holds it",
                hint="write the value out",
            )
        if isinstance(one, yaml.CollectionNode):
            for item in one.value:
                for child in item if isinstance(item, tuple) else (item,):
                    walk(child, (*above, id(one)))

    walk(node, ())


def short(value: object) -> str:
    """A value for a message: whole, or its beginning and its length."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:120]}... ({len(text)} characters)"


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
}


def allowed_values(rule: Field) -> tuple[str, ...]:
    """The closed set of values of a field, empty where it is open."""
    if rule.allowed_from == "versions":
        return version_names()
    if rule.allowed_from == "classes":
        return tuple(environment_classes())
    return rule.allowed


def check(path: str, given: Value) -> None:
    """Hold one value against its rule.

    Raises:
        DefinitionError: wrong type, out of range, not allowed.
    """
    try:
        _check(path, given)
    except DefinitionError as error:
        error.about("value", path, value=given.value)
        raise


def _check(path: str, given: Value) -> None:
    rule = rule_of(path)
    if rule is None:
        raise _unknown(path, given.place)
    value = given.value
    if rule.type == "map":
        _check_map(path, value, rule, given.place)
        return
    expected = _TYPES.get(rule.type)
    if expected and (not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected)):
        hint = ""
        if rule.type == "string" and isinstance(value, int | float):
            hint = f'put it in quotes: {path.rpartition(".")[2]}: "{short(value)}"'
        raise DefinitionError(
            f"{path} must be a {rule.type}, not {short(json.dumps(value, default=str))}", where=given.place, hint=hint
        )
    allowed = allowed_values(rule)
    if allowed and value not in allowed:
        close = difflib.get_close_matches(str(value), allowed, n=1)
        raise DefinitionError(
            f"{path} {short(repr(value))} is not known",
            where=given.place,
            why=f"allowed: {', '.join(allowed)}",
            hint=f"did you mean {close[0]}?" if close else "use one of the allowed values",
        )
    _check_range(path, value, rule, given.place)


def _check_range(path: str, value: Any, rule: Field, place: str) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = rule.minimum, rule.maximum
        if not math.isfinite(value):
            raise DefinitionError(f"{path} {value} is no number", where=place, hint="write a number")
        if (low is not None and value < low) or (high is not None and value > high):
            span = f"{low:g} to {high:g}" if high is not None and low is not None else f"at least {low:g}"
            raise DefinitionError(
                f"{path} {short(value)} is out of range",
                where=place,
                why=f"allowed: {span}",
                hint="use a value in that range",
            )
    if isinstance(value, str):
        if "\0" in value:
            raise DefinitionError(
                f"{path} holds a NUL character", where=place, why="no name or path can", hint="leave it out"
            )
        if rule.max_length is not None and len(value) > rule.max_length:
            raise DefinitionError(f"{path} is longer than {rule.max_length} characters", where=place)
        for form in rule.refused:
            if re.fullmatch(form.pattern, value):
                raise DefinitionError(
                    f"{path} {short(value)} {form.what}",
                    where=place,
                    why=form.why,
                    hint="write the key's id or its ARN",
                )
        if rule.pattern and not re.fullmatch(rule.pattern, value):
            raise DefinitionError(
                f"{path} {short(repr(value))} has a form MWAA refuses", where=place, why=f"it must match {rule.pattern}"
            )
    if isinstance(value, list):
        _check_items(path, value, rule, place)


def _check_items(path: str, value: list[Any], rule: Field, place: str) -> None:
    if (rule.min_items is not None and len(value) < rule.min_items) or (
        rule.max_items is not None and len(value) > rule.max_items
    ):
        raise DefinitionError(
            f"{path} has {len(value)} items", where=place, why=f"allowed: {rule.min_items} to {rule.max_items}"
        )
    for item in value:
        if isinstance(item, str) and rule.max_length is not None and len(item) > rule.max_length:
            raise DefinitionError(f"{path} item is longer than {rule.max_length} characters", where=place)
        if not isinstance(item, str) or (rule.pattern and not re.fullmatch(rule.pattern, item)):
            raise DefinitionError(
                f"{path} item {short(repr(item))} has a form MWAA refuses",
                where=place,
                why=f"it must match {rule.pattern or 'text'}",
            )


def _check_map(path: str, value: Mapping[str, Value], rule: Field, place: str) -> None:
    _check_size(path, value, rule, place)
    for key, item in value.items():
        _check_member(path, key, item, rule)


def _check_size(path: str, value: Mapping[str, Value], rule: Field, place: str) -> None:
    if rule.max_items is not None and len(value) > rule.max_items:
        raise DefinitionError(
            f"{path} has {len(value)} members", where=place, why=f"at most {rule.max_items} are allowed"
        )


def _check_member(path: str, key: str, item: Value, rule: Field) -> None:
    options = path == _OPTIONS
    if rule.key_max_length is not None and len(key) > rule.key_max_length:
        raise DefinitionError(
            f"{path} key {short(repr(key))} is longer than {rule.key_max_length} characters", where=item.place
        )
    if not key or (rule.key_pattern and not re.fullmatch(rule.key_pattern, key)):
        raise DefinitionError(
            f"{path} key {short(repr(key))} has a form MWAA refuses",
            where=item.place,
            why="keys are lower case, section.option" if options else _TAG_FORM,
            hint=(f"did you mean {short(key.lower())}?" if key.lower() != key else "write section.option")
            if options
            else "",
        )
    text = item.value
    if text == "" and key in rule.may_be_empty:
        return
    if not isinstance(text, str) or not text:
        raise DefinitionError(
            f"{path} {short(key)} needs a text value",
            where=item.place,
            why="MWAA's API carries non-empty strings only",
            hint=f"write it as one text: '{short(json.dumps(text, default=str))}'" if isinstance(text, dict) else "",
        )
    if rule.value_max_length is not None and len(text) > rule.value_max_length:
        raise DefinitionError(
            f"{path} {short(key)} is longer than {rule.value_max_length} characters", where=item.place
        )
    if rule.value_pattern and not re.fullmatch(rule.value_pattern, text):
        raise DefinitionError(
            f"{path} {short(key)} holds characters MWAA refuses",
            where=item.place,
            why="printable ASCII only" if options else _TAG_FORM,
        )


def check_options(
    options: Mapping[str, Value], airflow_version: str, faults: list[DefinitionError] | None = None
) -> dict[str, Value]:
    """Refuse options that MWAA locks or that have no section (spec/04 sections 4 and 5.4), and a bad custom domain.

    Args:
        options: Option to value.
        airflow_version: Whose locks count.
        faults: Takes what is wrong; without it the first fault is raised.

    Returns:
        The options without those that are wrong.

    Raises:
        DefinitionError: a locked option, a key without a section, a custom domain that is no bare host name.
    """
    locked = {option.name: option for option in locked_options(airflow_version)}
    good: dict[str, Value] = {}
    for key, item in options.items():
        try:
            _check_option(key, item, locked)
        except DefinitionError as error:
            error.about("domain" if key == domain.OPTION else "value", f"{_OPTIONS}.{key}", value=item.value)
            if faults is None:
                raise
            faults.append(error)
        else:
            good[key] = item
    return good


def _check_option(key: str, item: Value, locked: Mapping[str, LockedOption]) -> None:
    if key in locked:
        raise DefinitionError(
            f"option {short(key)} is locked on MWAA",
            where=item.place,
            why=f"it stays {locked[key].value}: {locked[key].reason}",
            hint="remove it (spec/04 section 5.4)",
            code="locked",
            fields=(f"{_OPTIONS}.{key}",),
        )
    if key == domain.OPTION:
        domain.check(item.value, item.place)
    if "." not in key:
        raise DefinitionError(
            f"option {short(repr(key))} has no section",
            where=item.place,
            why="options are section.option",
            hint=f"write core.{short(key)}, say",
        )
