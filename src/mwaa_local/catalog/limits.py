"""Time limits, sizes and fixed names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mwaa_local.catalog import _data


@dataclass(frozen=True)
class Limits:
    """Limits and fixed values; the data file says where each is written. Times in seconds, sizes in bytes."""

    startup_script_seconds: int
    startup_script_patience_seconds: int
    requirements_seconds: int
    patience_seconds: int
    visibility_timeout_seconds: int
    database_connect_timeout_seconds: int
    task_heartbeat_grace_seconds: int
    max_workers_quota: int
    plugins_zip_bytes: int
    constraint_injected_from: str
    constraint_warning: str
    constraint_forced: str
    constraint_url: str
    home: str
    python_prefix: str
    scripts_folder: str
    path: str
    account_id: str
    region: str
    queue_prefix: str
    custom_domain_characters: int

    def python_path(self, minor: str) -> str:
        """MWAA's interpreter, ``/usr/local/bin/python3.12`` for ``3.12``."""
        return f"{self.python_prefix}/bin/python{minor}"


@cache
def limits() -> Limits:
    """The catalog's limits."""
    return Limits(**_data.read("limits.toml"))
