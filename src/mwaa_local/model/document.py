"""Reading ``mwaa.yaml``: every value with the line it stands on, every field checked against the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mwaa_local.catalog import Field
from mwaa_local.errors import DefinitionError
from mwaa_local.model.checks import (
    Place,
    Value,
    check,
    check_member,
    check_name,
    check_size,
    lacking,
    rule_of,
    short,
    unknown,
)

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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


def given(body: Mapping[str, Any], place: str, faults: list[DefinitionError] | None = None) -> dict[str, Value]:
    """The fields of a request or an answer of the API by dotted path, each checked as those of a file are.

    Nothing is turned into another type, as YAML does it: the API's configuration options are texts.

    Args:
        body: As JSON gives it.
        place: What the fields' place is called, ``CreateEnvironment``.
        faults: Takes what is wrong with single fields, which are then left out; without it the first one is raised.

    Raises:
        DefinitionError: A field is wrong.
    """
    result: dict[str, Value] = {}
    _Given(_Walk(place, faults), place, result).members(body, "")
    return result


@dataclass(frozen=True)
class _Given:
    """One walk through a parsed body."""

    walk: _Walk
    place: str
    result: dict[str, Value]

    def members(self, body: Mapping[str, Any], parent: str) -> None:
        rule = rule_of(parent) if parent else None
        for key, value in body.items():
            path = _under(parent, key)
            with self.walk.checking(path):
                if rule is not None:
                    check_name(parent, key, rule, self.place)
                self.field(path, value)
        for fault in lacking(parent, body, self.place) if parent else ():
            with self.walk.checking(parent):
                raise fault

    def field(self, path: str, value: Any) -> None:
        rule = rule_of(path)
        if rule is None:
            raise unknown(path, self.place)
        if rule.ignored:
            return
        if rule.type not in ("object", "map"):
            check(path, Value(value, self.place))
            self.result[path] = Value(value, self.place)
            return
        if not isinstance(value, dict):
            raise DefinitionError(f"{path} must be a mapping", where=self.place)
        if rule.type == "object":
            check_size(path, value, rule, self.place)
            self.members(value, path)
            return
        held = {key: Value(item, self.place) for key, item in value.items()}
        check(path, Value(held, self.place))
        self.result[path] = Value(held, self.place)


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
            self.refuse(unknown(path, place))
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
        rule = rule_of(path)
        for key, child, child_place in members:
            with self.checking(_under(path, key)):
                if rule is not None:
                    check_name(path, key, rule, child_place)
                self.field(f"{path}.{key}", child, child_place, result)
        if rule is not None:
            with self.checking(path):
                check_size(path, given, rule, place)
        if len(self.faults or ()) > before:
            return  # a member that is wrong may be the one that would be missed
        for fault in lacking(path, given, place):
            with self.checking(path):
                raise fault

    def _map(self, path: str, rule: Field, node: yaml.Node, place: str, result: dict[str, Value]) -> None:
        found: dict[str, Value] = {}
        if isinstance(node, yaml.MappingNode):
            for key, child, child_place in self.pairs(node, path):
                with self.checking(_under(path, key)):
                    value = Value(_text(_construct(f"{path} {short(key)}", child, child_place), child), child_place)
                    check_member(path, key, value, rule)
                    found[key] = value
        elif node.tag != "tag:yaml.org,2002:null":
            with self.checking(path):
                raise DefinitionError(f"{path} must be a mapping", where=Place.of(self.file, node.start_mark.line + 1))
            return
        with self.checking(path):
            check_size(path, found, rule, place)
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
