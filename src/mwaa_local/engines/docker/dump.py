"""The metadata database of a container: served for a while, asked, given the names of now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mwaa_local.engines import snapshots
from mwaa_local.engines.docker.client import Docker
from mwaa_local.engines.names import DATABASE, DATABASE_USER
from mwaa_local.errors import EngineError

_READY_SECONDS = 60.0
_LINES = 8
_HINT = "mwaa-local logs postgres"
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


def client(docker: Docker, container: str) -> snapshots.Client:
    """How the database that a container serves is taken into a file and put back.

    Args:
        docker: The client.
        container: Its id.
    """

    def words(program: str, *more: str) -> list[str]:
        return [docker.program, "exec", "--interactive", container, *_words(program, *more)]

    def execute(*statements: str) -> None:
        _execute(docker, container, *statements)

    return snapshots.Client(words, docker.variables, execute, _HINT)


def column(docker: Docker, container: str, query: str) -> list[str]:
    """The first column of a query's rows.

    Raises:
        EngineError: The database does not answer.
    """
    words = _words("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", query, DATABASE)
    done = docker.call("exec", container, *words)
    if done.returncode:
        raise snapshots.failed("psql", done.stderr, f"container {container[:12]}", _HINT)
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
        raise snapshots.failed("psql", done.stderr, f"container {container[:12]}", _HINT)


def _words(program: str, *words: str, user: str = DATABASE_USER) -> list[str]:
    # The socket inside the container asks no password.
    return [program, "--username", user, *words]
