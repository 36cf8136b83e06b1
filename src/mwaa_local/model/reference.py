"""The table of fields in the reference, made from the catalog: ``python -m mwaa_local.model.reference``.

It writes ``docs/reference/mwaa-yaml.md`` anew, whose text around the table is written by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mwaa_local.catalog import CountRange, Field, default_version, environment_classes, fields, limits
from mwaa_local.model.checks import allowed_values
from mwaa_local.model.definition import variable_name

BEGIN, END = "<!-- fields: python -m mwaa_local.model.reference -->", "<!-- end of fields -->"
_COUNTS = {
    "MinWorkers": ("workers", "default_minimum"),
    "MaxWorkers": ("workers", "default_maximum"),
    "MinWebservers": ("webservers", "default_minimum"),
    "MaxWebservers": ("webservers", "default_maximum"),
    "Schedulers": ("schedulers", "default_minimum"),
}
# What no rule of the catalog says in a few words.
_WORDS = {"Local.AwsServices": "[services](aws-services.md) that only pretend, answered all the same"}


def table() -> str:
    """The table, in Markdown, and the list of fields that are read and not used."""
    used = [field for field in fields().values() if not field.ignored and field.type not in ("object", "any")]
    rows = ["| Field | Type | Default | Allowed | Variable |", "|---|---|---|---|---|", *map(_row, used)]
    ignored = ", ".join(f"`{field.path}`" for field in fields().values() if field.ignored)
    return "\n".join([*rows, "", f"Read and not used (part of GetEnvironment's answer): {ignored}."])


def page(text: str) -> str:
    """The page with the table of now; the rest of it stays.

    Raises:
        ValueError: It has no place for the table.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{BEGIN} ... {END} is not in the page")
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def _row(field: Field) -> str:
    variable = "" if field.type == "map" or "*" in field.path else f"`{variable_name(field.path)}`"
    return f"| `{field.path}` | {field.type} | {_default(field)} | {_allowed(field)} | {variable} |"


def _default(field: Field) -> str:
    made = {
        "AirflowVersion": default_version(),
        "Local.Region": limits().region,
        "Local.MaxPluginsBytes": str(limits().plugins_zip_bytes),
        "LoggingConfiguration.*.Enabled": "true",
        "LoggingConfiguration.*.LogLevel": "INFO",
    }
    if field.path in made:
        return made[field.path]
    if field.path in _COUNTS:
        room, name = _COUNTS[field.path]
        return _ranged({key: str(getattr(getattr(item, room), name)) for key, item in environment_classes().items()})
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return "" if field.default is None else str(field.default)


def _allowed(field: Field) -> str:
    if field.path in _COUNTS:
        ranges: dict[str, CountRange] = {
            key: getattr(item, _COUNTS[field.path][0]) for key, item in environment_classes().items()
        }
        return _ranged({key: _span(item.minimum, item.maximum) for key, item in ranges.items()})
    if field.path in _WORDS:
        return _WORDS[field.path]
    if allowed := allowed_values(field):
        return ", ".join(allowed)
    if field.minimum is not None:
        return _span(field.minimum, field.maximum)
    return "`" + field.pattern.replace("|", "\\|") + "`" if field.pattern not in ("", ".*") else ""


def _span(low: float, high: float | None) -> str:
    if high is None:
        return f"at least {low:g}"
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _ranged(of_class: dict[str, str]) -> str:
    """What most classes have, and the others by name: ``1 to 25 (micro 1)``."""
    usual = max(dict.fromkeys(of_class.values()), key=list(of_class.values()).count)
    other = [f"{name.removeprefix('mw1.')} {value}" for name, value in of_class.items() if value != usual]
    return f"{usual} ({', '.join(other)})" if other else usual


if __name__ == "__main__":
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference/mwaa-yaml.md")
    file.write_text(page(file.read_text(encoding="utf-8")), encoding="utf-8")
