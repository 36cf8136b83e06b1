"""The main job: every example DAG succeeds on every version in every engine, and its log can be read (issue: Done when)."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from patience import Stopwatch
from tool import EXAMPLES, ROOT, Tool, wait_for
from versions_support import IS_ALL

from mwaa_local.observability.airflow_api import AirflowApi

pytestmark = pytest.mark.timeout(900)

CASES = [
    pytest.param(("process", "2.10.3"), id="process-2.10.3"),
    pytest.param(("docker", "3.2.1"), id="docker-3.2.1", marks=pytest.mark.docker),
]
if IS_ALL:
    CASES += [
        pytest.param(("process", "3.2.1"), id="process-3.2.1"),
        pytest.param(("docker", "2.10.3"), id="docker-2.10.3", marks=pytest.mark.docker),
    ]


@pytest.fixture(scope="module", params=CASES)
def up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    engine, version = request.param
    tool = Tool(tmp_path_factory.mktemp("examples") / "project", version=version, engine=engine)
    if engine == "docker":
        reason = docker_reason(tool.folder)
        if reason:
            pytest.skip(f"no Docker engine: {reason}")
    try:
        document = tool.json("up", "--timeout", "400")
        assert {c["state"] for c in document["components"]} == {"healthy"}, document
        yield tool
    finally:
        tool.run("reset", "--yes")


def docker_reason(folder: Path) -> str | None:
    import os

    from mwaa_local import model
    from mwaa_local.engines.docker.engine import why_unusable

    return why_unusable(model.load(folder), dict(os.environ))


def api(tool: Tool) -> AirflowApi:
    return AirflowApi(tool.json("status", code=None)["web"], tool.version)


def test_every_example_succeeds(up: Tool) -> None:
    # Its task of 90 s runs beside the other tests; a later one looks at how it ended.
    wait_for(
        "long_bash is parsed",
        lambda: up.run("airflow", "dags", "trigger", "long_bash", "--run-id", "long-1").returncode == 0,
        seconds=60,
    )
    words = [word for dag in EXAMPLES for word in ("--dag", dag)]
    junit = up.folder / "smoke.xml"
    document = up.json("smoke", *words, "--junit", str(junit))
    assert document["passed"], json.dumps(document, indent=1)
    assert {run["dag_id"] for run in document["runs"]} == set(EXAMPLES)
    assert junit.read_bytes().startswith(b"<?xml")


def test_the_walk_of_the_tutorial_and_the_table_of_the_readme(up: Tool) -> None:
    """What the pages print for a running environment, run; `tests/unit/test_docs_commands.py` reads all the rest."""
    if up.version.startswith("3"):  # the page's DAG file is written for the default version
        page = (ROOT / "docs/tutorial/first-dag.md").read_text(encoding="utf-8")
        (code,) = re.findall(r"^   ```python\n(.*?)^   ```", page, re.MULTILINE | re.DOTALL)
        (up.folder / "dags" / "my_first.py").write_text(textwrap.dedent(code), encoding="utf-8")
        wait_for("it is parsed", lambda: "my_first" in up.good("airflow", "dags", "list"), seconds=60)
        walk = re.findall(r"^   \.venv/bin/mwaa-local (.*my_first.*)$", page, re.MULTILINE)
        assert [line.split()[0] for line in walk] == ["smoke", "logs"]
        for line in walk:
            printed = up.good(*line.split())
        assert "Hello from my machine" in printed
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for words in (
        "status",
        "logs worker",
        "shell worker -c true",
        "airflow version",
        "config",
        "env",
        "doctor",
        "versions",
    ):
        assert re.search(rf"[`,] ?`?(?:mwaa-local )?{words.split()[0]}\b", readme), words
        placed = [] if words.startswith("airflow") else ["--engine", up.engine, "--project", str(up.folder)]
        # A busy machine may answer a health question late: the words are on trial here, not its load.
        said = [*words.split(), *placed]
        wait_for(words, partial(_ends_well, up, said), seconds=60)


def _ends_well(tool: Tool, words: list[str]) -> bool:
    return tool.run(*words).returncode == 0


def test_task_logs_are_read_back_in_the_api_and_on_the_command_line(up: Tool) -> None:
    printed = up.good("logs", "task", "uses_plugin")
    assert "Hello plugin" in printed
    deferred = up.good("logs", "task", "deferrable_wait")
    assert "woken by the triggerer" in deferred


def test_the_log_groups_hold_the_guides_streams(up: Tool) -> None:  # spec/08 section 3, spec/04 section 8.2
    from mwaa_local.aws.client import client

    status = up.json("status", code=None)
    logs = client("logs", status["aws"], "us-east-1")
    groups = {group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]}
    assert groups >= {f"airflow-e2e-{kind}" for kind in ("DAGProcessing", "Scheduler", "Task", "WebServer", "Worker")}
    for kind, component in (("Scheduler", "scheduler"), ("Worker", "worker"), ("WebServer", "webserver")):
        group = f"airflow-e2e-{kind}"
        wait_for(
            f"startup stream of {component}",
            lambda group=group: logs.describe_log_streams(
                logGroupName=group, logStreamNamePrefix="startup_script_execution_ip"
            )["logStreams"],
            seconds=30,
        )
        (stream, *_) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="startup_script_execution_ip")[
            "logStreams"
        ]
        events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)[
            "events"
        ]
        text = "\n".join(event["message"] for event in events)
        for line in (
            f"[INFO] - Starting component: {component}",
            "[INFO] - Startup script execution time: ",
            "[INFO] - Executing post startup script verification",
            "[INFO] - Post startup script verification completed",
        ):
            assert line in text, text
        assert logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="requirements_install_ip")[
            "logStreams"
        ]


def test_a_saved_dag_shows_within_seconds_and_a_broken_one_is_told(up: Tool) -> None:
    (up.folder / "dags" / "fresh.py").write_text(
        (up.folder / "dags" / "hello_taskflow.py").read_text().replace("hello_taskflow", "fresh")
    )
    watch = Stopwatch()
    client = api(up)
    wait_for("the new DAG", lambda: "fresh" in {dag.id for dag in client.dags()}, seconds=40)
    assert watch.given() < 20
    broken = up.folder / "dags" / "broken.py"
    broken.write_text("from airflow import DAG\nimport no_such_module\n")
    try:
        wait_for("the import error", client.import_errors, seconds=40)
        done = up.run("status")
        assert "no_such_module" in done.stdout
        assert done.returncode == 0, "an import error is not fatal"
        failed = up.run("smoke")
        assert failed.returncode == 1
        assert "no_such_module" in failed.stderr
    finally:
        broken.unlink()


# What the guide's samples do inside tasks: spec/06 sections E5 (db clean), E4 (MWAA_ENV_NAME), E1 (boto3's own MWAA client).
GUIDE = """
import os
from datetime import datetime
from airflow import DAG
try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.bash import BashOperator
    from airflow.operators.python import PythonOperator


def ask_mwaa():
    import boto3
    client = boto3.client("mwaa")
    try:
        client.list_environments()
    except client.exceptions.ValidationException as error:
        print("MWAA says:", error)


with DAG("guide", schedule=None, start_date=datetime(2026, 1, 1), catchup=False):
    BashOperator(
        task_id="clean",
        bash_command="airflow db clean --clean-before-timestamp 2001-01-01 --tables log,xcom --skip-archive --yes",
    )
    PythonOperator(task_id="ask", python_callable=ask_mwaa)
    BashOperator(task_id="name", bash_command='test "$MWAA_ENV_NAME" = e2e')
"""


def test_tasks_do_what_the_guides_samples_do(up: Tool) -> None:
    (up.folder / "dags" / "guide.py").write_text(GUIDE)
    client = api(up)
    wait_for("the DAG", lambda: "guide" in {dag.id for dag in client.dags()}, seconds=60)
    document = up.json("smoke", "--dag", "guide")
    assert document["passed"], json.dumps(document, indent=1)
    printed = up.good("logs", "task", "guide")
    assert "Checking table log" in printed and "Checking table xcom" in printed
    assert "Encountered error when attempting to clean table" not in printed
    assert "MWAA says:" in printed and "mwaa-local status" in printed


def test_exit_codes_of_airflow_and_shell_are_kept(up: Tool) -> None:
    assert up.run("airflow", "dags", "list").returncode == 0
    assert up.run("airflow", "no-such-command").returncode == 2
    assert up.run("shell", "worker", "-c", "exit 7").returncode == 7
    assert up.good("shell", "worker", "-c", "echo $ENVIRONMENT_STAGE; pwd").split() == [
        "development",
        "/usr/local/airflow",
    ]


def test_the_long_task_ran_once(up: Tool) -> None:  # longer than a queue's usual visibility: spec/10 section 6.1
    client = api(up)
    wait_for("the 90 s task", lambda: client.run_state("long_bash", "long-1") in ("success", "failed"), seconds=180)
    assert client.run_state("long_bash", "long-1") == "success"
    (task,) = client.task_instances("long_bash", "long-1")
    assert task.try_number == 1
    assert task.seconds is not None and task.seconds > 80
    lines = client.task_log("long_bash", "long-1", task)
    assert sum("started" in line and "echo" not in line for line in lines) == 1, "delivered twice"


def test_everything_is_there_again_after_down_and_up(up: Tool) -> None:
    up.good("airflow", "variables", "set", "kept", "yes")
    up.good("down")
    assert up.run("status").returncode == 1
    document = up.json("up")
    assert [change for change in document["changes"] if " port is " not in change] == []
    assert up.good("airflow", "variables", "get", "kept").split()[-1] == "yes"
    assert "Hello plugin" in up.good("logs", "task", "uses_plugin"), "the log group was lost"
