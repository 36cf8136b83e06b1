"""Airflow's ``webserver.config_file`` and ``fab.config_file`` on MWAA (spec/10 section 2.3).

Flask runs this file and takes the names in capitals.
"""

from mwaa_airflow.webserver_config import build

globals().update(build())
