"""Airflow's log lines on stderr, for a command whose stdout somebody reads.

Airflow writes them to stdout, on 3.x also while a command starts, so that ``airflow dags list -o json`` is no JSON.
A component's own processes keep Airflow's way: their supervisor reads both.
"""

import functools
import sys

from mwaa_airflow import environment

#: Set to ``true`` for such a command, and nowhere else.
VARIABLE = "MWAA_LOCAL__LOG_TO_STDERR"


def wanted():
    """Return whether this process is to log to stderr."""
    return environment.flag(VARIABLE, False)


def install():
    """Before Airflow 3 configures its logging, have it do so on stderr; Airflow 2 reads :func:`console_stream`."""
    if not wanted():
        return
    try:
        from airflow._shared import logging
    except ImportError:
        return
    logging.configure_logging = functools.partial(logging.configure_logging, output=sys.stderr)


def console_stream(config):
    """Point the console of Airflow 2's logging configuration at stderr, in place."""
    for handler in config["handlers"].values():
        if wanted() and handler.get("stream") == "sys.stdout":
            handler["stream"] = "sys.stderr"
