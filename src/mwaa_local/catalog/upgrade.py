"""What changed between Airflow's major versions, for code and for configuration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from mwaa_local.catalog import _data
from mwaa_local.catalog.versions import series


@dataclass(frozen=True)
class OptionChange:
    """A configuration option that one major version does not have.

    Attributes:
        name: ``section.option``.
        other: Its name in the other major version, empty where it has none.
        still_read: Whether the other version reads this name too.
    """

    name: str
    other: str
    still_read: bool


@cache
def _options() -> dict[int, dict[str, OptionChange]]:
    raw = _data.read("airflow_options.toml")
    return {
        3: {name: OptionChange(name, row["to"], row["read"]) for name, row in raw["v2"].items()},
        2: {name: OptionChange(name, row["from"], False) for name, row in raw["v3"].items()},
    }


def foreign_option(name: str, airflow: str) -> OptionChange | None:
    """What is known about an option that a version's major does not have; ``None`` when it has it, or nobody does."""
    return _options().get(min(int(series(airflow)), 3), {}).get(name)


def removed_dag_arguments() -> dict[str, str]:
    """``DAG`` arguments gone in Airflow 3, with what took their place."""
    return dict(_data.read("airflow_code.toml")["dag_arguments"])


def removed_operator_arguments() -> dict[str, str]:
    """Operator arguments gone in Airflow 3, with what took their place."""
    return dict(_data.read("airflow_code.toml")["operator_arguments"])


def idle_arguments() -> dict[str, str]:
    """Arguments that Airflow 3 takes without effect, with what took their place."""
    return dict(_data.read("airflow_code.toml")["idle_arguments"])


def removed_context_keys() -> dict[str, str]:
    """Keys of a task's context gone in Airflow 3, with what to write instead."""
    return dict(_data.read("airflow_code.toml")["context_keys"])


def database_calls() -> dict[str, str]:
    """Methods that ask the metadata database, by the end of their dotted names, with what to ask instead."""
    return dict(_data.read("airflow_code.toml")["database_calls"])


def removed_import(name: str) -> tuple[str, str] | None:
    """``(what is gone, its place now)`` for a dotted import that Airflow 3 does not have."""
    raw: dict[str, Any] = _data.read("airflow_code.toml")
    if name in raw["names"]:
        return name, raw["names"][name]
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        module = ".".join(parts[:length])
        if module in raw["modules"]:
            return module, raw["modules"][module]
    return None


def plugin_attributes(kind: str) -> frozenset[str]:
    """Attributes of plugin classes of one kind: ``gone``, ``legacy``, ``dropped``, ``new`` or ``v2_gone``."""
    table = _data.read("airflow_code.toml")["plugin_attributes"]
    return frozenset(table[kind])
