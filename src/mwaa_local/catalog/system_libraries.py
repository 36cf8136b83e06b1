"""What Python packages need of the operating system, and whether MWAA's image has it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mwaa_local.catalog import _data


@dataclass(frozen=True)
class SystemNeed:
    """A package's need.

    Attributes:
        package: Canonical name.
        needs: What it needs, in words.
        when: ``build`` (only where there is no wheel) or ``run``.
        present: Whether the image has it.
        provides: Packages of Amazon Linux 2023 that bring it, or empty.
    """

    package: str
    needs: str
    when: str
    present: bool
    provides: str


@cache
def system_needs() -> dict[str, SystemNeed]:
    """Known needs by canonical package name."""
    rows = _data.read("system_libraries.toml")["packages"]
    return {
        name: SystemNeed(name, row["needs"], row["when"], row["present"], row.get("provides", ""))
        for name, row in rows.items()
    }
