"""The comparison: five plain `airflow` processes, started together, each importing Airflow by itself.

They run in the component's own variables and package set, against the database and queue of an environment that is up
and idle; so the only difference to `up` is how the processes are started. The idle environment costs them a few percent
of CPU.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

COMMANDS = ("scheduler", "dag-processor", "triggerer", "celery worker", "api-server")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(project: Path, runs: int) -> list[float]:
    """Seconds from start to the last of the five answering, for each run (Airflow 3)."""
    base = [sys.executable, "-m", "mwaa_local", "--project", str(project), "--engine", "process"]
    subprocess.run([*base, "up", "--json"], check=True, capture_output=True, timeout=600)
    return [_once(base, project) for _ in range(runs)]


def _once(base: list[str], project: Path) -> float:
    ports = {name: _free_port() for name in ("api", "worker", "trigger")}
    heartbeat = project / "plain-heartbeat"
    heartbeat.unlink(missing_ok=True)
    exports = (
        f"export AIRFLOW__API__PORT={ports['api']} AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT={ports['worker']} "
        f"AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT={ports['trigger']} MWAA_LOCAL__WORKER_HEARTBEAT={heartbeat}; "
    )
    begin, wall = time.monotonic(), time.time()
    children = [
        subprocess.Popen(
            [*base, "shell", "worker", "-c", f"{exports} exec airflow {command}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for command in COMMANDS
    ]
    try:
        waiting = {"jobs", "worker", "api"}
        while waiting:
            if time.monotonic() - begin > 240:
                raise SystemExit(f"plain processes: still waiting for {waiting}")
            if "worker" in waiting and heartbeat.exists():
                waiting.discard("worker")
            if waiting & {"api", "jobs"}:
                try:
                    with urllib.request.urlopen(
                        f"http://127.0.0.1:{ports['api']}/api/v2/monitor/health", timeout=2
                    ) as answer:
                        health = json.load(answer)
                    waiting.discard("api")
                    beats = [
                        health[name][f"latest_{name}_heartbeat"] for name in ("scheduler", "triggerer", "dag_processor")
                    ]
                    del beats
                    if _fresh_jobs(base, wall) >= 3:
                        waiting.discard("jobs")
                except (OSError, KeyError, ValueError):
                    pass
            time.sleep(0.1)
        return round(time.monotonic() - begin, 2)
    finally:
        for child in children:
            os.killpg(child.pid, signal.SIGTERM)
        for child in children:
            try:
                child.wait(timeout=40)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _fresh_jobs(base: list[str], since: float) -> int:
    """Kinds of jobs that began after ``since`` (epoch seconds) and have beaten: read from Airflow's own table."""
    import psycopg2

    if not hasattr(_fresh_jobs, "dsn"):
        code = "python3 -c \"import os; print(os.environ['AIRFLOW__DATABASE__SQL_ALCHEMY_CONN'])\""
        done = subprocess.run([*base, "shell", "worker", "-c", code], check=True, capture_output=True, text=True)
        _fresh_jobs.dsn = done.stdout.strip().replace("postgresql+psycopg2", "postgresql")  # type: ignore[attr-defined]
    connection = psycopg2.connect(_fresh_jobs.dsn, connect_timeout=3)  # type: ignore[attr-defined]
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(DISTINCT job_type) FROM job"
                " WHERE start_date > to_timestamp(%s) AND latest_heartbeat IS NOT NULL"
                " AND job_type IN ('SchedulerJob', 'DagProcessorJob', 'TriggererJob')",
                (since,),
            )
            return int(cursor.fetchone()[0])
    finally:
        connection.close()
