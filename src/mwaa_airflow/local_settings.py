"""To be installed as ``config/airflow_local_settings.py`` of the Airflow home (spec/10 section 5.2).

Gives ``airflow`` commands inside a task the metadata database back, then runs the user's
``airflow_local_settings.py`` of the DAGs folder, then that of the plugins folder. As on MWAA they
run for their side effects only: functions defined there are not seen by Airflow unless they
register themselves, and an exception in one of them ends every Airflow process.
"""

import importlib.util
import logging
import os
import sys
from pathlib import Path

from mwaa_airflow import log_to_stderr

#: Airflow takes only these names over into its settings.
__all__ = []

#: Folders below the Airflow home, in order.
FOLDERS = ("dags", "plugins")


#: What the task supervisor of Airflow 3 puts in place of the connection (Airflow's own text).
NOT_ALLOWED = "airflow-db-not-allowed:///"
CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
OLD_CONNECTION = "AIRFLOW__CORE__SQL_ALCHEMY_CONN"


def open_database():
    """Let an ``airflow`` command that a task runs reach the metadata database (spec/06 section E5).

    Airflow 3 takes the connection from a task's environment, so every ``airflow`` child of it would
    fail while it is imported, ``airflow db clean`` of the guide among them. Python code of tasks stays
    shut out: only a process that was started as the command itself is let in.
    """
    if os.environ.get(CONNECTION) != NOT_ALLOWED or os.environ.get("_AIRFLOW__REEXECUTED_PROCESS") == "1":
        return
    url = os.environ.get("MWAA_LOCAL__SQL_ALCHEMY_CONN")
    if not url or not is_airflow_command(getattr(sys, "orig_argv", sys.argv)):
        return
    os.environ[CONNECTION] = url
    if os.environ.get(OLD_CONNECTION) == NOT_ALLOWED:
        del os.environ[OLD_CONNECTION]
    from airflow import settings

    settings.configure_vars()


def is_airflow_command(words):
    """Whether a process was started as Airflow's command: by the script, or by ``python -m airflow``.

    Args:
        words: The words the process was started with, the interpreter and its options among them.
    """
    for number, word in enumerate(words[1:], 1):
        if word == "-m":
            return words[number + 1 : number + 2] == ["airflow"]
        if not word.startswith("-"):
            return Path(word).name == "airflow"
    return False


def run_user_settings(home):
    """Run the user's files below an Airflow home.

    Raises:
        Exception: Whatever a file raises, after logging where it came from.
    """
    for folder in FOLDERS:
        path = Path(home, folder, "airflow_local_settings.py")
        if not path.is_file():
            continue
        try:
            spec = importlib.util.spec_from_file_location("mwaa_user_local_settings_" + folder, str(path))
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
        except Exception as error:
            logging.getLogger(__name__).error("Failed to load airflow_local_settings from %s: %s", path, error)
            raise


if __name__ == "airflow_local_settings":
    # Airflow imports this file before it configures its logging.
    log_to_stderr.install()
    open_database()
    run_user_settings(os.environ.get("AIRFLOW_HOME") or "/usr/local/airflow")
