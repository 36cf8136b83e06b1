"""One DAG file, as the DAG processor takes it: imported, serialised, stored."""

# As check.py: it runs on the Pythons of every Airflow version; whatever user code raises is a result.
# mypy: ignore-errors
# ruff: noqa: BLE001

import contextlib
import fcntl
import inspect
import logging
import os
import pathlib
import time
import traceback

from mwaa_inside_database import BUNDLE
from mwaa_inside_text import problem
from mwaa_inside_values import be_parsed, be_stored


def import_dag_file(path, request, recorder):
    """Import one file and store its DAGs in this process's own database."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
    options = {"dag_folder": request["dags"], "include_examples": False, "collect_dags": False}
    known = inspect.signature(DagBag.__init__).parameters
    if "bundle_path" in known:
        options.update(bundle_path=pathlib.Path(request["dags"]), bundle_name=BUNDLE)
    begin = time.time()
    with no_database():
        bag = DagBag(**options)
        bag.process_file(path, only_if_updated=False, safe_mode=request["safe_mode"])
    seconds = time.time() - begin
    errors = [problem(text, recorder.folders) for text in bag.import_errors.values()]
    dags = []
    for dag in bag.dags.values():
        tasks = [describe_task(task, dag) for task in dag.tasks]
        dags.append(
            {"id": dag.dag_id, "file": dag.fileloc, "tasks": tasks, "catchup": bool(getattr(dag, "catchup", False))}
        )
    errors.extend(store(bag.dags, request, recorder))
    warnings = sorted({item for items in getattr(bag, "captured_warnings", {}).values() for item in items})
    return {"seconds": seconds, "errors": errors, "dags": dags, "warnings": warnings}


def describe_task(task, dag):
    def seconds(value):
        return (
            value.total_seconds()
            if hasattr(value, "total_seconds")
            else (value if isinstance(value, (int, float)) else None)
        )

    return {
        "task": getattr(task, "task_id", ""),
        "dag": dag.dag_id,
        "queue": getattr(task, "queue", None),
        "executor": getattr(task, "executor", None),
        "type": type(task).__name__,
        "execution_timeout": seconds(getattr(task, "execution_timeout", None)),
        "mode": getattr(task, "mode", None) if isinstance(getattr(task, "mode", None), str) else None,
        "timeout": seconds(getattr(task, "timeout", None)) if hasattr(task, "poke") else None,
    }


@contextlib.contextmanager
def no_database():
    """While a file is parsed, Airflow 3's DAG processor takes the metadata database away; Airflow 2's does not."""
    try:
        from airflow.sdk.execution_time.supervisor import block_orm_access
    except ImportError:
        yield
        return
    from airflow import settings
    from airflow.configuration import conf

    names = [name for name in os.environ if name.endswith("SQL_ALCHEMY_CONN")]
    before, variables = dict(settings.__dict__), {name: os.environ[name] for name in names}
    options = {
        name: conf.get("database", name, fallback=None)
        for name in ("sql_alchemy_conn", "sql_alchemy_conn_cmd", "sql_alchemy_conn_secret")
    }
    block_orm_access()
    be_parsed()
    try:
        yield
    finally:
        be_stored()
        for name in [name for name in os.environ if name.endswith("SQL_ALCHEMY_CONN")]:
            os.environ.pop(name)
        os.environ.update(variables)
        settings.__dict__.clear()
        settings.__dict__.update(before)
        for name, value in options.items():
            if value is None:
                conf.remove_option("database", name, remove_default=False)
            else:
                conf.set("database", name, value)


def store(dags, request, recorder):
    """What goes wrong when the DAGs are serialised and stored, which every component but the parser works from.

    All at once, as Airflow does it; where that fails, one by one, to know whose fault it is.
    """
    if not dags:
        return []
    if request.get("no_database"):
        return [item for dag in dags.values() for item in serialised(dag, recorder)]
    found = stored(dags, recorder)
    if found and len(dags) > 1:
        found = [item for name in sorted(dags) for item in stored({name: dags[name]}, recorder)] or found
    return found


def stored(dags, recorder):
    """Store DAGs together. ``stage`` is ``serialise`` for what Airflow shows as an import error.

    It is ``store`` for an exception that nobody catches: on Airflow 2 the DAGs of the file never appear, on Airflow 3
    the DAG processor itself ends.
    """
    names = sorted(dags)
    told = {"dag": names[0] if len(names) == 1 else "", "file": dags[names[0]].fileloc}
    logging.disable(logging.ERROR)
    try:
        with one_at_a_time():
            texts = write_3(dags) if has_collection() else write_2(dags)
        return [problem(text, recorder.folders, stage="serialise", **told) for text in texts]
    except Exception:
        return [problem(traceback.format_exc(), recorder.folders, stage="store", **told)]
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def one_at_a_time():
    """Files are read side by side, and Airflow stores one after the other: two that name the same DAG would collide."""
    with contextlib.ExitStack() as stack:
        # A DAG file may have changed the variable, or the folder: then this is as it was without a lock.
        with contextlib.suppress(OSError):
            lock = pathlib.Path(os.environ.get("AIRFLOW_HOME", "")) / ".store.lock"
            held = stack.enter_context(lock.open("a"))
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def has_collection():
    try:
        import airflow.dag_processing.collection
        import airflow.sdk  # noqa: F401

        return True
    except ImportError:
        return False


def write_2(dags):
    """``DagBag.sync_to_db``, which the file processor of Airflow 2 calls. Returns tracebacks Airflow would show."""
    from airflow.models.dagbag import DagBag

    # Roles of a real environment are not known here, and the module behind is the heaviest of all.
    DagBag._sync_perm_for_dag = classmethod(lambda *args, **kwargs: None)
    bag = DagBag(dag_folder=os.devnull, include_examples=False, collect_dags=False)
    bag.dags = dict(dags)
    try:
        bag.sync_to_db()
    finally:
        forget_session()
    return list(bag.import_errors.values())


def write_3(dags):
    """What the DAG processor of Airflow 3 does with a file's result."""
    from airflow import settings
    from airflow.dag_processing import collection
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    errors, ready = [], []
    for dag in dags.values():
        try:
            data = serializer().to_dict(dag)
            known = getattr(LazyDeserializedDAG, "model_fields", {})
            more = {"last_loaded": dag.last_loaded} if "last_loaded" in known else {}
            ready.append(LazyDeserializedDAG(data=data, **more))
        except Exception:
            errors.append(traceback.format_exc())
    collection._sync_dag_perms = lambda *args, **kwargs: None
    session = settings.Session()
    found = {}
    try:
        collection.update_dag_parsing_results_in_db(
            bundle_name=BUNDLE,
            bundle_version=None,
            dags=ready,
            import_errors=found,
            session=session,
            **extra_arguments(collection.update_dag_parsing_results_in_db),
        )
        session.flush()
    finally:
        forget_session()
    return errors + list(found.values())


def extra_arguments(function):
    """Arguments that came or went between releases of Airflow 3."""
    known = inspect.signature(function).parameters
    offered = {"parse_duration": 0.1, "warnings": set(), "files_parsed": set()}
    return {name: value for name, value in offered.items() if name in known}


def forget_session():
    from airflow import settings

    with contextlib.suppress(Exception):
        settings.Session().rollback()
    with contextlib.suppress(Exception):
        settings.Session.remove()


def serializer():
    try:
        from airflow.serialization.serialized_objects import DagSerialization

        return DagSerialization
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG

        return SerializedDAG


def serialised(dag, recorder):
    """Without a database: what serialising alone shows."""
    try:
        serializer().to_dict(dag)
        return []
    except Exception:
        trace = traceback.format_exc()
        return [problem(trace, recorder.folders, stage="serialise", dag=dag.dag_id, file=dag.fileloc)]
