"""Import DAG files and plugins the way MWAA's components do, with the network off, and tell what happened.

Runs in the Python of a package set. Airflow is imported once; then every DAG file gets a process of its own, forked
from the warm one, as the DAG processor does it: no file sees what another imported, and a file that hangs or crashes
takes nobody along.

Input: one JSON document on stdin. Output: one JSON document per line on the stream that was stdout; everything that
Airflow or a
user's file prints goes to stderr.
"""

# It runs on the Pythons of every Airflow version, without types and with what the standard library had long ago; user
# code may raise anything, and everything it raises is a result.
# mypy: ignore-errors
# ruff: noqa: PTH100, PTH118, PTH120, PTH123
# ruff: noqa: UP031, BLE001

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback

# Python was started by itself (-I): the folder of this file is on the path only while its neighbours are imported,
# since a user's helper may have any name.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from mwaa_inside_dags import import_dag_file  # noqa: E402
from mwaa_inside_database import forget, isolate, let_go, provide  # noqa: E402
from mwaa_inside_guards import Recorder, enter_container_view, guard_sockets  # noqa: E402
from mwaa_inside_plugins import import_plugins, run_settings, without_plugins  # noqa: E402
from mwaa_inside_silent import worth  # noqa: E402
from mwaa_inside_text import last_line, problem  # noqa: E402
from mwaa_inside_values import guard_values  # noqa: E402

sys.path.remove(HERE)


def discover(request):
    """The files Airflow itself would parse: with its safe mode, and without."""
    found = {}
    for key, safe in (("parsed", True), ("listed", False)):
        try:
            from airflow.dag_processing.importers import get_importer_registry

            found[key] = [str(path) for path in get_importer_registry().list_dag_files(request["dags"], safe_mode=safe)]
        except ImportError:
            from airflow.utils.file import list_py_file_paths

            found[key] = [
                str(path) for path in list_py_file_paths(request["dags"], safe_mode=safe, include_examples=False)
            ]
    return found


def import_silent_file(path, request, recorder):
    """A file that Airflow passes over, as if it did not: which DAGs would there be."""
    if not worth(request["silent"][path], request["plugins"]):
        return {"errors": [], "dags": []}
    return import_dag_file(path, dict(request, safe_mode=False), recorder)


JOBS = {"dag": import_dag_file, "silent": import_silent_file, "plugins": import_plugins, "settings": run_settings}


def child(kind, name, request, recorder, write_end):
    """Body of one forked process: do the job, write its result, leave without any clean-up of the parent's."""
    begin = time.time()
    try:
        result = JOBS[kind](name, request, recorder)
    except BaseException:
        trace = traceback.format_exc()
        result = {"errors": [problem(trace, recorder.folders)]}
    result.setdefault("seconds", time.time() - begin)
    result.update(kind=kind, name=name, network=recorder.network, reads=recorder.reads, cpu=time.process_time())
    data = json.dumps(result, default=str).encode()
    view = memoryview(data)
    while view:
        view = view[os.write(write_end, view) :]
    os._exit(0)


WARM_UP = """
from datetime import datetime
try:
    from airflow.sdk import DAG, task
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:
    from airflow import DAG
    from airflow.decorators import task
    from airflow.operators.bash import BashOperator
with DAG("warm_up", schedule="@daily", start_date=datetime(2024, 1, 1), catchup=False):
    @task
    def one():
        return 1
    one() >> BashOperator(task_id="two", bash_command="true")
"""


def warm_up(request, recorder):
    """Import a DAG before forking, so that what Airflow loads on first use is loaded once and not in every process."""
    path = os.path.join(request["home"], "warm_up.py")
    with open(path, "w") as stream:
        stream.write(WARM_UP)
    try:
        with without_plugins():
            import_dag_file(path, request, recorder)
    except Exception:
        traceback.print_exc()
    let_go()
    # Objects of the parent are never collected in a child: their pages stay shared.
    gc.collect()
    gc.freeze()


def run_all(jobs, request, recorder, emit):
    """Run the jobs, each in a process, some at a time; one that takes too long is killed and says so."""
    waiting = list(reversed(jobs))
    running = {}
    while waiting or running:
        while waiting and len(running) < request["jobs"]:
            kind, name = waiting.pop()
            read_end, write_end = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(read_end)
                os.setpgid(0, 0)
                child(kind, name, request, recorder, write_end)
            os.close(write_end)
            running[read_end] = [pid, kind, name, time.time(), []]
        ready, _, _ = select.select(list(running), [], [], 0.2)
        for end in list(running):
            pid, kind, name, begin, parts = running[end]
            late = time.time() - begin > request["hard_timeout"]
            if end in ready and not late:
                data = os.read(end, 1 << 16)
                if data:
                    parts.append(data)
                    continue
            elif not late:
                continue
            if late:
                stop(pid)
            status = os.waitpid(pid, 0)[1]
            os.close(end)
            del running[end]
            forget(request["database"], pid)
            emit(finish(kind, name, b"".join(parts), status, time.time() - begin, late))


def stop(pid):
    for target in (os.killpg, os.kill):
        try:
            target(pid, signal.SIGKILL)
            return
        except OSError:
            continue


def finish(kind, name, data, status, seconds, late):
    if data and not late:
        try:
            return json.loads(data.decode())
        except ValueError:
            pass
    if late:
        text = "killed after %.0f s" % seconds
    elif os.WIFSIGNALED(status):
        text = "the process died of signal %d" % os.WTERMSIG(status)
    else:
        text = "the process ended with %d before it could answer" % os.WEXITSTATUS(status)
    return {
        "kind": kind,
        "name": name,
        "seconds": seconds,
        "late": late,
        "errors": [{"text": text, "traceback": "", "frames": []}],
        "network": [],
        "reads": [],
    }


def main():
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    os.chdir(request["home"])
    # What PYTHONPATH does where nobody isolates: for this process, and for those that a user's file starts.
    sys.path[0:0] = request["python_path"]
    os.environ["PYTHONPATH"] = os.pathsep.join(request["python_path"])

    def emit(document):
        out.write(json.dumps(document) + "\n")
        out.flush()

    view = enter_container_view(request["home"], request["mwaa_home"])
    if view["home_mounted"]:
        os.environ["AIRFLOW_HOME"] = request["mwaa_home"]
        os.chdir(request["mwaa_home"])
    begin = time.time()
    try:
        import airflow
        import airflow.models

        for module in request["preload"]:
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
    except BaseException:
        trace = traceback.format_exc()
        emit({"kind": "start", "error": last_line(trace), "traceback": trace})
        return
    for folder in (request["plugins"], request["dags"]):
        if folder not in sys.path:
            sys.path.append(folder)
    request["database"] = os.path.join(request["home"], "airflow.db")
    no_database = provide(request["databases"], request["database"])
    request["no_database"] = bool(no_database)
    isolate(request["database"])
    emit(
        {
            "kind": "start",
            "no_database": no_database,
            "airflow": airflow.__version__,
            "python": "%d.%d" % sys.version_info[:2],
            "view": view,
            "seconds": time.time() - begin,
        }
    )
    files = request["files"]
    if files is None:
        found = discover(request)
        emit({"kind": "discovered", "parsed": found["parsed"], "listed": found["listed"]})
        files = found["parsed"]
    recorder = Recorder([request["dags"], request["plugins"]])
    guard_sockets(recorder)
    guard_values(recorder)
    if files or request["silent"]:
        warm_up(request, recorder)
    jobs = [("plugins", component) for component in request["components"]]
    jobs += [("settings", path) for path in request["settings"]]
    jobs += [("dag", path) for path in files]
    jobs += [("silent", path) for path in request["silent"]]
    run_all(jobs, request, recorder, emit)
    emit({"kind": "end"})


if __name__ == "__main__":
    main()
