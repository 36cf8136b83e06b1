"""Shared by the contract tests of Airflow's side: an installed Airflow's Python, an AWS endpoint, bad endpoints."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from patience import until

from mwaa_local import catalog
from mwaa_local.errors import MwaaLocalError
from mwaa_local.model.cache import cache_folder
from mwaa_local.packages import ensure_base

SOURCES = Path(__file__).parents[2] / "src"
VERSIONS = ("3.2.1", "2.10.3")
REGION = "us-east-1"
ACCOUNT = "000000000000"


def airflow_python(version: str) -> Path:
    """The Python of the version's base set: one named by the environment, else the user's own, installed once.

    Skips where the set cannot be had (no index, no Python).
    """
    given = os.environ.get("MWAA_LOCAL_TEST_PYTHON_" + version.replace(".", "_"), "")
    return Path(given) if given else _base_set_python(version)


@cache
def _base_set_python(version: str) -> Path:
    try:
        base = ensure_base(catalog.version(version), cache_folder(os.environ), environment=dict(os.environ))
    except MwaaLocalError as error:
        pytest.skip(f"no packages of Airflow {version} here: {error.what}")
    return base.interpreter


class Endpoint:
    """An AWS endpoint process on a port of its own, which may be killed and started again."""

    def __init__(self, state: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.state = state
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mwaa_local.aws.server", "--port", str(self.port), "--state", str(self.state)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self._answers(), 30, "the AWS endpoint")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 3, "mode": "standard"}, read_timeout=10, proxies={}),
        )

    def queue(self, name: str, seconds: int = 43200) -> str:
        made = self.client("sqs").create_queue(QueueName=name, Attributes={"VisibilityTimeout": str(seconds)})
        return str(made["QueueUrl"])

    def group(self, kind: str) -> str:
        """Make the log group of one kind; its name."""
        name = f"airflow-local-{kind}"
        self.client("logs").create_log_group(logGroupName=name)
        return name

    def lines(self, group: str, stream: str) -> list[str]:
        """The messages of a log stream; empty when there is none."""
        logs = self.client("logs")
        try:
            page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in page["events"]]

    def streams(self, group: str) -> list[str]:
        found = self.client("logs").describe_log_streams(logGroupName=group)["logStreams"]
        return sorted(item["logStreamName"] for item in found)


def wait_for(condition: Any, seconds: float, what: str) -> Any:
    """Wait until a condition is true; its value."""
    return until(condition, seconds, told=lambda: what, every=0.05)


def variables(version: str, home: Path, url: str, **more: str) -> dict[str, str]:
    """The environment of an Airflow process, as the runtime makes it, with a database that is never asked."""
    for folder in ("dags", "plugins", "config", "logs"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    found = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONPATH": str(SOURCES),
        "PYTHONUNBUFFERED": "1",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_VERSION": version,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+sqlite:///{home}/results.db",
        "AIRFLOW__CELERY__BROKER_URL": url.replace("http", "sqs", 1),
        "AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS": "mwaa.config.celery.MWAA_CELERY_CONFIG",
        "AIRFLOW__CELERY__WORKER_ENABLE_REMOTE_CONTROL": "False",
        "AIRFLOW__OPERATORS__DEFAULT_QUEUE": "airflow-celery-1",
        "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "mwaa.logging.config.LOGGING_CONFIG",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AWS_REGION": REGION,
        "MWAA__SQS__QUEUE_URL": f"{url}/{ACCOUNT}/airflow-celery-1",
        "MWAA__SQS__CUSTOM_ENDPOINT": url,
        "MWAA__SQS__USE_SSL": "false",
        "MWAA_LOCAL__AWS_ENDPOINT": url,
        # The user's own AWS settings, each of which would break a client that read it.
        "AWS_PROFILE": "no-such-profile",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "the-users",
        "AWS_CONFIG_FILE": str(home / "no-such-file"),
        "http_proxy": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    kinds = {"TASK": "Task", "DAGPROCESSOR": "DAGProcessing"}
    for name, kind in kinds.items():
        prefix = f"MWAA__LOGGING__AIRFLOW_{name}_LOG"
        found[prefix + "_GROUP_ARN"] = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:airflow-local-{kind}"
        found[prefix + "_LEVEL"] = "INFO"
        found[prefix + "S_ENABLED"] = "true"
    found.update(more)
    return found


def run(python: Path, code: str, env: Mapping[str, str], seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run code in an installed Airflow's Python; the finished process, whatever its exit code."""
    return subprocess.run(
        [str(python), "-W", "ignore", "-c", code],
        env=dict(env),
        cwd=env["AIRFLOW_HOME"],
        capture_output=True,
        text=True,
        timeout=seconds,
    )


@contextmanager
def closed_port() -> Iterator[str]:
    """The address of a port on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@contextmanager
def black_hole() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        server.settimeout(0.2)
        kept: list[socket.socket] = []
        over = threading.Event()

        def accept() -> None:
            while not over.is_set():
                try:
                    kept.append(server.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        over.set()
        thread.join(5)
        for connection in kept:
            connection.close()
