"""Alias of ``mwaa_airflow.celery_config``."""

from mwaa_airflow.celery_config import MWAA_CELERY_CONFIG

__all__ = ["MWAA_CELERY_CONFIG"]
