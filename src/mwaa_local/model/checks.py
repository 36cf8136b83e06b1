"""The rules of a definition's fields, held against values, wherever these come from: a file, a variable, a request."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mwaa_local.catalog import Field, LockedOption, environment_classes, fields, locked_options, version_names
from mwaa_local.errors import DefinitionError
from mwaa_local.model import domain

_OPTIONS = "AirflowConfigurationOptions"
_TAG_FORM = "letters, numbers, spaces and _ . : / = + - @ are allowed"


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


def rule_of(path: str) -> Field | None:
    """The catalog's rule of a dotted field, wildcards included."""
    known = fields()
    if path in known:
        return known[path]
    head, *rest = path.split(".")
    # A member's name may itself hold dots, and is then no name at all.
    if len(rest) == 2:
        return known.get(f"{head}.*.{rest[1]}")
    return known.get(f"{head}.*") if len(rest) == 1 else None


def lacking(path: str, given: Collection[str], place: str) -> list[DefinitionError]:
    """The faults of an object that lacks members it must have."""
    heads = (path, re.sub(r"\.[^.]+$", ".*", path))
    split = (field.path.rpartition(".") for field in fields().values() if field.required)
    return [
        DefinitionError(
            f"{path} lacks {leaf}", where=place, why=f"MWAA requires it in every {path}", hint=f"add {leaf}"
        )
        for leaf in sorted({leaf for head, _, leaf in split if head in heads} - set(given))
    ]


def unknown(path: str, place: str) -> DefinitionError:
    """The fault of a field that nobody knows, with what it may have meant."""
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
        raise unknown(path, given.place)
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
        if rule.min_length is not None and len(value) < rule.min_length:
            raise DefinitionError(
                f"{path} {short(repr(value))} is shorter than {rule.min_length} characters",
                where=place,
                hint="write a value, or remove the field",
            )
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
    check_size(path, value, rule, place)
    for key, item in value.items():
        check_member(path, key, item, rule)


def check_size(path: str, value: Collection[str], rule: Field, place: str) -> None:
    """Hold the number of members against a rule."""
    if rule.max_items is not None and len(value) > rule.max_items:
        raise DefinitionError(
            f"{path} has {len(value)} members", where=place, why=f"at most {rule.max_items} are allowed"
        )
    if rule.min_items is not None and len(value) < rule.min_items:
        raise DefinitionError(f"{path} has {len(value)} members", where=place, why=f"at least {rule.min_items} needed")


def check_name(path: str, key: str, rule: Field, place: str) -> None:
    """The name of a member of an object that takes any."""
    low, high = rule.key_min_length or 0, rule.key_max_length
    if (high is not None and len(key) > high) or len(key) < low:
        raise DefinitionError(
            f"{path} name {short(repr(key))} has {len(key)} characters",
            where=place,
            why=f"allowed: {low} to {high} characters",
        )
    if rule.key_pattern and not re.fullmatch(rule.key_pattern, key):
        raise DefinitionError(
            f"{path} name {short(repr(key))} has a form MWAA refuses",
            where=place,
            why=f"it must match {rule.key_pattern}",
        )


def check_member(path: str, key: str, item: Value, rule: Field) -> None:
    """Hold one key and its text against a map's rule."""
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
