"""Plugins and a user's `airflow_local_settings.py`, as a component loads them."""

# As check.py: it runs on the Pythons of every Airflow version; whatever user code raises is a result.
# mypy: ignore-errors
# ruff: noqa: PTH100, PTH113, PTH118, PTH119, PTH122
# ruff: noqa: BLE001

import contextlib
import importlib.machinery
import importlib.util
import os
import sys
import time
import traceback

from mwaa_inside_text import problem


@contextlib.contextmanager
def without_plugins():
    """Keep a user's plugins out of what is imported once for all: each process loads them itself, as its component."""
    from airflow import plugins_manager, settings

    folder = settings.PLUGINS_FOLDER
    before = {name: copied(value) for name, value in vars(plugins_manager).items()}
    settings.PLUGINS_FOLDER = os.devnull
    try:
        yield
    finally:
        settings.PLUGINS_FOLDER = folder
        vars(plugins_manager).update(before)
        for value in list(vars(plugins_manager).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def copied(value):
    return value.copy() if isinstance(value, (dict, list, set)) else value


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
        found = problem(trace, recorder.folders, file=os.path.abspath(path))
        errors.append(found if trace else dict(found, text=text, message=text))
    if component == "webserver":
        errors.extend(web_views(plugins_manager, recorder))
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


def web_views(plugins_manager, recorder):
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
            errors.append(dict(problem(trace, recorder.folders, file=""), frames=[]))
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
    return {"errors": [problem(trace, recorder.folders, file=path)] if trace else []}
