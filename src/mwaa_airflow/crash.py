"""Says which DAG file a process was handling when an exception ended it.

Airflow's own traceback does not name the file when the fault shows after the import (while a DAG is stored or
scheduled), but the frames' variables know it.
"""

import contextlib
import os
import sys

#: The line that is printed behind the traceback; ``mwaa_local.runtime.crash`` reads it.
SAYS = "mwaa-local: it ended while it handled %s\n"

#: Attributes of Airflow's objects (DAGs, tasks, files to parse) that hold a path.
_ATTRIBUTES = ("fileloc", "absolute_path", "full_filepath", "file_path", "filepath")

#: Variables that a frame may have by the hundred are not all looked at.
_MOST = 200


def install():
    """Have uncaught exceptions followed by the name of the user's file, where it can be known."""
    before = sys.excepthook

    def hook(kind, value, traceback):
        before(kind, value, traceback)
        with contextlib.suppress(Exception):  # the first exception is the one that counts
            path = culprit(traceback, roots())
            if path:
                sys.stderr.write(SAYS % path)
                sys.stderr.flush()

    sys.excepthook = hook


def roots():
    """Return the folders of the user's files."""
    home = os.environ.get("AIRFLOW_HOME", "/usr/local/airflow")
    named = [os.environ.get("AIRFLOW__CORE__%s_FOLDER" % name) for name in ("DAGS", "PLUGINS")]
    found = [path for path in named if path] + ["%s/%s" % (home, name) for name in ("dags", "plugins")]
    return sorted({path.rstrip("/") + "/" for path in found} | {os.path.realpath(path) + "/" for path in found})


def culprit(traceback, folders):
    """Return the file of the user's nearest to where an exception arose: the code itself, or what was worked on.

    Args:
        traceback: Of the exception.
        folders: The user's, each with a slash at its end.
    """
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    for frame in reversed(frames):
        path = _inside(frame.f_code.co_filename, folders)
        if path:
            return path
    for frame in reversed(frames):
        for value in list(frame.f_locals.values())[:_MOST]:
            path = _of(value, folders)
            if path:
                return path
    return ""


def _of(value, folders):
    if isinstance(value, (str, os.PathLike)):
        return _inside(value, folders)
    for name in _ATTRIBUTES:
        # Of the object's own variables or its class's properties alone: a lazy object must not begin to work now.
        if name in getattr(value, "__dict__", ()) or hasattr(type(value), name):
            with contextlib.suppress(Exception):
                path = _inside(getattr(value, name), folders)
                if path:
                    return path
    return ""


def _inside(path, folders):
    if not isinstance(path, (str, os.PathLike)):
        return ""
    text = os.fspath(path)
    if not isinstance(text, str) or not text.endswith((".py", ".zip")) or len(text) > 4096:
        return ""
    return text if text.startswith(tuple(folders)) else ""
