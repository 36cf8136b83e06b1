"""``mwaa.logging.config``: Airflow's logging configuration with CloudWatch Logs in it (spec/10 section 7).

What a component prints on its console is shipped by its supervisor; here are only task logs and,
on 2.x, the DAG processor's own logger and the logs of single DAG files.
"""

import copy
from pathlib import Path

from mwaa_airflow import environment, log_to_stderr

#: Stream of the DAG processor's manager on 2.x; the supervisor ships the rest of it there too.
MANAGER_STREAM = "dag_processor_manager.log"


def base_log_folder():
    """Return Airflow's folder for local log files."""
    from airflow.configuration import conf

    return str(Path(conf.get("logging", "base_log_folder")).expanduser())


def build():
    """Return a new logging configuration for this process's version and variables."""
    from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG

    config = copy.deepcopy(DEFAULT_LOGGING_CONFIG)
    handlers, loggers = config["handlers"], config["loggers"]
    v3 = environment.airflow_version() >= (3,)
    if environment.LogSource("TASK").group:
        task = handlers["task"]
        name = "TaskReader" if v3 else "TaskHandler"
        task["class"] = "mwaa_airflow.logs.handlers." + name
    if environment.LogSource("DAGPROCESSOR").group and not v3:
        filters = ["mask_secrets"]
        handlers["processor"] = {
            "class": "mwaa_airflow.logs.handlers.DagFileHandler",
            "formatter": "airflow",
            "filters": filters,
        }
        loggers["airflow.processor"]["handlers"] = ["processor"]
        handlers["processor_manager"] = {
            "class": "mwaa_airflow.logs.handlers.DagManagerHandler",
            "formatter": "airflow",
            "filters": filters,
            "stream": MANAGER_STREAM,
        }
        loggers["airflow.processor_manager"] = {
            "handlers": ["processor_manager"],
            "level": loggers["airflow.processor"]["level"],
            "propagate": False,
        }
    log_to_stderr.console_stream(config)
    return config


def remote_task_log():
    """Return the object that writes and reads task logs on 3.x; ``None`` on 2.x or without a log group."""
    source = environment.LogSource("TASK")
    if environment.airflow_version() < (3,) or not source.group:
        return None
    from mwaa_airflow.logs.remote import RemoteTaskLog

    return RemoteTaskLog(source, base_log_folder())
