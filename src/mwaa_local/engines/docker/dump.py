"""The metadata database of a container: asked, written into a file and put back, with the programs of its own image."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mwaa_local.engines import snapshots
from mwaa_local.engines.docker.client import Docker
from mwaa_local.engines.names import DATABASE, DATABASE_USER
from mwaa_local.errors import EngineError, MwaaLocalError

_READY_SECONDS = 60.0
_LINES = 8
_RESTORING = "mwaa_local_restoring"
# The names of before 0.2.
_OLD = "airflow"


@contextmanager
def served(docker: Docker, image: str, volume: str, name: str) -> Iterator[str]:
    """The id of a container, with no network, that serves a database which nothing else serves.

    Args:
        docker: The client.
        image: PostgreSQL's.
        volume: With the database.
        name: For the container.

    Raises:
        EngineError: It does not start.
    """
    docker.call("rm", "--force", "--volumes", name, timeout_s=60.0)  # of one that was killed
    words = ["run", "--detach", "--name", name, "--network", "none", "--volume", f"{volume}:/var/lib/postgresql/data"]
    container = docker.output(*words, image, timeout_s=60.0).strip()
    try:
        end = time.monotonic() + _READY_SECONDS
        while docker.call("exec", container, "pg_isready", "--quiet").returncode:
            if time.monotonic() > end:
                said = docker.call("logs", "--tail", str(_LINES), container)
                raise EngineError(
                    "PostgreSQL did not start",
                    where=f"volume {volume}",
                    why=(said.stdout + said.stderr).decode(errors="replace").strip(),
                    hint="look at that volume with PostgreSQL's own tools",
                )
            time.sleep(0.1)
        yield container
        docker.call("stop", "--time", "60", container, timeout_s=90.0)
    finally:
        docker.call("rm", "--force", "--volumes", container, timeout_s=60.0)


def take(docker: Docker, container: str, target: Path, *, version: str, name: str) -> None:
    """Write a snapshot of the database that a container serves.

    Args:
        docker: The client.
        container: Its id.
        target: The file.
        version: The Airflow version that used it last.
        name: The environment's.

    Raises:
        MwaaLocalError: It could not be written whole; no file is left.
    """
    words = [docker.program, "exec", container, *_words("pg_dump", *snapshots.DUMP_WORDS, DATABASE)]
    with snapshots.writing(target, version, name) as file, tempfile.TemporaryFile() as said:
        dump = subprocess.Popen(
            words, env=dict(docker.variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, cwd="/"
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
            raise _failed("pg_dump", said.read(), str(target))


def put(docker: Docker, container: str, source: Path) -> None:
    """Replace the database that a container serves, and that nobody uses, by a snapshot's: whole or not at all.

    Raises:
        MwaaLocalError: The snapshot is damaged or PostgreSQL refuses it; the database is as it was.
    """
    away = f'DROP DATABASE IF EXISTS "{_RESTORING}" WITH (FORCE)'
    _execute(docker, container, away, f'CREATE DATABASE "{_RESTORING}"')
    words = [docker.program, "exec", "--interactive", container]
    words += _words("psql", *snapshots.RESTORE_WORDS, _RESTORING)
    with tempfile.TemporaryFile() as said:
        psql = subprocess.Popen(
            words, env=dict(docker.variables), stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, cwd="/"
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
            _execute(docker, container, away)
            raise
        if psql.wait():
            said.seek(0)
            _execute(docker, container, away)
            raise _failed("psql", said.read(), str(source))
    _execute(
        docker,
        container,
        f'DROP DATABASE IF EXISTS "{DATABASE}"',
        f'ALTER DATABASE "{_RESTORING}" RENAME TO "{DATABASE}"',
    )


def column(docker: Docker, container: str, query: str) -> list[str]:
    """The first column of a query's rows.

    Raises:
        EngineError: The database does not answer.
    """
    words = _words("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", query, DATABASE)
    done = docker.call("exec", container, *words)
    if done.returncode:
        raise _failed("psql", done.stderr, f"container {container[:12]}")
    return done.stdout.decode().split()


def take_over(docker: Docker, container: str, password: str) -> None:
    """Give a database of before 0.2, with that version's names of database and user, the names of now.

    May be cut at any point and called again; does nothing where there is nothing to do.

    Args:
        docker: The client.
        container: One that serves it, used by nobody else.
        password: The user's.

    Raises:
        EngineError: PostgreSQL refuses it.
    """
    there = f"SELECT rolname FROM pg_roles WHERE rolname = '{DATABASE_USER}'"
    done = docker.call("exec", container, *_words("psql", "-tAc", there, "postgres", user=_OLD))
    if done.returncode:
        return  # the old user is not there, so all of it was made by this version
    if not done.stdout.strip():
        quoted = password.replace("'", "''")
        role = f"CREATE ROLE {DATABASE_USER} SUPERUSER LOGIN PASSWORD '{quoted}'"
        _execute(docker, container, role, user=_OLD)
    names = docker.call("exec", container, *_words("psql", "-tAc", "SELECT datname FROM pg_database", "postgres"))
    if _OLD in names.stdout.decode().split():
        _execute(docker, container, f'ALTER DATABASE "{_OLD}" RENAME TO "{DATABASE}"')


def _execute(docker: Docker, container: str, *statements: str, user: str = DATABASE_USER) -> None:
    """Run statements one by one; on stdin, for one may hold a password.

    Raises:
        EngineError: One failed.
    """
    words = ["exec", "--interactive", container]
    words += _words("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "postgres", user=user)
    done = docker.call(*words, timeout_s=120.0, given="".join(f"{one};\n" for one in statements).encode())
    if done.returncode:
        raise _failed("psql", done.stderr, f"container {container[:12]}")


def _words(program: str, *words: str, user: str = DATABASE_USER) -> list[str]:
    # The socket inside the container asks no password.
    return [program, "--username", user, *words]


def _failed(program: str, said: bytes, where: str) -> EngineError:
    told = said.decode(errors="replace").strip().splitlines()[-_LINES:]
    return EngineError(f"{program} failed", where=where, why="\n".join(told), hint="mwaa-local logs postgres")
