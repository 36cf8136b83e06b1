"""Inputs of a component as an image would have them, for tests of the runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mwaa_local.runtime.inputs import RuntimeInputs
from mwaa_local.runtime.reading import read_inputs

ENDPOINT = "http://127.0.0.1:4566"
QUEUE = f"{ENDPOINT}/000000000000/airflow-celery-x"
GROUPS = {
    "DAGPROCESSOR": "DAGProcessing",
    "SCHEDULER": "Scheduler",
    "TRIGGERER": "Scheduler",
    "TASK": "Task",
    "WEBSERVER": "WebServer",
    "WORKER": "Worker",
}


def variables(version: str = "3.2.1", options: dict[str, Any] | None = None, **more: str) -> dict[str, str]:
    """Variables of MWAA's image contract (spec/10 section 2.1) plus ours."""
    given = {
        "PATH": "/usr/bin:/bin",
        "AIRFLOW_VERSION": version,
        "AIRFLOW_ENV_NAME": "local",
        "AWS_REGION": "us-east-1",
        "MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS": json.dumps(options or {}),
        "MWAA__CORE__FERNET_KEY": '{"FernetKey": "fernet"}',
        "MWAA__WEBSERVER__SECRET": '{"secret_key": "web"}',
        "MWAA__CORE__API_SERVER_URL": "http://127.0.0.1:8080",
        "MWAA__CORE__REQUIREMENTS_PATH": "/usr/local/airflow/requirements/requirements.txt",
        "MWAA__CORE__STARTUP_SCRIPT_PATH": "/usr/local/airflow/startup/startup.sh",
        "MWAA__DB__POSTGRES_HOST": "127.0.0.1",
        "MWAA__DB__POSTGRES_PORT": "5432",
        "MWAA__DB__POSTGRES_DB": "airflow",
        "MWAA__DB__POSTGRES_SSLMODE": "prefer",
        "MWAA__DB__CREDENTIALS": '{"username": "airflow", "password": "pass"}',
        "MWAA__SQS__QUEUE_URL": QUEUE,
        "MWAA__SQS__CUSTOM_ENDPOINT": ENDPOINT,
        "MWAA__SQS__USE_SSL": "false",
        "MWAA_LOCAL__AWS_ENDPOINT": ENDPOINT,
        "MWAA_LOCAL__ENVIRONMENT_CLASS": "mw1.small",
        "MWAA_LOCAL__PARALLELISM": "38",
        "MWAA_LOCAL__PARSING_PROCESSES": "1",
    }
    for source, suffix in GROUPS.items():
        prefix = f"MWAA__LOGGING__AIRFLOW_{source}_LOG"
        given[f"{prefix}_GROUP_ARN"] = f"arn:aws:logs:us-east-1:000000000000:log-group:airflow-local-{suffix}"
        given[f"{prefix}_LEVEL"] = "INFO"
        given[f"{prefix}S_ENABLED"] = "true"
    return {**given, **more}


def inputs(
    component: str = "worker", version: str = "3.2.1", options: dict[str, Any] | None = None, **more: str
) -> RuntimeInputs:
    """Parsed inputs of one component."""
    return read_inputs(component, variables(version, options, **more))


def process_variables(folder: Path, **more: str) -> dict[str, str]:
    """Variables of the process engine, with every folder under one."""
    workflow = {
        "dags": folder / "dags",
        "plugins": folder / "plugins",
        "requirements": folder / "requirements.txt",
        "startup_script": folder / "startup.sh",
    }
    own = variables(
        MWAA_LOCAL__HOME=str(folder / "home"),
        MWAA_LOCAL__RUN_DIR=str(folder / "run"),
        MWAA_LOCAL__CACHE_DIR=str(folder / "cache"),
        MWAA_LOCAL__BASE_SET=str(folder / "base"),
        MWAA_LOCAL__WORKFLOW=json.dumps({key: str(path) for key, path in workflow.items()}),
    )
    return {**own, **more}
