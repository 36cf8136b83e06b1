"""``migrate-db``: the metadata database at the schema of this Airflow version (spec/10 section 6.7).

Asking the database for its schema's head takes milliseconds; Airflow is started only when there is something to do.
Startup script, requirements and configuration options (but one) take no part (spec/10 sections 1.2 and 2.2). MWAA's
helper role ``airflow_user`` is not made: it serves RDS logins only, and spec/10 section 10 names it as not to be
copied.

With ``MWAA__DB__AIRFLOW_TARGET_VERSION`` an older version, the database goes back to that one's schema (spec/10 section
6.8); the newer version does that work. Its repair of deferred tasks is not copied: none is left when it runs.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from packaging.version import Version as PackageVersion

from mwaa_local.catalog import after_migration, downgrade_words, migration_words, version
from mwaa_local.errors import EngineError
from mwaa_local.runtime import entrance, environment, files, health, package_set, processes, status
from mwaa_local.runtime.inputs import RuntimeInputs
from mwaa_local.runtime.status import Status

# MWAA's own advisory lock and how long it waits for it (spec/10 section 6.5).
_LOCK, _LOCK_SECONDS = 1234, 300
_MIGRATE_SECONDS = 900.0
# Waiting for a database that is still starting: MWAA tries for 64 s (spec/10 section 6.5).
_CONNECT_SECONDS = 64.0


def run(inputs: RuntimeInputs, record: Status) -> int:
    """Migrate if needed; the exit code.

    Raises:
        EngineError: no database is named or answers, or the migration failed; its last lines are in the error.
    """
    if inputs.database is None:
        raise EngineError("no metadata database is named", why="MWAA__DB__POSTGRES_HOST is not set")
    with record.phase("ask the database"):
        connection = _connect(inputs)
        current = heads(connection, inputs)
        connection.close()
    target = inputs.target_version
    back = target is not None and PackageVersion(target) < PackageVersion(inputs.version.airflow)
    if current == dict(inputs.version.schema_heads) and not back:
        print("The database is migrated to the current version.", flush=True)
        return _finish(record)
    if back and current == dict(version(str(target)).schema_heads):
        print(f"The database is at the schema of Airflow {target}.", flush=True)
        return _finish(record)
    told = (
        f"Downgrading the database to {target}. Downgrading..."
        if back
        else "The database is not yet migrated. Migrating..."
    )
    print(told, flush=True)
    inputs = entrance.enter(inputs, record)
    with record.phase("files"):
        if not inputs.in_image:
            files.link_packages(inputs.python_folder)
        package_set.base(inputs)
    lock = _connect(inputs, statement_seconds=_LOCK_SECONDS)
    try:
        with record.phase("migrate"), lock.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            variables = environment.effective(inputs).variables
            if back:
                _airflow(inputs, downgrade_words(inputs.version.airflow, str(target)), variables)
            elif heads(lock, inputs) != dict(inputs.version.schema_heads):
                _airflow(inputs, migration_words(inputs.version.airflow), variables)
                if more := after_migration(inputs.version.airflow):
                    _airflow(inputs, more, variables)
    finally:
        lock.close()
    print(f"The database is now at {target}." if back else "The database is now migrated.", flush=True)
    return _finish(record)


def heads(connection: Any, inputs: RuntimeInputs) -> dict[str, str]:
    """Where the database's schema stands, by version table; a missing table is left out."""
    found = {}
    with connection.cursor() as cursor:
        for table in inputs.version.schema_heads:
            cursor.execute("SELECT to_regclass(%s)", (table,))
            if cursor.fetchone()[0] is not None:
                cursor.execute(f"SELECT version_num FROM {table}")
                row = cursor.fetchone()
                if row:
                    found[table] = row[0]
    return found


def _connect(inputs: RuntimeInputs, statement_seconds: float | None = None) -> Any:
    import psycopg2

    assert inputs.database is not None
    end = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            connection = health.connect(inputs.database)
            break
        except psycopg2.OperationalError as error:
            if time.monotonic() > end:
                where = f"{inputs.database.host}:{inputs.database.port}"
                raise EngineError(
                    "the metadata database does not answer", where=where, why=str(error).strip()
                ) from error
            time.sleep(0.3)
    if statement_seconds is not None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {int(statement_seconds * 1000)}")
    return connection


def _airflow(inputs: RuntimeInputs, words: Sequence[str], variables: dict[str, str]) -> None:
    """Run a command of Airflow's own.

    Raises:
        EngineError: it failed or took too long.
    """
    try:
        done = subprocess.run(
            [*processes.airflow_words(inputs), *words],
            env=variables,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_MIGRATE_SECONDS,
            check=False,
        )
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        code, output = -1, f"{error.output or ''}\nit took more than {_MIGRATE_SECONDS:.0f} s"
    sys.stdout.write(output)
    sys.stdout.flush()
    if code != 0:
        lines = [line for line in output.splitlines() if line.strip()]
        raise EngineError(
            f"`airflow {' '.join(words)}` failed",
            where=f"exit code {code}",
            why="\n".join(lines[-10:]),
            hint="mwaa-local logs migrate-db",
        )


def _finish(record: Status) -> int:
    print("Finished running db validations", flush=True)
    record.ready()
    record.set(state=status.STOPPED)
    return 0
