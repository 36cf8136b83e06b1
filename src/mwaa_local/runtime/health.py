"""Is a component healthy? A heartbeat and an endpoint say so, never a line in a log or an open port (design section 2).

Scheduler: rows of Airflow's ``job`` table, newer than this boot. Worker: a file that Celery's own timer touches. Web
server: its health address. Each question costs milliseconds and imports nothing of Airflow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mwaa_local.catalog import component_processes, limits, web
from mwaa_local.ground import processes as system
from mwaa_local.runtime import listeners, status
from mwaa_local.runtime.inputs import Database, RuntimeInputs
from mwaa_local.runtime.reading import read_inputs

_QUERY = """
    SELECT job_type, EXTRACT(EPOCH FROM (now() - MAX(latest_heartbeat)))
    FROM job WHERE state = 'running' AND start_date >= %s AND job_type = ANY(%s) GROUP BY job_type
"""

_TIMEOUT_SECONDS = 3
_WARM_UP_SECONDS = 60


@dataclass(frozen=True)
class Health:
    """An answer, with one line that explains it."""

    ok: bool
    detail: str


class Probe:
    """Asks one component again and again; keeps its database connection.

    Args:
        inputs: The component's inputs.
        processes: Names of the processes it runs.
        started: When its boot began, in seconds since the epoch: older signs of life do not count.
        supervisor: Process id of the component's supervisor; this process when left out.
    """

    def __init__(
        self, inputs: RuntimeInputs, processes: Sequence[str], started: float, supervisor: int | None = None
    ) -> None:
        self._supervisor = supervisor or os.getpid()
        self._inputs = inputs
        self._processes = processes
        self._started = started
        self._connection: Any = None

    def ask(self) -> Health:
        """The component's health now; bounded by a few seconds, and an exception is an answer too."""
        try:
            if self._inputs.component == "worker":
                return worker(self._inputs.heartbeat_file, self._started)
            if self._inputs.component == "webserver":
                return self._webserver()
            return self._scheduler()
        except Exception as error:  # noqa: BLE001 - an unhealthy component answers in many ways
            self.close()
            return Health(False, " ".join(f"{type(error).__name__}: {error}".split())[:200])

    def _webserver(self) -> Health:
        answer = webserver(self._inputs)
        # On a machine's own loopback another environment may have taken the port and answer just as well.
        family = [self._supervisor, *system.descendants(self._supervisor)] if answer.ok else []
        if answer.ok and listeners.listens(family, self._inputs.web_port) is False:
            return Health(False, f"another process answers on port {self._inputs.web_port}")
        return answer

    def close(self) -> None:
        """Give back the database connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _scheduler(self) -> Health:
        database = self._inputs.database
        if database is None:
            return Health(False, "no metadata database is named")
        if self._connection is None:
            self._connection = connect(database)
        facts = component_processes(self._inputs.component, self._inputs.version.airflow)
        kinds = {item.name: item.job for item in facts if item.job and item.name in self._processes}
        return jobs(self._connection, kinds, self._started)


def connect(database: Database) -> Any:
    """A psycopg2 connection that commits by itself, for short questions."""
    import psycopg2

    options = f"-c statement_timeout={_TIMEOUT_SECONDS * 1000}"
    connection = psycopg2.connect(**database.arguments(connect_timeout=_TIMEOUT_SECONDS), options=options)
    connection.autocommit = True
    return connection


def jobs(connection: Any, processes: Mapping[str, str], started: float) -> Health:
    """Health of the scheduler component by the heartbeats of its processes.

    Args:
        connection: To the metadata database.
        processes: Name of each process to its type in the ``job`` table.
        started: Seconds since the epoch: signs of life from before do not count.
    """
    wanted = {job: name for name, job in processes.items()}
    with connection.cursor() as cursor:
        cursor.execute(_QUERY, (datetime.fromtimestamp(started, UTC), list(wanted)))
        ages = {wanted[kind]: float(age) for kind, age in cursor.fetchall()}
    limit = limits().task_heartbeat_grace_seconds
    missing = [name for name in processes if name not in ages]
    stale = [f"{name} ({ages[name]:.0f} s old)" for name in ages if ages[name] > limit]
    if missing:
        return Health(False, f"no heartbeat yet of {', '.join(missing)}")
    if stale:
        return Health(False, f"old heartbeat of {', '.join(stale)}")
    return Health(True, ", ".join(f"{name} {max(0.0, age):.0f} s ago" for name, age in ages.items()))


def worker(heartbeat: Path, started: float) -> Health:
    """Health of a Celery worker by the file its timer touches."""
    try:
        touched = heartbeat.stat().st_mtime
    except FileNotFoundError:
        return Health(False, "the worker is not ready to take tasks yet")
    if touched < started:
        return Health(False, "the worker is not ready to take tasks yet")
    age = time.time() - touched
    if age > limits().task_heartbeat_grace_seconds:
        return Health(False, f"the worker's loop stands still: last sign of life {age:.0f} s ago")
    return Health(True, f"worker {max(0.0, age):.0f} s ago")


def webserver(inputs: RuntimeInputs) -> Health:
    """Health of the web server component by its own address."""
    import http.client
    from urllib.parse import urlsplit

    facts = web(inputs.version.airflow)
    own = facts.base_url
    base = inputs.container.get(own) or inputs.base_url or inputs.options.get(own, "")
    prefix = urlsplit(base).path.rstrip("/") if "://" in base else ""
    path = f"{prefix}{facts.health}"
    connection = http.client.HTTPConnection("127.0.0.1", inputs.web_port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        answer = connection.getresponse()
        answer.read()
        return Health(answer.status == 200, f"GET {path} answered {answer.status}")
    finally:
        connection.close()


def warm_up(inputs: RuntimeInputs) -> None:
    """Have a web server that has just become healthy build what the first task would otherwise wait for.

    Airflow 3 builds the execution API at its first request, which takes seconds of CPU. Nobody waits for this one, and
    whatever it answers is no verdict.
    """
    import http.client

    path = web(inputs.version.airflow).warm_up
    if inputs.component != "webserver" or not path:
        return
    connection = http.client.HTTPConnection("127.0.0.1", inputs.web_port, timeout=_WARM_UP_SECONDS)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return
    finally:
        connection.close()


def from_status(run_dir: Path, *, max_age_seconds: float = 45.0) -> Health:
    """What the component's own supervisor found last; for an engine that asks often."""
    kept = status.read(run_dir)
    if kept is None:
        return Health(False, "it has not started")
    if kept["state"] in (status.FAILED, status.STOPPED, status.DRAINING):
        return Health(False, f"{kept['state']}: {(kept['error'] or {}).get('what', '')}".rstrip(": "))
    if kept["health_at"] is None:
        phase = f" (done: {kept['phases'][-1]['name']})" if kept["phases"] else ""
        return Health(False, f"booting{phase}")
    age = time.time() - kept["health_at"]
    if age > max_age_seconds:
        return Health(False, f"its supervisor has not answered for {age:.0f} s")
    return Health(not kept["health"], kept["health"] or "healthy")


def check(variables: Mapping[str, str]) -> Health:
    """Ask a component anew, from outside of its supervisor (Docker's HEALTHCHECK).

    Args:
        variables: The component's own environment.
    """
    run_dir = Path(variables.get("MWAA_LOCAL__RUN_DIR") or "/usr/local/mwaa/run")
    kept = status.read(run_dir)
    if kept is None:
        return Health(False, "it has not started")
    if kept["state"] in (status.FAILED, status.STOPPED):
        return from_status(run_dir)
    if kept["component"] == "migrate-db":
        return Health(True, "migrating")
    inputs = read_inputs(kept["component"], variables)
    names = [row["name"] for row in kept["processes"]]
    if not names:
        return from_status(run_dir)
    probe = Probe(inputs, names, kept["started_epoch"], int(kept["pid"]))
    try:
        return probe.ask()
    finally:
        probe.close()
