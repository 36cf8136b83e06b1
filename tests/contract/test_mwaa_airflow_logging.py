"""Task and DAG logs of real Airflow versions in CloudWatch Logs, and what a dead log endpoint may cost."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mwaa_airflow_support import VERSIONS, Endpoint, airflow_python, black_hole, closed_port, run, variables, wait_for

# A dead endpoint may cost a task this much at its end, in seconds: five to send what waits, and starting Python.
DEAD_LIMIT = 10.0

# Opens a task's log as Airflow 3 does: a JSON logger on the local file, with the remote log's processors.
V3 = """
import json, os, sys, time, types, datetime
import structlog, airflow
from airflow.sdk.log import init_log_file, logging_processors, load_remote_log_handler, upload_to_remote
remote = load_remote_log_handler()
def open_log(path):
    handle = init_log_file(path).open("ab")
    return structlog.wrap_logger(structlog.BytesLogger(handle), processors=logging_processors(json_output=True)).bind()
ti = types.SimpleNamespace(end_date=None)
path = "dag_id=d/run_id=manual__2024-01-01T00:00:00+00:00{x}/task_id=t/attempt=1.log"
"""

# Opens a task's log as Airflow 2 does: by giving the handler of the task logger its context.
V2 = """
import json, logging, os, sys, time, types, datetime
import airflow
from airflow.utils.log.file_task_handler import FileTaskHandler
path = "dag_id=d/run_id=manual__2024-01-01T00:00:00+00:00{x}/task_id=t/attempt=1.log"
FileTaskHandler._render_filename = lambda self, ti, try_number: path
log = logging.getLogger("airflow.task")
handler = log.handlers[0]
log.propagate = False
ti = types.SimpleNamespace(try_number=1, end_date=None)
"""

STREAM = "dag_id=d/run_id=manual__2024-01-01T00_00_00+00_00{x}/task_id=t/attempt=1.log"


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    server = Endpoint(tmp_path / "aws")
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_logging_configuration_loads_no_aws_library(version: str, tmp_path: Path) -> None:
    code = "import airflow, sys; print([n for n in ('boto3', 'botocore', 'watchtower') if n in sys.modules])"
    done = run(airflow_python(version), code, variables(version, tmp_path, "http://127.0.0.1:1"))
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr


def test_v3_writes_by_level_and_reads_back(endpoint: Endpoint, tmp_path: Path) -> None:
    python = airflow_python("3.2.1")
    group = endpoint.group("Task")
    code = (
        V3
        + """
log = open_log(path)
log.debug("below the level"); log.info("one", number=1); log.error("two")
print(os.path.exists(os.path.join(os.environ["AIRFLOW_HOME"], "logs", path)))
upload_to_remote(log, ti)
print(os.path.exists(os.path.join(os.environ["AIRFLOW_HOME"], "logs", path)))
trigger = open_log(path + ".trigger.7.log")
trigger.info("from the trigger")
upload_to_remote(trigger, ti)
notes, streams = remote.stream(path, ti)
print(json.dumps([notes, [[json.loads(line) for line in lines] for lines in streams]]))
"""
    )
    done = run(python, code, variables("3.2.1", tmp_path / "home", endpoint.url))
    assert done.returncode == 0, done.stderr
    before, after, answer = done.stdout.splitlines()[-3:]
    assert (before, after) == ("True", "False")
    assert endpoint.streams(group) == [STREAM, STREAM + ".trigger.7.log"]
    written = [json.loads(line) for line in endpoint.lines(group, STREAM)]
    assert [(line["event"], line["level"]) for line in written] == [("one", "info"), ("two", "error")]
    assert written[0]["number"] == 1 and "timestamp" not in written[0]
    notes, (task, trigger) = json.loads(answer)
    assert notes[0].startswith("Reading remote log from Cloudwatch log_group: arn:aws:logs:") and STREAM in notes[0]
    assert notes[1] == f"Reading triggerer logs from: {STREAM}.trigger.7.log"
    assert [line["event"] for line in task] == ["one", "two"] and task[0]["timestamp"].startswith("20")
    assert [line["event"] for line in trigger] == ["from the trigger"]


def test_v3_leaves_logs_of_dag_files_alone(endpoint: Endpoint, tmp_path: Path) -> None:
    group = endpoint.group("Task")
    code = V3 + 'log = open_log("dag_processor/2024-01-01/d.py.log"); log.info("parsed"); remote.close()'
    done = run(airflow_python("3.2.1"), code, variables("3.2.1", tmp_path / "home", endpoint.url))
    assert done.returncode == 0, done.stderr
    assert endpoint.streams(group) == []


def test_v2_writes_formatted_text_and_reads_it_back_as_it_is(endpoint: Endpoint, tmp_path: Path) -> None:
    group = endpoint.group("Task")
    code = (
        V2
        + """
handler.set_context(ti)
log.debug("below the level"); log.info("hello %s", "world"); log.info("The basic metric validator will be deprecated")
logging.shutdown()
print(json.dumps(handler._read(ti, 1)))
"""
    )
    done = run(airflow_python("2.10.3"), code, variables("2.10.3", tmp_path / "home", endpoint.url))
    assert done.returncode == 0, done.stderr
    (line,) = endpoint.lines(group, STREAM)
    assert re.fullmatch(r"\[\d{4}-\S+\] \{\S+:\d+\} INFO - hello world", line)
    text, metadata = json.loads(done.stdout.splitlines()[-1])
    head, body = text.splitlines()
    assert head.startswith("*** Reading remote log from Cloudwatch") and body == line and metadata["end_of_log"] is True


def test_v2_publishes_dag_files_at_once_and_the_manager_in_its_stream(endpoint: Endpoint, tmp_path: Path) -> None:
    group = endpoint.group("DAGProcessing")
    code = """
import logging, os, airflow
log = logging.getLogger("airflow.processor")
log.handlers[0].set_context("/usr/local/airflow/dags/team/my_dag.py")
logging.getLogger("airflow.processor_manager").info("manager speaks")
log.info("parsed")
os.write(1, b"written")
os._exit(0) if os.environ.get("AT_ONCE") else logging.shutdown()
"""
    env = variables("2.10.3", tmp_path / "home", endpoint.url)
    assert run(airflow_python("2.10.3"), code, dict(env, AT_ONCE="1")).returncode == 0
    assert [line.endswith(" - parsed") for line in endpoint.lines(group, "scheduler_my_dag.py.log")] == [True]
    assert run(airflow_python("2.10.3"), code, env).returncode == 0
    assert len(endpoint.lines(group, "scheduler_my_dag.py.log")) == 2
    assert [line.endswith(" - manager speaks") for line in endpoint.lines(group, "dag_processor_manager.log")] == [True]


def test_v3_writes_without_the_providers_hooks_and_from_a_prepared_parent(endpoint: Endpoint, tmp_path: Path) -> None:
    group = endpoint.group("Task")
    code = (
        V3
        + """
from mwaa_airflow import celery_preload
celery_preload.preload()
client = remote.writer._client
pid = os.fork()
log = open_log("child.log" if pid == 0 else "parent.log")
log.info("hello")
same = remote.writer.cwl_client is client
upload_to_remote(log, ti)
heavy = "airflow.providers.amazon.aws.hooks.base_aws" in sys.modules
if pid == 0: os._exit(0 if same and not heavy else 1)
second = os.fork()
if second == 0: os._exit(0 if remote.writer.cwl_client is not client else 1)
print(same, heavy, os.waitpid(pid, 0)[1], os.waitpid(second, 0)[1])
"""
    )
    done = run(airflow_python("3.2.1"), code, variables("3.2.1", tmp_path / "home", endpoint.url))
    assert done.stdout.splitlines()[-1] == "True False 0 0", done.stdout + done.stderr
    assert endpoint.streams(group) == ["child.log", "parent.log"]


WRITE = {
    "3.2.1": V3
    + """
log = open_log(path)
begun = time.monotonic()
for number in range(500): log.info("line %d" % number)
logged = time.monotonic()
upload_to_remote(log, ti)
uploaded = time.monotonic()
kept = os.path.exists(os.path.join(os.environ["AIRFLOW_HOME"], "logs", path))
notes, streams = remote.stream(path, ti)
print(json.dumps({"logging": logged - begun, "closing": uploaded - logged, "kept": kept, "notes": notes}))
""",
    "2.10.3": V2
    + """
handler.set_context(ti)
begun = time.monotonic()
for number in range(500): log.info("line %d" % number)
logged = time.monotonic()
handler.flush(); handler.close(); logging.shutdown()
closed = time.monotonic()
text, metadata = handler._read(ti, 1)
print(json.dumps({"logging": logged - begun, "closing": closed - logged, "kept": True, "notes": [text]}))
""",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("bad", [closed_port, black_hole], ids=["closed-port", "black-hole"])
def test_a_dead_log_endpoint_costs_a_task_seconds_and_says_so_once(version: str, bad: object, tmp_path: Path) -> None:
    python = airflow_python(version)
    with bad() as url:  # type: ignore[operator]
        done = run(python, WRITE[version], variables(version, tmp_path / "home", url), seconds=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["logging"] < 2.0
    assert found["closing"] < DEAD_LIMIT
    assert found["kept"] is True
    assert any("nable to read" in note or "Failed to read" in note for note in found["notes"])
    assert done.stderr.count("mwaa-local: log lines for airflow-local-Task are lost") == 1


@pytest.mark.parametrize("bad", [closed_port, black_hole], ids=["closed-port", "black-hole"])
def test_a_dead_log_endpoint_does_not_stop_parsing(bad: object, tmp_path: Path) -> None:
    code = """
import logging, time, airflow
log = logging.getLogger("airflow.processor")
log.handlers[0].set_context("/usr/local/airflow/dags/my_dag.py")
begun = time.monotonic()
for number in range(50): log.info("line %d", number)
print(time.monotonic() - begun)
"""
    with bad() as url:  # type: ignore[operator]
        done = run(airflow_python("2.10.3"), code, variables("2.10.3", tmp_path / "home", url))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 5.0


@pytest.mark.parametrize("version", VERSIONS)
def test_lines_of_an_outage_arrive_when_the_endpoint_is_back(version: str, endpoint: Endpoint, tmp_path: Path) -> None:
    group = endpoint.group("Task")
    time.sleep(5)  # the endpoint's snapshot of the new group
    first, later = tmp_path / "first", tmp_path / "later"
    opening = {"3.2.1": "log = open_log(path)", "2.10.3": "handler.set_context(ti)"}[version]
    closing = {"3.2.1": "upload_to_remote(log, ti)", "2.10.3": "logging.shutdown()"}[version]
    code = (
        {"3.2.1": V3, "2.10.3": V2}[version]
        + f"""
{opening}
log.info("before"); open({str(first)!r}, "w").close()
while not os.path.exists({str(later)!r}): time.sleep(0.05)
log.info("during"); time.sleep(6); log.info("after")
{closing}
"""
    )

    def outage() -> None:
        try:
            wait_for(first.exists, 20, "the first line")
            wait_for(lambda: endpoint.lines(group, STREAM), 20, "the first line in CloudWatch")
            endpoint.kill()
        finally:
            later.touch()
        time.sleep(3)
        endpoint.start()

    breaker = threading.Thread(target=outage)
    breaker.start()
    done = run(airflow_python(version), code, variables(version, tmp_path / "home", endpoint.url), seconds=90)
    breaker.join(60)
    assert done.returncode == 0, done.stderr
    text = "\n".join(endpoint.lines(group, STREAM))
    assert "during" in text and "after" in text
    assert "are lost" not in done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_disabled_task_logs_go_nowhere(version: str, endpoint: Endpoint, tmp_path: Path) -> None:
    group = endpoint.group("Task")
    env = variables(version, tmp_path, endpoint.url, MWAA__LOGGING__AIRFLOW_TASK_LOGS_ENABLED="false")
    done = run(airflow_python(version), WRITE[version], env)
    assert done.returncode == 0, done.stderr
    assert endpoint.streams(group) == []
    assert "disabled" in " ".join(json.loads(done.stdout.splitlines()[-1])["notes"])


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_group_airflows_own_files_are_used(version: str, tmp_path: Path) -> None:
    env = variables(version, tmp_path, "http://127.0.0.1:1", MWAA__LOGGING__AIRFLOW_TASK_LOG_GROUP_ARN="")
    code = """
import logging, airflow, mwaa.logging.config as ours
print(type(logging.getLogger("airflow.task").handlers[0]).__name__, ours.REMOTE_TASK_LOG)
"""
    done = run(airflow_python(version), code, env)
    assert done.stdout.splitlines()[-1] == "FileTaskHandler None", done.stdout + done.stderr
