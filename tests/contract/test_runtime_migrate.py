"""``migrate-db`` and the scheduler's heartbeats against a real PostgreSQL; Airflow is a stand-in that only moves the head."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import until

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from runtime_support import process_variables

from mwaa_local.catalog import version
from mwaa_local.engines import ports
from mwaa_local.engines.process import postgres
from mwaa_local.ground import processes
from mwaa_local.runtime import health
from mwaa_local.runtime.inputs import Database

pytestmark = pytest.mark.skipif(not processes.LINUX, reason="reads /proc")

PASSWORD = "right"
HEAD = version("3.2.1").schema_heads["alembic_version"]

# Plays `python -P -m airflow db migrate`.
AIRFLOW = """#!{python}
import os, sys, time
from pathlib import Path
with open({calls!r}, "a") as file:
    file.write(" ".join(sys.argv[1:]) + " " + os.environ.get("AIRFLOW__CORE__PARALLELISM", "") + "\\n")
if "fail" in os.environ:
    print("alembic: cannot do that"); sys.exit(3)
import psycopg2
opened = psycopg2.connect(host="127.0.0.1", port={port}, user={user!r}, password={password!r}, dbname={name!r})
with opened, opened.cursor() as cursor:
    time.sleep(0.5)
    cursor.execute("CREATE TABLE alembic_version (version_num varchar(32))")
    cursor.execute("INSERT INTO alembic_version VALUES ({head!r})")
print("Database migration done!")
"""


class Rig:
    """A server, and a component folder that uses it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = ports.any_free()
        cluster = postgres.create(folder / "cluster", password=PASSWORD)
        words = postgres.launched(cluster.identity, cluster.serve(self.port), parent=os.getpid())
        self.server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self.server.poll() is not None or not postgres.answers(self.port, PASSWORD))
        assert self.server.poll() is None
        python = folder / "base" / "bin" / "python"
        python.parent.mkdir(parents=True)
        self.calls_file = folder / "calls"
        text = AIRFLOW.format(
            python=sys.executable,
            calls=str(self.calls_file),
            port=self.port,
            user=postgres.USER,
            password=PASSWORD,
            name=postgres.DATABASE,
            head=HEAD,
        )
        python.write_text(text)
        python.chmod(0o755)

    def migrate(self, **more: str) -> subprocess.Popen[str]:
        given = process_variables(
            self.folder,
            MWAA__DB__POSTGRES_PORT=str(self.port),
            MWAA__DB__POSTGRES_DB=postgres.DATABASE,
            MWAA__DB__CREDENTIALS=json.dumps({"username": postgres.USER, "password": PASSWORD}),
            MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS='{"AIRFLOW__CORE__PARALLELISM": "3"}',
            **more,
        )
        words = [sys.executable, "-m", "mwaa_local.runtime", "migrate-db"]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(words, env=given, cwd="/", text=True, **output)  # type: ignore[call-overload, no-any-return]

    def query(self, text: str, *values: Any) -> list[Any]:
        with postgres.connection(self.port, PASSWORD) as opened, opened.cursor() as cursor:
            cursor.execute(text, values)
            return list(cursor.fetchall()) if cursor.description else []

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []

    @property
    def status(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "run" / "status.json").read_text()))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.server.send_signal(signal.SIGINT)
    made.server.wait(20)
    postgres.destroy(tmp_path / "cluster")


def test_an_empty_database_is_migrated_once_however_many_ask(rig: Rig) -> None:
    both = [rig.migrate(), rig.migrate(MWAA_LOCAL__RUN_DIR=str(rig.folder / "other"))]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert [call.rpartition("/")[2] for call in rig.calls] == [
        "airflow db migrate 38"
    ]  # and without the user's options (spec/10 section 2.2)
    assert all("Finished running db validations" in output for output in outputs)
    assert rig.status["state"] == "stopped"


def test_what_another_migrated_meanwhile_is_not_migrated_again(rig: Rig) -> None:
    with postgres.connection(rig.port, PASSWORD) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1234)")  # MWAA's own (spec/10 section 6.5)
        process = rig.migrate()
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: rig.query(waiting) or process.poll() is not None)
        assert process.poll() is None
        rig.query("CREATE TABLE alembic_version (version_num varchar(32))")
        rig.query("INSERT INTO alembic_version VALUES (%s)", HEAD)
        cursor.execute("SELECT pg_advisory_unlock(1234)")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert rig.calls == []


def test_a_current_database_costs_milliseconds_and_no_airflow(rig: Rig) -> None:
    rig.query("CREATE TABLE alembic_version (version_num varchar(32))")
    rig.query("INSERT INTO alembic_version VALUES (%s)", HEAD)
    process = rig.migrate()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "The database is migrated to the current version." in output
    assert rig.calls == []
    assert rig.status["phases"][0]["seconds"] < 2
    roles = [row[0] for row in rig.query("SELECT rolname FROM pg_roles")]
    assert "airflow_user" not in roles  # spec/10 section 10, row 15: not to be copied


def test_a_failed_migration_says_why(rig: Rig) -> None:
    process = rig.migrate(fail="1")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "`airflow db migrate` failed" in output
    assert "alembic: cannot do that" in rig.status["error"]["why"]
    assert rig.status["state"] == "failed"


def test_heartbeats_older_than_the_boot_do_not_count(rig: Rig) -> None:
    rig.query(
        "CREATE TABLE job (job_type varchar(30), state varchar(20), start_date timestamptz, latest_heartbeat timestamptz)"
    )
    insert = "INSERT INTO job VALUES (%s, %s, now() - %s * interval '1 second', now() - %s * interval '1 second')"
    boot = time.time() - 60
    rig.query(insert, "SchedulerJob", "running", 300, 1)  # of the boot before, still written as running
    rig.query(insert, "DagProcessorJob", "running", 30, 2)
    rig.query(insert, "TriggererJob", "failed", 30, 2)
    database = Database("127.0.0.1", rig.port, postgres.DATABASE, postgres.USER, PASSWORD, "prefer")
    connection = health.connect(database)
    names = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
    try:
        found = health.jobs(connection, names, boot)
        assert found.detail == "no heartbeat yet of scheduler, triggerer"
        rig.query(insert, "SchedulerJob", "running", 20, 3)
        rig.query(insert, "TriggererJob", "running", 20, 45)
        assert health.jobs(connection, names, boot).detail == "old heartbeat of triggerer (45 s old)"
        rig.query("UPDATE job SET latest_heartbeat = now()")
        assert health.jobs(connection, names, boot).ok
    finally:
        connection.close()
