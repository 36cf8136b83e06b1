"""The metadata database into a file and back, with PostgreSQL's own programs."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from mwaa_local.engines import names, snapshots
from mwaa_local.engines.ports import HOST
from mwaa_local.engines.process import postgres
from mwaa_local.errors import EngineError, MwaaLocalError

_LINES = 8
_RESTORING = "mwaa_local_restoring"


def take(cluster: postgres.Cluster, port: int, password: str, target: Path, *, version: str, name: str) -> None:
    """Write a snapshot of a database that is served.

    Args:
        cluster: Whose programs.
        port: Of its server.
        password: Of its user.
        target: The file.
        version: The Airflow version that used it last.
        name: The environment's.

    Raises:
        MwaaLocalError: It could not be written whole; no file is left.
    """
    words = [str(cluster.programs / "pg_dump"), *_where(port), *snapshots.DUMP_WORDS, names.DATABASE]
    with snapshots.writing(target, version, name) as file, tempfile.TemporaryFile() as said:
        dump = subprocess.Popen(
            words, env=_variables(password), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, cwd="/"
        )
        assert dump.stdout is not None
        try:
            while piece := dump.stdout.read(1 << 18):
                file.write(piece)
        except BaseException:
            dump.kill()
            raise
        finally:
            dump.stdout.close()
            code = dump.wait()
        if code:
            said.seek(0)
            raise _failed("pg_dump", said.read(), target)


def put(cluster: postgres.Cluster, port: int, password: str, source: Path) -> None:
    """Replace a database that is served, and that nobody uses, by a snapshot's: whole or not at all.

    Raises:
        MwaaLocalError: The snapshot is damaged or PostgreSQL refuses it; the database is as it was.
    """
    statements = (f'DROP DATABASE IF EXISTS "{_RESTORING}"', f'CREATE DATABASE "{_RESTORING}"')
    _execute(port, password, *statements)
    words = [str(cluster.programs / "psql"), *_where(port), *snapshots.RESTORE_WORDS, _RESTORING]
    with tempfile.TemporaryFile() as said:
        psql = subprocess.Popen(
            words, env=_variables(password), stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, cwd="/"
        )
        assert psql.stdin is not None
        try:
            with psql.stdin:
                for line in snapshots.lines(source):
                    psql.stdin.write(line)
        except BrokenPipeError:
            pass  # it says why
        except MwaaLocalError:
            psql.kill()
            psql.wait()
            _execute(port, password, f'DROP DATABASE IF EXISTS "{_RESTORING}"')
            raise
        if psql.wait():
            said.seek(0)
            _execute(port, password, f'DROP DATABASE IF EXISTS "{_RESTORING}"')
            raise _failed("psql", said.read(), source)
    _execute(
        port, password, f'DROP DATABASE IF EXISTS "{names.DATABASE}"',
        f'ALTER DATABASE "{_RESTORING}" RENAME TO "{names.DATABASE}"',
    )  # fmt: skip


def _execute(port: int, password: str, *statements: str) -> None:
    with postgres.connection(port, password, seconds=60.0, database="postgres") as opened, opened.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _where(port: int) -> list[str]:
    return ["--host", HOST, "--port", str(port), "--username", names.DATABASE_USER, "--no-password"]


def _variables(password: str) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PGPASSWORD": password, "PGSSLMODE": "disable"}


def _failed(program: str, said: bytes, file: Path) -> EngineError:
    told = said.decode(errors="replace").strip().splitlines()[-_LINES:]
    return EngineError(f"{program} failed", where=str(file), why="\n".join(told), hint="run `mwaa-local doctor`")
