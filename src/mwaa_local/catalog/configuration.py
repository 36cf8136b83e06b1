"""Rows of MWAA's own Airflow configuration, by layer (spec/10 sections 2.2-2.5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mwaa_local.catalog import _data


@dataclass(frozen=True)
class ConfigurationRow:
    """One variable that MWAA sets in a component.

    Attributes:
        name: Environment variable.
        layer: ``container``, ``opinionated`` or ``essential``, low to high.
        value: Text with ``{name}`` places that the runtime fills; taken word for word when ``literal``.
        versions: PEP 440 specifier of the Airflow versions it counts for; empty for all.
        when: A condition the runtime knows, empty for always.
        source: Where it is written.
        reason: Why MWAA does it.
    """

    name: str
    layer: str
    value: str
    versions: str
    when: str
    literal: bool
    source: str
    reason: str


@dataclass(frozen=True)
class ForcedSection:
    """A section of Airflow's options of which a definition sets none; ``reason`` says why."""

    name: str
    source: str
    reason: str


@cache
def _all() -> tuple[ConfigurationRow, ...]:
    return tuple(
        ConfigurationRow(
            name=raw["name"],
            layer=raw["layer"],
            value=raw["value"],
            versions=raw.get("versions", ""),
            when=raw.get("when", ""),
            literal=raw.get("literal", False),
            source=raw["source"],
            reason=raw["reason"],
        )
        for raw in _data.read("configuration.toml")["row"]
    )


def configuration_rows(airflow_version: str) -> tuple[ConfigurationRow, ...]:
    """The rows that count for an Airflow version, in file order."""
    return tuple(row for row in _all() if _data.applies(row.versions, airflow_version))


def forced_sections() -> tuple[ForcedSection, ...]:
    """Sections that MWAA keeps at Airflow's defaults, but for the rows it has of them (spec/10 section 2.3)."""
    return tuple(ForcedSection(**raw) for raw in _data.read("configuration.toml")["section"])
