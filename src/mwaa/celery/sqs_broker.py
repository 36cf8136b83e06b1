"""Alias of ``mwaa_airflow.sqs_broker``."""

from mwaa_airflow.sqs_broker import Transport

__all__ = ["Transport"]
