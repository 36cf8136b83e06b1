"""Alias of ``mwaa_airflow.database``."""

from mwaa_airflow.database import MWAA_CONNECT_ARGS

__all__ = ["MWAA_CONNECT_ARGS"]
