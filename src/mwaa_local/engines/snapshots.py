"""A metadata database in a file: gzipped SQL whose first line says what it is, the same from every engine.

Plain SQL, because an older PostgreSQL reads what a newer one wrote, which it does not of ``pg_dump``'s archives;
without owners and grants, because an engine's users are its own. ``zcat FILE | psql`` looks into one.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mwaa_local.engines.names import DATABASE
from mwaa_local.errors import EngineError, MwaaLocalError
from mwaa_local.ground import atomic

_DUMP_WORDS = ("--no-owner", "--no-privileges", "--encoding=UTF8")
# All of it, or nothing.
_RESTORE_WORDS = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", "--output=/dev/null")
_RESTORING = "mwaa_local_restoring"
_LINES = 8
_MARK = "-- mwaa-local snapshot "
_PIECE = 1 << 18
# Written since the minor releases of August 2025 around the whole text; a psql of before knows neither.
_GUARDS = (b"\\restrict ", b"\\unrestrict ")


@dataclass(frozen=True)
class Client:
    """How an engine reaches a database that is served.

    Attributes:
        words: Name and words of one of PostgreSQL's programs to the whole command.
        variables: What the command gets.
        execute: Runs statements outside the database, one by one; raises where one fails.
        hint: What to do next where a program fails.
    """

    words: Callable[..., list[str]]
    variables: Mapping[str, str]
    execute: Callable[..., None]
    hint: str


@dataclass(frozen=True)
class About:
    """What a snapshot is of.

    Attributes:
        airflow_version: Whose schema the database has.
        environment: Name of the environment.
        taken_at: Seconds since the epoch.
    """

    airflow_version: str
    environment: str
    taken_at: float


@contextmanager
def writing(target: Path, airflow_version: str, environment: str) -> Iterator[gzip.GzipFile]:
    """A file to write the SQL to; it is there under its name only once the block has ended well.

    Raises:
        MachineError: The disk is full, or the folder cannot be written.
    """
    about = About(airflow_version, environment, round(time.time(), 3))
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.touch(mode=0o600)  # connections and variables are in it
        with gzip.open(partial, "wb", compresslevel=1) as file:
            file.write(f"{_MARK}{json.dumps(asdict(about))}\n".encode())
            yield file
        partial.replace(target)
    except OSError as error:
        raise atomic.disk_error(error, target) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def take(client: Client, target: Path, *, version: str, name: str) -> None:
    """Write a snapshot.

    Args:
        client: Of the database.
        target: The file.
        version: The Airflow version that used it last.
        name: The environment's.

    Raises:
        MwaaLocalError: It could not be written whole; no file is left.
    """
    words = client.words("pg_dump", *_DUMP_WORDS, DATABASE)
    with writing(target, version, name) as file, tempfile.TemporaryFile() as said:
        dump = subprocess.Popen(
            words, env=dict(client.variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, cwd="/"
        )
        assert dump.stdout is not None
        try:
            while piece := dump.stdout.read(_PIECE):
                file.write(piece)
        except BaseException:
            dump.kill()
            raise
        finally:
            dump.stdout.close()
            code = dump.wait()
        if code:
            said.seek(0)
            raise failed("pg_dump", said.read(), str(target), client.hint)


def put(client: Client, source: Path) -> None:
    """Replace a database that nobody uses by a snapshot's: whole or not at all.

    Raises:
        MwaaLocalError: The snapshot is damaged or PostgreSQL refuses it; the database is as it was.
    """
    away = f'DROP DATABASE IF EXISTS "{_RESTORING}" WITH (FORCE)'
    client.execute(away, f'CREATE DATABASE "{_RESTORING}"')
    try:
        _fill(client, source)
    except MwaaLocalError:
        client.execute(away)
        raise
    client.execute(f'DROP DATABASE IF EXISTS "{DATABASE}"', f'ALTER DATABASE "{_RESTORING}" RENAME TO "{DATABASE}"')


def _fill(client: Client, source: Path) -> None:
    words = client.words("psql", *_RESTORE_WORDS, _RESTORING)
    with tempfile.TemporaryFile() as said:
        psql = subprocess.Popen(
            words, env=dict(client.variables), stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, cwd="/"
        )
        assert psql.stdin is not None
        try:
            with suppress(BrokenPipeError), psql.stdin:  # it says why
                for line in lines(source):
                    psql.stdin.write(line)
        except BaseException:
            psql.kill()
            psql.wait()
            raise
        if psql.wait():
            said.seek(0)
            raise failed("psql", said.read(), str(source), client.hint)


def failed(program: str, said: bytes, where: str, hint: str) -> EngineError:
    """One of PostgreSQL's programs ended badly; holds the end of what it said."""
    told = said.decode(errors="replace").strip().splitlines()[-_LINES:]
    return EngineError(f"{program} failed", where=where, why="\n".join(told), hint=hint)


def about(source: Path) -> About:
    """What a file is a snapshot of.

    Raises:
        EngineError: It is none.
    """
    why = "its first line is another"
    try:
        with gzip.open(source, "rb") as file:
            line = file.readline(_PIECE).decode("utf-8", "replace")
        if line.startswith(_MARK):
            found = json.loads(line.removeprefix(_MARK))
            return About(str(found["airflow_version"]), str(found["environment"]), float(found["taken_at"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        why = str(error)
    raise EngineError(
        "this file is no snapshot of mwaa-local", where=str(source), why=why, hint="name one that `snapshot` wrote"
    )


def lines(source: Path) -> Iterator[bytes]:
    """The SQL of a snapshot, line by line.

    Raises:
        EngineError: The file is damaged.
    """
    try:
        with gzip.open(source, "rb") as file:
            copying = False
            for line in file:
                if not copying and line.startswith(_GUARDS):
                    continue
                # Inside a COPY block any text may begin a line.
                copying = line.startswith(b"COPY ") if not copying else line.rstrip(b"\n") != b"\\."
                yield line
    except (OSError, EOFError) as error:
        raise EngineError("the snapshot cannot be read to its end", where=str(source), why=str(error)) from error
