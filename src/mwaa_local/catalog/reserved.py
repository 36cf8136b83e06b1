"""Variables a startup script cannot change, and options nobody can.

Sources: spec/04 sections 5.4 and 9, spec/10 section 2.6.
"""

from __future__ import annotations

from dataclasses import dataclass

from mwaa_local.catalog import _data


@dataclass(frozen=True)
class ReservedVariable:
    """A variable that MWAA puts back after the startup script; ``via_option`` is the option that may set it."""

    name: str
    as_printed: str
    via_option: str


@dataclass(frozen=True)
class LockedOption:
    """A configuration option that MWAA refuses, the value it keeps, and why."""

    name: str
    value: str
    reason: str


def _variables(key: str, airflow_version: str) -> tuple[ReservedVariable, ...]:
    return tuple(
        ReservedVariable(raw["name"], raw.get("as_printed", raw["name"]), raw.get("via_option", ""))
        for raw in _data.read("reserved.toml")[key]
        if _data.applies(raw.get("versions", ""), airflow_version)
    )


def reserved_variables(airflow_version: str) -> tuple[ReservedVariable, ...]:
    """The guide's reserved variables for a version (spec/04 section 9.1)."""
    return _variables("reserved", airflow_version)


def protected_variables(airflow_version: str) -> tuple[str, ...]:
    """Names the runtime protects for a version, beside the protected prefixes (spec/10 section 2.6)."""
    return tuple(variable.name for variable in _variables("protected", airflow_version))


def is_protected(name: str, airflow_version: str) -> bool:
    """Whether the container's own value of a variable wins over script and options (spec/10 section 2.6)."""
    prefixes = tuple(_data.read("reserved.toml")["protected_prefixes"])
    return name.startswith(prefixes) or name in protected_variables(airflow_version)


def locked_options(airflow_version: str) -> tuple[LockedOption, ...]:
    """Options that cannot be set on a version (spec/04 section 5.4)."""
    return tuple(
        LockedOption(raw["name"], raw["value"], raw["reason"])
        for raw in _data.read("reserved.toml")["locked_options"]
        if _data.applies(raw["versions"], airflow_version)
    )


def service_options() -> tuple[str, ...]:
    """Options that MWAA takes for itself, whatever Airflow calls them (spec/01 section 9, spec/08 section 5.4)."""
    return tuple(_data.read("reserved.toml")["service_options"])


def migrate_db_options() -> tuple[str, ...]:
    """The only customer options ``migrate-db`` sees (spec/10 section 2.2)."""
    return tuple(_data.read("reserved.toml")["migrate_db_options"])
