"""Kill -9 of each part in turn: the environment heals by itself and interrupted runs end as on MWAA (issue: Done when)."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tool import Tool, wait_for
from versions_support import one_of

from mwaa_local.observability.airflow_api import AirflowApi

pytestmark = [pytest.mark.drills, pytest.mark.timeout(900)]

SLOW = """
from datetime import datetime, timedelta

try:
    from airflow.sdk import dag, task
except ImportError:
    from airflow.decorators import dag, task

options = dict(start_date=datetime(2024, 1, 1), schedule=None, catchup=False, is_paused_upon_creation=False)


@dag("slow_once", **options)
def slow_once():
    @task(retries=0)
    def work():
        import time

        time.sleep(25)

    work()


@dag("slow_retry", **options)
def slow_retry():
    @task(retries=1, retry_delay=timedelta(seconds=1))
    def work(ti=None):
        import time

        time.sleep(25 if ti.try_number == 1 else 1)

    work()


@dag("quick", **options)
def quick():
    @task
    def work():
        return 1

    work()


slow_once()
slow_retry()
quick()
"""

# A worker's death is noticed by its tasks' missing heartbeats: 300 s on MWAA. A task whose process could not reach the database
# before it ran stays queued until Airflow gives it up: 1800 s on MWAA. A scheduler that lost the database could not write that
# it ended: the next one takes over its running tasks only at the second look for orphans, 300 s on MWAA. All are shortened here
# so that a test can wait for them.
DEFINITION = """
AirflowConfigurationOptions:
  {option}: "15"
  {interval}: "5"
  scheduler.task_queued_timeout: "120"
  scheduler.task_queued_timeout_check_interval: "5"
  scheduler.orphaned_tasks_check_interval: "10"
"""
OPTIONS = {
    "3.2.1": {
        "option": "scheduler.task_instance_heartbeat_timeout",
        "interval": "scheduler.task_instance_heartbeat_timeout_detection_interval",
    },
    "2.10.3": {
        "option": "scheduler.scheduler_zombie_task_threshold",
        "interval": "scheduler.zombie_detection_interval",
    },
}


@pytest.fixture(scope="module", params=one_of("2.10.3", "3.2.1"))
def up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    version = request.param
    tool = Tool(
        tmp_path_factory.mktemp("faults") / "project", version=version, definition=DEFINITION.format(**OPTIONS[version])
    )
    for path in (tool.folder / "dags").glob("*.py"):
        path.unlink()
    (tool.folder / "dags" / "slow.py").write_text(SLOW)
    (tool.folder / "requirements" / "requirements.txt").unlink()
    try:
        tool.json("up", "--timeout", "400")
        wait_for("DAGs", lambda: len(api(tool).dags()) == 3, seconds=90)
        yield tool
    finally:
        tool.run("reset", "--yes")


def api(tool: Tool) -> AirflowApi:
    return AirflowApi(tool.json("status", code=None)["web"], tool.version)


def healed(tool: Tool, component: str, old: int) -> None:
    def check() -> bool:
        document = tool.json("status", code=None)
        now = {item["name"]: item for item in document["components"]}
        return bool(document["healthy"] and now[component]["pid"] != old)

    wait_for(f"{component} is healthy again", check, seconds=180, every=1)


def ended(client: AirflowApi, dag: str, run: str, *, seconds: float = 180) -> str:
    try:
        wait_for(
            f"{dag} {run} ends", lambda: client.run_state(dag, run) in ("success", "failed"), seconds=seconds, every=1
        )
    except AssertionError as error:
        tasks = [(task.task_id, task.state, task.try_number) for task in client.task_instances(dag, run)]
        raise AssertionError(f"{error}; the run is {client.run_state(dag, run)}, its tasks: {tasks}") from None
    return client.run_state(dag, run)


def start(client: AirflowApi, dag: str) -> str:
    return client.trigger(dag, {})


def running(client: AirflowApi, dag: str, run: str) -> None:
    wait_for(f"{dag} runs", lambda: [t.state for t in client.task_instances(dag, run)] == ["running"], seconds=60)


def test_a_worker_killed_in_the_middle_of_a_task(up: Tool) -> None:
    client = api(up)
    once, retry = start(client, "slow_once"), start(client, "slow_retry")
    running(client, "slow_once", once)
    running(client, "slow_retry", retry)
    children = psutil.Process(int(up.component("worker")["pid"])).children(recursive=True)
    pid = up.kill("worker")
    psutil.wait_procs(children, timeout=30)
    assert [child.pid for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == [], (
        "orphans"
    )
    healed(up, "worker", pid)
    assert ended(client, "slow_once", once) == "failed", "no retries: as on MWAA, the run fails"
    assert ended(client, "slow_retry", retry) == "success"
    (task,) = client.task_instances("slow_retry", retry)
    assert task.try_number == 2


def test_the_aws_endpoint_killed_with_tasks_queued(up: Tool) -> None:
    client = api(up)
    up.good("shell", "worker", "-c", "true")
    runs = [start(client, "quick") for _ in range(6)]
    pid = up.kill("aws")
    healed(up, "aws", pid)
    assert [ended(client, "quick", run, seconds=300) for run in runs] == ["success"] * 6


def test_postgresql_killed_under_load(up: Tool) -> None:
    client = api(up)
    runs = [start(client, "quick") for _ in range(4)]
    slow = start(client, "slow_once")
    running(client, "slow_once", slow)
    pid = up.kill("postgres")
    healed(up, "postgres", pid)
    client = api(up)
    wait_for("the API answers", lambda: client.dags(), seconds=90)
    for run in runs:
        assert ended(client, "quick", run, seconds=300) in ("success", "failed")
    assert ended(client, "slow_once", slow) in ("success", "failed")
    after = start(client, "quick")
    assert ended(client, "quick", after) == "success"


@pytest.mark.parametrize("component", ["scheduler", "webserver", "guardian"])
def test_other_components_come_back(up: Tool, component: str) -> None:
    pid = up.kill(component)
    healed(up, component, pid)
    client = api(up)
    assert ended(client, "quick", start(client, "quick")) == "success"


def test_one_airflow_process_of_the_scheduler_component_dies(up: Tool) -> None:
    before = up.component("scheduler")
    processes = {item["name"]: item["pid"] for item in before["runtime"]["processes"]}
    os.kill(processes["triggerer"], signal.SIGKILL)
    healed(up, "scheduler", before["pid"])
    after = up.component("scheduler")
    assert after["restarts"] > before["restarts"]


def test_the_keeper_killed_leaves_no_orphans_and_up_recovers(up: Tool) -> None:
    document = up.json("status", code=None)
    pids = [
        item["pid"]
        for item in document["components"]
        if item["name"] != "keeper" and item["level"] != "site" and item["pid"]
    ]
    family = [child for pid in pids for child in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]]
    up.kill("keeper")
    _, alive = psutil.wait_procs(family, timeout=120)
    alive = [child for child in alive if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not alive, [(child.pid, child.name()) for child in alive]
    up.json("up")
    client = api(up)
    assert ended(client, "quick", start(client, "quick")) == "success"


def test_no_zombies_and_nothing_left_after_down(up: Tool) -> None:
    document = up.json("status", code=None)
    keeper = next(item["pid"] for item in document["components"] if item["name"] == "keeper")
    family = psutil.Process(keeper).children(recursive=True)
    zombies = [child.pid for child in family if child.is_running() and child.status() == psutil.STATUS_ZOMBIE]
    time.sleep(3)  # a process may just have ended; what counts is one that nobody reaps
    assert [
        pid for pid in zombies if psutil.pid_exists(pid) and psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    ] == []
    client = api(up)
    run = start(client, "quick")
    assert ended(client, "quick", run) == "success"
    up.good("down")
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [child for child in alive if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    up.json("up")
    assert api(up).run_state("quick", run) == "success"


def test_up_killed_in_the_middle_recovers(tmp_path: Path) -> None:
    import subprocess
    import sys

    tool = Tool(tmp_path / "project", version="3.2.1")
    try:
        for pause in (0.6, 2.5):
            words = [sys.executable, "-m", "mwaa_local", "--project", str(tool.folder), "--engine", "process", "up"]
            child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(pause)
            child.kill()
            child.wait()
        document = tool.json("up")
        assert {item["state"] for item in document["components"]} == {"healthy"}, json.dumps(document, indent=1)
    finally:
        tool.run("reset", "--yes")
