"""Fields of a definition and their rules (spec/01 section 5.4; design section 7 for ``Local``).

The API's come from botocore's service model, with rows of our own over it where the service or the tool does more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from mwaa_local.catalog import _data

# What botocore's service model says, by field; :mod:`mwaa_local.catalog.service_model` writes it.
SERVICE_MODEL = "service_model.json"


@dataclass(frozen=True)
class Refused:
    """A form of a value that MWAA does not take: ``pattern`` matches it whole, ``what`` says what it is."""

    pattern: str
    what: str
    why: str


@dataclass(frozen=True)
class Field:
    """The rule of one field; ``None`` and empty values mean no such rule.

    Lengths and the pattern of a list are those of its items, its ``max_items`` counts them, as a map's does. An object
    with a ``key_pattern`` has members of any name that fits it.

    Attributes:
        path: Dotted path; ``*`` stands for any member name.
        type: ``string``, ``integer``, ``number``, ``boolean``, ``map``, ``list``, ``object`` or ``any``.
        may_be_empty: Keys of a map whose value may be an empty text.
        refused: Forms the pattern would admit and the service does not take.
        ignored: Part of GetEnvironment's answer: accepted, not used.
    """

    path: str
    type: str
    required: bool = False
    ignored: bool = False
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    pattern: str = ""
    refused: tuple[Refused, ...] = ()
    key_pattern: str = ""
    key_min_length: int | None = None
    key_max_length: int | None = None
    value_pattern: str = ""
    value_min_length: int | None = None
    value_max_length: int | None = None
    may_be_empty: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    allowed_from: str = ""


@cache
def fields() -> dict[str, Field]:
    """All fields by dotted path."""
    rows: dict[str, dict[str, Any]] = _data.read("fields.toml")
    api: dict[str, dict[str, Any]] = _data.read_json(SERVICE_MODEL)["fields"]
    # In the order of the rows, which is the order people read them in; what only the model has comes after.
    order = {**dict.fromkeys(rows), **dict.fromkeys(api)}
    return {
        path: Field(
            path=path,
            **{
                **raw,
                "allowed": tuple(raw.get("allowed", ())),
                "may_be_empty": tuple(raw.get("may_be_empty", ())),
                "refused": tuple(Refused(**form) for form in raw.get("refused", ())),
            },
        )
        for path in order
        if (raw := {**api.get(path, {}), **rows.get(path, {})})
    }
