"""The metadata database of the import check: a fresh environment's, a copy of its own for each process that asks.

Made once for each set of the packages that define tables, with Airflow's own `initdb`, and kept in the tool's cache.
Parsing and storing work on SQLite here and on PostgreSQL on MWAA: what SQLite would take and PostgreSQL refuses (a text
that is too long, of another type, with a NUL) is refused before it is written.
"""

# As check.py: it runs on the Pythons of every Airflow version.
# mypy: ignore-errors
# ruff: noqa: PTH103, PTH105, PTH108, PTH110, PTH113, PTH118, PTH123
# ruff: noqa: UP031, BLE001

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
import traceback

# Packages whose models become tables, and the one that makes them.
TABLES = (
    "apache-airflow",
    "apache-airflow-core",
    "apache-airflow-providers-fab",
    "apache-airflow-providers-edge3",
    "flask-appbuilder",
    "flask-session",
    "sqlalchemy",
    "alembic",
)
BUNDLE = "dags-folder"
MAKE_SECONDS = 120


def key():
    """What the tables depend on: this Python and the versions of the packages that define them."""
    from importlib import metadata

    parts = ["2", "%d.%d" % sys.version_info[:2]]
    for name in TABLES:
        try:
            parts.append("%s %s" % (name, metadata.version(name)))
        except Exception:
            parts.append("%s -" % name)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def provide(folder, place):
    """Put a fresh database at a place; why that is not possible, empty when it is.

    The folder keeps one for each `key`; what is made is complete before it gets its name, whoever makes it at once.
    """
    kept = os.path.join(folder, key() + ".sqlite")
    try:
        if not os.path.isfile(kept):
            os.makedirs(folder, exist_ok=True)
            why = make(kept, place)
            if why:
                return why
        shutil.copyfile(kept, place)
    except OSError as error:
        return str(error)
    return ""


def make(kept, place):
    """Make the kept database at the place that Airflow is configured for, in a process of its own."""
    note = place + ".why"
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            initialise()
            part = "%s.%d" % (kept, os.getpid())
            shutil.copyfile(place, part)
            os.replace(part, kept)
            code = 0
        except BaseException:
            with open(note, "w") as stream:
                stream.write(traceback.format_exc())
        finally:
            os._exit(code)
    end = time.time() + MAKE_SECONDS
    while time.time() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            with contextlib.suppress(OSError):
                os.unlink(place)
            if status == 0:
                return ""
            said = ""
            with contextlib.suppress(OSError), open(note) as stream:
                said = stream.read().strip()
            sys.stderr.write(said)
            return (said.splitlines() or ["it ended early"])[-1]
        time.sleep(0.05)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "it was not made in %d s" % MAKE_SECONDS


def initialise():
    """Airflow's own tables and rows of a fresh environment: the default pool, no variables, no connections."""
    from airflow import settings
    from airflow.utils import db

    os.environ["AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS"] = "False"
    # The tables are Airflow's and the same for all; making them loads no plugin of a user's.
    os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = settings.PLUGINS_FOLDER = os.devnull
    db.initdb()
    try:
        from airflow.models.dagbundle import DagBundleModel
    except ImportError:
        pass
    else:
        session = settings.Session()
        session.merge(DagBundleModel(name=BUNDLE))
        session.commit()
        session.close()
    settings.engine.dispose()


def isolate(place):
    """From now on each process that connects gets its own copy, made when it connects first."""
    import sqlalchemy
    from sqlalchemy import event

    @event.listens_for(sqlalchemy.engine.Engine, "do_connect")
    def own_copy(dialect, record, words, named):
        given = words[0] if words else named.get("database")
        if given == place:
            mine = private(place)
            if not os.path.exists(mine):
                shutil.copyfile(place, mine)
            if words:
                words[0] = mine
            else:
                named["database"] = mine

    @event.listens_for(sqlalchemy.engine.Engine, "connect")
    def without_waiting(connection, record):
        # Nothing here outlives its process: the disk need not be waited for.
        with contextlib.suppress(Exception):
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("PRAGMA journal_mode=MEMORY")

    event.listen(sqlalchemy.orm.Session, "before_flush", refuse_what_postgresql_refuses)


def private(place, pid=None):
    return "%s-%d" % (place, pid or os.getpid())


def forget(place, pid):
    """Remove the copy of a process that is gone."""
    for end in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            os.unlink(private(place, pid) + end)


def let_go():
    """Close the connections of this process: a fork must not share them."""
    from airflow import settings

    with contextlib.suppress(Exception):
        settings.Session.remove()
    with contextlib.suppress(Exception):
        settings.engine.dispose()


def refuse_what_postgresql_refuses(session, context, instances):
    """SQLite stores any value in any column; PostgreSQL raises, and so does this."""
    import sqlalchemy

    for item in list(session.new) + list(session.dirty):
        state = sqlalchemy.inspect(item)
        for attribute in state.mapper.column_attrs:
            # Without loading: what nobody set is as it was.
            if attribute.key not in state.dict or state.dict[attribute.key] is None:
                continue
            why = complaint(attribute.columns[0].type, state.dict[attribute.key])
            if why:
                column = "%s.%s" % (state.mapper.local_table.name, attribute.columns[0].name)
                raise data_error("%s: %s" % (column, why))


def data_error(text):
    """What SQLAlchemy raises for it, with a text that says the column."""
    import sqlalchemy

    class DataError(sqlalchemy.exc.DataError):
        def __str__(self):
            return text

    DataError.__module__ = "sqlalchemy.exc"
    return DataError(None, None, ValueError(text))


def complaint(kind, value):
    """What PostgreSQL says of a value in a column of a type; empty where it takes it."""
    import sqlalchemy

    if isinstance(kind, sqlalchemy.JSON):
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            return "invalid input syntax for type json: %s" % error
        return "unsupported Unicode escape sequence: \\u0000 cannot be converted to text" if "\\u0000" in text else ""
    if type(kind) not in (sqlalchemy.String, sqlalchemy.Text, sqlalchemy.Unicode, sqlalchemy.UnicodeText):
        return ""
    if not isinstance(value, str):
        if isinstance(value, (int, float, list, tuple, dict, set)):
            return "column is of type character varying but expression is of type %s" % type(value).__name__
        return ""
    if "\0" in value:
        return "A string literal cannot contain NUL (0x00) characters."
    if kind.length and len(value) > kind.length:
        return "value too long for type character varying(%d)" % kind.length
    return ""
