"""A metadata database in a file: gzipped SQL whose first line says what it is, the same from every engine.

Plain SQL, because an older PostgreSQL reads what a newer one wrote, which it does not of ``pg_dump``'s archives;
without owners and grants, because an engine's users are its own. ``zcat FILE | psql`` looks into one.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mwaa_local.errors import EngineError
from mwaa_local.ground import atomic

#: What every engine gives ``pg_dump``.
DUMP_WORDS = ("--no-owner", "--no-privileges", "--encoding=UTF8")
#: What every engine gives ``psql``: all of it, or nothing.
RESTORE_WORDS = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", "--output=/dev/null")
_MARK = "-- mwaa-local snapshot "
_PIECE = 1 << 18
# Written since the minor releases of August 2025 around the whole text; a psql of before knows neither.
_GUARDS = (b"\\restrict ", b"\\unrestrict ")


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
