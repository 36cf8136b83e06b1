"""Airflow's own defaults: what an option is where MWAA, the definition and the startup script say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mwaa_local.catalog import _data


def airflow_defaults(version: str) -> Mapping[str, str]:
    """Every option that Airflow and the providers of MWAA's image describe, to its default; empty for none.

    Secrets that Airflow makes up anew in each process are empty.

    Args:
        version: A version of the catalog, e.g. ``3.2.1``.
    """
    return MappingProxyType(_data.read(f"airflow_defaults/{version}.toml"))
