"""To be installed as ``config/airflow_local_settings.py`` of the Airflow home (spec/10 section 5.2).

Runs the user's ``airflow_local_settings.py`` of the DAGs folder, then of the plugins folder. As on
MWAA they run for their side effects only: functions defined there are not seen by Airflow unless
they register themselves, and an exception in one of them ends every Airflow process.
"""

import importlib.util
import logging
import os
from pathlib import Path

#: Airflow takes only these names over into its settings.
__all__ = []

#: Folders below the Airflow home, in order.
FOLDERS = ("dags", "plugins")


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
    run_user_settings(os.environ.get("AIRFLOW_HOME") or "/usr/local/airflow")
