"""Fields of a definition and their rules (spec/01 section 5.4; design section 5 for ``Local``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from mwaa_local.catalog import _data


@dataclass(frozen=True)
class Refused:
    """A form of a value that MWAA does not take: ``pattern`` matches it whole, ``what`` says what it is."""

    pattern: str
    what: str
    why: str


@dataclass(frozen=True)
class Field:
    """The rule of one field; ``None`` and empty values mean no such rule.

    Lengths and the pattern of a list are those of its items, its ``max_items`` counts them, as a map's does.

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
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    pattern: str = ""
    refused: tuple[Refused, ...] = ()
    key_pattern: str = ""
    key_max_length: int | None = None
    value_pattern: str = ""
    value_max_length: int | None = None
    may_be_empty: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    allowed_from: str = ""


@cache
def fields() -> dict[str, Field]:
    """All fields by dotted path."""
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
        for path, raw in _data.read("fields.toml").items()
    }
