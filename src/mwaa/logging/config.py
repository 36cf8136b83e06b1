"""Airflow's ``logging_config_class`` on MWAA (spec/10 section 2.3).

Airflow 2's DAG processor loads this module a second time, so the values are built here.
"""

from mwaa_airflow.logging_config import build, remote_task_log

LOGGING_CONFIG = build()

#: Airflow 3 takes the next two from beside the configuration.
REMOTE_TASK_LOG = remote_task_log()

#: The log client has its own address and keys: no connection is asked for.
DEFAULT_REMOTE_CONN_ID = None
