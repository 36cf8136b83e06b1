"""Celery of real Airflow versions on the endpoint's SQS: queues, outages, heartbeat, what a stop gives back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mwaa_airflow_support import VERSIONS, Endpoint, airflow_python, run, variables, wait_for

QUEUE = "airflow-celery-1"

# A Celery application with MWAA's configuration and one task, which notes when it starts and ends.
APP = """
import os, sys, time
import airflow
from mwaa.config.celery import MWAA_CELERY_CONFIG
from celery import Celery
# The results are in SQLite here, which does not know PostgreSQL's connection arguments.
app = Celery("test", config_source=dict(MWAA_CELERY_CONFIG, database_engine_options={}))
@app.task(name="nap")
def nap(name, seconds):
    note(name + " start"); time.sleep(seconds); note(name + " end")
def note(text):
    with open(os.path.join(os.environ["AIRFLOW_HOME"], "notes"), "a") as stream:
        stream.write(text + "\\n")
"""

WORKER = APP + 'app.worker_main(["worker", "-O", "fair", "--concurrency", "1", "--loglevel", "INFO"])'


class Worker:
    """A Celery worker on its own home; with a queue, an endpoint and a way to send to it."""

    def __init__(self, version: str, folder: Path) -> None:
        self.python = airflow_python(version)
        self.home = folder / "home"
        self.endpoint = Endpoint(folder / "aws")
        self.endpoint.start()
        self.url = self.endpoint.queue(QUEUE)
        self.beat = folder / "beat"
        self.log = folder / "worker.log"
        self.env = variables(version, self.home, self.endpoint.url, MWAA_LOCAL__WORKER_HEARTBEAT=str(self.beat))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(self.python), "-W", "ignore", "-c", WORKER],
                env=self.env,
                cwd=self.home,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            wait_for(self.beat.exists, 60, "the worker is ready")
        except AssertionError:
            print(self.text())
            raise

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def notes(self) -> list[str]:
        path = self.home / "notes"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def send(self, *naps: tuple[str, float]) -> None:
        code = APP + "".join(f"nap.apply_async(({name!r}, {seconds}))\n" for name, seconds in naps)
        done = run(self.python, code, self.env)
        assert done.returncode == 0, done.stderr

    def counts(self) -> tuple[int, int]:
        """How many messages are visible, and how many are hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.endpoint.client("sqs").get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        self.endpoint.kill()


@pytest.fixture(params=VERSIONS)
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(request.param, tmp_path)
    yield made
    made.close()


def test_a_worker_consumes_beats_and_drains_on_sigterm(worker: Worker) -> None:
    worker.start()
    first = worker.beat.stat().st_mtime
    # Before anything is sent: beats are 5 s apart, and "a" must still be at work when the signal comes.
    wait_for(lambda: worker.beat.stat().st_mtime > first, 10, "a second beat")
    worker.send(("a", 8), ("b", 0))
    wait_for(lambda: "a start" in worker.notes(), 30, worker.text())
    assert worker.counts()[1] >= 1  # in work means hidden, not deleted
    worker.signal(signal.SIGTERM)
    assert worker.process is not None and worker.process.wait(30) == 0, worker.text()
    assert "a end" in worker.notes() and "b start" not in worker.notes()
    assert worker.counts() == (1, 0)


def test_work_cut_off_by_a_cold_stop_is_visible_again_at_once(worker: Worker) -> None:
    worker.start()
    worker.send(("a", 60))
    wait_for(lambda: "a start" in worker.notes(), 30, worker.text())
    assert worker.counts() == (0, 1)
    worker.signal(signal.SIGQUIT)
    assert worker.process is not None
    worker.process.wait(30)
    wait_for(lambda: worker.counts() == (1, 0), 3, f"{worker.counts()}\n{worker.text()}")


def test_a_stalled_loop_stops_the_heartbeat(worker: Worker) -> None:
    worker.start()
    worker.signal(signal.SIGSTOP)
    stopped = worker.beat.stat().st_mtime
    time.sleep(7)
    assert worker.beat.stat().st_mtime == stopped
    worker.signal(signal.SIGCONT)
    wait_for(lambda: worker.beat.stat().st_mtime > stopped, 10, "a beat after the stall")


def test_a_worker_outlives_a_dead_endpoint_and_rests_meanwhile(worker: Worker) -> None:
    worker.start()
    time.sleep(5)  # the endpoint's snapshot of the new queue
    worker.endpoint.kill()
    wait_for(lambda: "asking again every second" in worker.text(), 30, worker.text())
    assert worker.process is not None
    before = processor_seconds(worker.process.pid)
    time.sleep(5)
    assert processor_seconds(worker.process.pid) - before < 1.0
    worker.endpoint.start()
    worker.send(("a", 0))
    wait_for(lambda: "a end" in worker.notes(), 30, worker.text())
    assert worker.process.poll() is None


def test_a_task_that_ends_while_the_endpoint_is_down_does_not_stop_the_worker(worker: Worker) -> None:
    worker.start()
    worker.send(("a", 12))
    wait_for(lambda: "a start" in worker.notes(), 30, worker.text())
    worker.endpoint.kill()
    wait_for(lambda: "a end" in worker.notes(), 30, worker.text())
    time.sleep(8)  # its message cannot be deleted meanwhile
    worker.endpoint.start()
    worker.send(("b", 0))
    wait_for(lambda: "b end" in worker.notes(), 60, "the next task")
    assert worker.process is not None and worker.process.poll() is None
    beat = worker.beat.stat().st_mtime
    wait_for(lambda: worker.beat.stat().st_mtime > beat, 15, "a beat afterwards")
    wait_for(lambda: worker.counts() == (0, 0), 15, "both messages are deleted")


def test_a_queue_that_is_gone_does_not_end_the_worker(worker: Worker) -> None:
    worker.start()
    worker.endpoint.client("sqs").delete_queue(QueueUrl=worker.url)
    wait_for(lambda: "asking again every second" in worker.text(), 30, worker.text())
    worker.endpoint.queue(QUEUE)
    worker.send(("a", 0))
    wait_for(lambda: "a end" in worker.notes(), 30, worker.text())


def test_another_queue_gives_mwaas_error(worker: Worker) -> None:
    code = (
        APP
        + """
try:
    nap.apply_async(("a", 0), queue="elsewhere")
except Exception as error:
    print(type(error).__name__, error)
"""
    )
    done = run(worker.python, code, worker.env)
    assert done.stdout.splitlines()[-1] == (
        "UndefinedQueueException Queue with name 'elsewhere' must be defined in 'predefined_queues'."
    ), done.stderr


def test_sending_to_a_dead_endpoint_goes_on_until_airflows_own_limit(worker: Worker) -> None:
    worker.endpoint.kill()
    code = (
        APP
        + """
from airflow.utils.timeout import timeout
try:
    with timeout(seconds=2):
        nap.apply_async(("a", 0))
except BaseException as error:
    print(type(error).__name__)
"""
    )
    # Airflow sends again only after its own time-out; any other error fails the task for good.
    done = run(worker.python, code.replace("airflow.utils.timeout", timeout_module(worker)), worker.env)
    assert done.stdout.splitlines()[-1] == "AirflowTaskTimeout", done.stdout + done.stderr


def test_the_configuration_has_every_row_of_mwaas(worker: Worker) -> None:
    code = "import json\nfrom mwaa.config.celery import MWAA_CELERY_CONFIG as c\nprint(json.dumps(c))"
    done = run(worker.python, code, worker.env)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    v3 = worker.env["AIRFLOW_VERSION"].startswith("3")
    queue = {"url": worker.url}
    assert found["broker_transport"] == "mwaa.celery.sqs_broker.Transport"
    assert found["broker_transport_options"] == {
        "visibility_timeout": 43200,
        "predefined_queues": {QUEUE: queue, "default": queue} if v3 else {QUEUE: queue},
        "is_secure": False,
        "region": "us-east-1",
    }
    assert (found["task_acks_late"], found["worker_prefetch_multiplier"]) == (True, 1)
    engine = found["database_engine_options"]
    assert (engine["pool_pre_ping"], engine["pool_recycle"]) == (True, 1200)
    assert engine["connect_args"]["connect_timeout"] == 15


def timeout_module(worker: Worker) -> str:
    """Where this version keeps the time limit around sending."""
    v3 = worker.env["AIRFLOW_VERSION"].startswith("3")
    return "airflow.providers.common.compat.sdk" if v3 else "airflow.utils.timeout"


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
