"""Where the tool keeps what every environment of this user shares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CACHE_VARIABLE = "MWAA_LOCAL_CACHE_DIR"


def cache_folder(variables: Mapping[str, str]) -> Path:
    """The folder shared by all environments of this user: package sets, constraint files, database templates."""
    if variables.get(CACHE_VARIABLE):
        return Path(variables[CACHE_VARIABLE]).expanduser().resolve()
    base = variables.get("XDG_CACHE_HOME") or str(Path(variables.get("HOME") or Path.home()) / ".cache")
    return Path(base).expanduser().resolve() / "mwaa-local"
