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
# ruff: noqa: PTH100, PTH113, PTH118, PTH119, PTH120, PTH122, PTH123
# ruff: noqa: UP031, BLE001, N813

import contextlib
import gc
import importlib.machinery
import importlib.util
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
from mwaa_inside_guards import Recorder, enter_container_view, guard_sockets, guard_values  # noqa: E402
from mwaa_inside_silent import worth  # noqa: E402

sys.path.remove(HERE)


def frames(text, folders):
    """``(file, line)`` of the user's own frames in a traceback's text, outermost first."""
    result = []
    for line in text.splitlines():
        line = line.strip()
        if line.startswith('File "') and '", line ' in line:
            name, _, rest = line[6:].partition('", line ')
            number = "".join(ch for ch in rest.split(",")[0] if ch.isdigit())
            if number and os.path.abspath(name).startswith(folders):
                result.append([os.path.abspath(name), int(number)])
    return result


def last_line(text):
    """The line of a traceback that names the exception: the first behind the last frame (messages have several)."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    last_frame = max([number for number, line in enumerate(lines) if line.startswith("  ")] or [-1])
    head = lines[last_frame + 1 :] or lines[-1:]
    return head[0].strip() if head else ""


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


def import_dag_file(path, request, recorder):
    """One DAG file, in a process of its own."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
    begin = time.time()
    bag = DagBag(dag_folder=request["dags"], include_examples=False, collect_dags=False)
    bag.process_file(path, only_if_updated=False, safe_mode=request["safe_mode"])
    seconds = time.time() - begin
    errors = []
    for _name, text in bag.import_errors.items():
        errors.append({"text": last_line(text), "traceback": text, "frames": frames(text, recorder.folders)})
    dags = []
    for dag in bag.dags.values():
        tasks = [describe_task(task, dag) for task in dag.tasks]
        dags.append(
            {"id": dag.dag_id, "file": dag.fileloc, "tasks": tasks, "catchup": bool(getattr(dag, "catchup", False))}
        )
        problem = serialize(dag)
        if problem:
            errors.append(
                {
                    "text": "the DAG %s cannot be stored: %s" % (dag.dag_id, last_line(problem)),
                    "traceback": problem,
                    "frames": [],
                }
            )
    warnings = sorted({item for items in getattr(bag, "captured_warnings", {}).values() for item in items})
    return {"seconds": seconds, "errors": errors, "dags": dags, "warnings": warnings}


def import_silent_file(path, request, recorder):
    """A file that Airflow passes over, as if it did not: which DAGs would there be."""
    if not worth(request["silent"][path], request["plugins"]):
        return {"errors": [], "dags": []}
    return import_dag_file(path, dict(request, safe_mode=False), recorder)


def serialize(dag):
    """What Airflow says when it stores the DAG, which every component but the parser works from; empty when it can."""
    try:
        try:
            from airflow.serialization.serialized_objects import DagSerialization as serializer
        except ImportError:
            from airflow.serialization.serialized_objects import SerializedDAG as serializer
        serializer.to_dict(dag)
    except Exception:
        return traceback.format_exc()
    return ""


def import_plugins(component, request, recorder):
    """All plugins, as one component loads them."""
    for name, value in request["components"][component].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    from airflow import plugins_manager

    folder = os.path.abspath(request["plugins"])
    begin = time.time()
    plugins_manager.ensure_plugins_loaded()
    if hasattr(plugins_manager, "get_import_errors"):
        problems = dict(plugins_manager.get_import_errors())
        loaded = plugins_manager._get_plugins()[0]
    else:
        problems = dict(plugins_manager.import_errors)
        loaded = plugins_manager.plugins or []
    errors = []
    for name, text in problems.items():
        path = name.replace("$PLUGINS_FOLDER", folder)
        if not os.path.abspath(path).startswith(recorder.folders):
            continue
        trace = again(path)
        errors.append(
            {
                "file": os.path.abspath(path),
                "text": last_line(trace) or text,
                "traceback": trace,
                "frames": frames(trace, recorder.folders),
            }
        )
    if component == "webserver":
        errors.extend(web_views(plugins_manager))
    names = []
    for plugin in loaded:
        source = str(getattr(plugin, "source", "") or "")
        if source.startswith("$PLUGINS_FOLDER"):
            filled = sorted(
                name
                for name in dir(plugin)
                if not name.startswith("_")
                and isinstance(getattr(plugin, name, None), (list, tuple))
                and getattr(plugin, name)
            )
            names.append(
                {"name": plugin.name, "file": os.path.join(folder, source.split("/", 1)[-1]), "attributes": filled}
            )
    return {"seconds": time.time() - begin, "errors": errors, "plugins": names}


def web_views(plugins_manager):
    """What only the web server does with plugins."""
    errors = []
    for name in ("initialize_web_ui_plugins", "initialize_flask_plugins", "get_flask_plugins", "get_fastapi_plugins"):
        function = getattr(plugins_manager, name, None)
        if function is None:
            continue
        try:
            function()
        except Exception:
            trace = traceback.format_exc()
            errors.append({"file": "", "text": last_line(trace), "traceback": trace, "frames": []})
    return errors


def again(path):
    """The traceback of a plugin file: Airflow keeps the message only."""
    if not os.path.isfile(path):
        return ""
    name = os.path.splitext(os.path.basename(path))[0]
    try:
        loader = importlib.machinery.SourceFileLoader(name, path)
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
        sys.modules[name] = module
        loader.exec_module(module)
    except BaseException:
        return traceback.format_exc()
    return ""


def run_settings(path, request, recorder):
    """A user's ``airflow_local_settings.py``: an exception in it stops every Airflow process."""
    trace = again(path)
    return {
        "errors": [
            {"file": path, "text": last_line(trace), "traceback": trace, "frames": frames(trace, recorder.folders)}
        ]
        if trace
        else []
    }


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


JOBS = {"dag": import_dag_file, "silent": import_silent_file, "plugins": import_plugins, "settings": run_settings}


def child(kind, name, request, recorder, write_end):
    """Body of one forked process: do the job, write its result, leave without any clean-up of the parent's."""
    begin = time.time()
    try:
        result = JOBS[kind](name, request, recorder)
    except BaseException:
        trace = traceback.format_exc()
        result = {"errors": [{"text": last_line(trace), "traceback": trace, "frames": frames(trace, recorder.folders)}]}
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
        import_dag_file(path, request, recorder)
    except Exception:
        traceback.print_exc()
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
    emit(
        {
            "kind": "start",
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
