"""What a Celery worker imports before it forks its pool.

Each new process of the pool would otherwise do it during its first task. Airflow does the same
for operators, but not for what runs and logs a task on 3.x. On 2.x a task is a new Python, to
which nothing can be handed over.
"""

import contextlib
import importlib

from mwaa_airflow import environment

#: Modules that the first task of a pool process would import on 3.x.
MODULES = (
    "airflow.executors.workloads",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.definitions.connection",
    "airflow.dag_processing.dagbag",
)


def preload(**kwargs):
    """Import the modules and make the log client; a version that lacks one of them does without."""
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from airflow.sdk.log import load_remote_log_handler

    remote = load_remote_log_handler()
    if hasattr(remote, "prepare"):
        remote.prepare()


def install():
    """Have every worker started in this process do it, at the point where it imports its own modules."""
    if environment.airflow_version() < (3,):
        return
    from celery.signals import import_modules

    import_modules.connect(preload, weak=False)
