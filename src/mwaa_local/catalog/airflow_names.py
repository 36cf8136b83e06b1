"""Under which names and in which spelling Airflow reads its options: renamed ones, replaced values, commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from mwaa_local.catalog import _data

#: Beginning of the variables that set Airflow's options.
PREFIX = "AIRFLOW__"

# Sections with a dot in their names; in a variable Airflow has an underscore for it.
_DOTTED = {"common_io": "common.io"}


def variable_of(option: str) -> str:
    """``core.parallelism`` as its environment variable, in Airflow's spelling; a variable's own name stays.

    A section may hold dots (``common.io.xcom_objectstorage_path``), an option's own name holds none.
    """
    section, dot, key = option.rpartition(".")
    return f"{PREFIX}{section.upper().replace('.', '_')}__{key.upper()}" if dot else option


def option_of(variable: str) -> str:
    """``AIRFLOW__CORE__PARALLELISM`` as ``core.parallelism``; another variable's name stays."""
    if not variable.startswith(PREFIX):
        return variable
    section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
    return f"{_DOTTED.get(section, section)}.{key}" if key else section


@dataclass(frozen=True)
class Replacement:
    """An old value that Airflow replaces when it starts: what ``pattern`` finds becomes ``value``."""

    pattern: str
    value: str


@dataclass(frozen=True)
class OptionNames:
    """How one Airflow version reads options, ``section.option`` throughout.

    Attributes:
        renamed: New name to the old one that is read where the new one is not set.
        sections: New section to the old one, likewise.
        replaced: Option to the old value that Airflow replaces by another.
        sensitive: Options that Airflow also takes from a command (``<NAME>_CMD``) or a secrets backend
            (``<NAME>_SECRET``).
    """

    renamed: Mapping[str, str]
    sections: Mapping[str, str]
    replaced: Mapping[str, Replacement]
    sensitive: frozenset[str]

    def names(self, option: str) -> tuple[str, ...]:
        """The names Airflow looks an option up under, the first set one wins; the first is its name now.

        An old name leads to the new one, as ``airflow config get-value`` does.
        """
        section, _, key = option.rpartition(".")
        for new, old in self.sections.items():
            if section == old:
                return f"{new}.{key}", option
        for new, old in self.renamed.items():
            if option == old:
                return new, option
        if section in self.sections:
            return option, f"{self.sections[section]}.{key}"
        return (option, self.renamed[option]) if option in self.renamed else (option,)


@cache
def option_names(version: str) -> OptionNames:
    """How a version of the catalog reads options, e.g. ``3.2.1``."""
    raw = _data.read(f"airflow_names/{version}.toml")
    return OptionNames(
        renamed=MappingProxyType(raw["renamed"]),
        sections=MappingProxyType(raw["sections"]),
        replaced=MappingProxyType({name: Replacement(**row) for name, row in raw["replaced"].items()}),
        sensitive=frozenset(raw["sensitive"]),
    )
