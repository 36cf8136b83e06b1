"""One process that imports Airflow once and forks a component's Airflow processes.

``python -m mwaa_airflow.launcher [JOB]``; the job is JSON in the argument, or on stdin::

    {"events": 5,
     "processes": [{"name": "scheduler", "argv": ["scheduler"], "stdout": 6, "stderr": 6,
                    "patience": 90, "env": {}}, ...]}

``stdout``, ``stderr`` and ``events`` are inherited file descriptors and may be left out (the
launcher's own, and none). On ``events`` goes one JSON line per event::

    {"event": "started", "name": "scheduler", "pid": 123, "shared": true}
    {"event": "ready", "seconds": 1.9, "skipped": [["module", "reason"]]}
    {"event": "stopping", "reason": "signal 15"}
    {"event": "exited", "name": "scheduler", "pid": 123, "code": 0}

A code below zero is the signal that ended the process. When one process ends, or on SIGTERM or
SIGINT, the others are stopped in reverse order, one after the other: SIGTERM, ``patience``
seconds, SIGKILL (spec/10 section 1.4). The exit code is that of the process that ended first,
and 0 after a signal. SIGTERM goes to the process alone, not to its group, so that a Celery worker
finishes its tasks; what is left of the group afterwards is killed. A job of one process is not forked:
the launcher says "started" and becomes it.
"""

import contextlib
import ctypes
import faulthandler
import gc
import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from mwaa_airflow import crash, environment, preload, smoke_runs, triggerer_stop

#: Seconds between SIGTERM and SIGKILL (spec/10 section 1.4).
PATIENCE = 90.0

#: Of linux/prctl.h.
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def prctl(option, value):
    """Call Linux's prctl; elsewhere do nothing, since both uses only make cleaning up surer."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


class Child(object):
    """One Airflow process of the job."""

    def __init__(self, spec):
        self.name = str(spec["name"])
        self.argv = [str(word) for word in spec["argv"]]
        self.stdout = spec.get("stdout")
        self.stderr = spec.get("stderr")
        self.patience = float(spec.get("patience", PATIENCE))
        self.env = dict(spec.get("env") or {})
        self.pid = None
        self.code = None
        self.fresh = False

    @property
    def running(self):
        """Whether the process was started and has not ended."""
        return self.pid is not None and self.code is None

    def fds(self):
        """Return the descriptors that belong to this process alone."""
        return {fd for fd in (self.stdout, self.stderr) if fd is not None and fd > 2}


class Launcher(object):
    """Starts and watches the processes of one job."""

    def __init__(self, job):
        self.children = [Child(spec) for spec in job["processes"]]
        self.events = job.get("events")
        self.first_code = None

    def tell(self, event, **details):
        """Write one event; a reader that went away is no reason to fail."""
        if self.events is None:
            return
        line = json.dumps(dict(details, event=event)) + "\n"
        try:
            os.write(self.events, line.encode("utf-8"))
        except OSError:
            self.events = None

    def start(self):
        """Import and fork, step by step; return the child in a child, ``None`` in the launcher."""
        began = time.monotonic()
        major = environment.airflow_version()[0]
        skipped = []
        for names, indexes in preload.stages(major, [child.argv[0] for child in self.children]):
            skipped.extend(preload.load(names))
            threads = threading.active_count()
            share_memory()
            for child in [self.children[index] for index in indexes]:
                pid = os.fork()
                if pid == 0:
                    # A fork copies one thread only. Whatever user code started others at import, a new
                    # program is then the only safe way to run.
                    child.fresh = threads > 1
                    return child
                child.pid = pid
                self.tell("started", name=child.name, pid=pid, shared=threads == 1)
        self.tell("ready", seconds=round(time.monotonic() - began, 3), skipped=[list(pair) for pair in skipped])
        for child in self.children:
            for fd in child.fds():
                close(fd)
        return None

    def reap(self):
        """Collect ended processes, also orphans of ours; return whether one of the job ended."""
        ended = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            for child in self.children:
                if child.pid == pid:
                    child.code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                    ended = True
                    # Tasks and parsers of a process that is gone have nobody to report to.
                    kill_group(pid, signal.SIGKILL)
                    self.tell("exited", name=child.name, pid=pid, code=child.code)

    def wait(self, seconds):
        """Wait for a signal or until the time is over; return the number of a stop signal, or ``None``."""
        got = signal.sigtimedwait(SIGNALS, max(0.0, seconds))
        return got.si_signo if got is not None and got.si_signo != signal.SIGCHLD else None

    def run(self):
        """Watch until one process ends or a stop signal comes, stop the rest, return the exit code."""
        reason = None
        while reason is None:
            # The limit only guards against a lost SIGCHLD.
            stop = self.wait(5.0)
            self.reap()
            ended = [child for child in self.children if not child.running]
            if stop is not None:
                reason, code = "signal %d" % stop, 0
            elif ended:
                reason = "%s ended with code %d" % (ended[0].name, ended[0].code)
                code = ended[0].code if ended[0].code >= 0 else 128 - ended[0].code
        self.tell("stopping", reason=reason)
        for child in reversed(self.children):
            self.stop(child)
        self.clear()
        return code

    def clear(self):
        """Kill what outlived its process and its group: as their subreaper the launcher inherits such orphans."""
        for _ in range(100):
            self.reap()
            left = own_children()
            if not left:
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.wait(0.05)

    def stop(self, child):
        """End one process: SIGTERM, patience, SIGKILL."""
        if not child.running:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)
        limit = time.monotonic() + child.patience
        while child.running and time.monotonic() < limit:
            self.wait(min(1.0, limit - time.monotonic()))
            self.reap()
        if child.running:
            said = "mwaa-local: %s had not ended %.0f s after SIGTERM, so it is killed\n"
            with contextlib.suppress(OSError):
                os.write(2, (said % (child.name, child.patience)).encode("utf-8"))
            kill_group(child.pid, signal.SIGKILL)
            while child.running:
                self.wait(1.0)
                self.reap()


def close(fd):
    """Close a descriptor that may be closed already."""
    with contextlib.suppress(OSError):
        os.close(fd)


def own_children():
    """Return the ids of this process's children; empty where there is no /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in parentheses may hold anything, blanks and parentheses included.
            fields = path.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.append(int(path.parent.name))
    return found


def kill_group(pid, number):
    """Send a signal to a process group that may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def share_memory():
    """Make this process fit to be forked: no shared sockets, and pages that stay shared."""
    sys.stdout.flush()
    sys.stderr.flush()
    settings = sys.modules.get("airflow.settings")
    for name in ("engine", "async_engine"):
        engine = getattr(settings, name, None)
        # The asynchronous engine's own dispose() is a coroutine; the pool behind it is the same.
        pool = getattr(getattr(engine, "sync_engine", engine), "pool", None)
        if pool is not None:
            pool.dispose()
    # What is there now is never scanned again: a scan would write to every page.
    gc.collect()
    gc.freeze()


def separate():
    """Give a forked process a session and the signals of a new program; it ends with the launcher."""
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def redirect(child, others):
    """Give this process the output and environment of ``child`` and close what belongs to others."""
    for own, target in ((child.stdout, 1), (child.stderr, 2)):
        if own is not None and own != target:
            os.dup2(own, target)
    for fd in others | child.fds():
        close(fd)
    os.environ.update(child.env)


def command(argv):
    """Return ``(Python, script, words)`` of an Airflow command, as ``airflow`` on the PATH would run it."""
    script = shutil.which("airflow") or str(Path(sys.executable).parent / "airflow")
    return [sys.executable, script] + argv


def run_airflow(child):
    """Run the command of ``child`` in this process; return its exit code."""
    words = command(child.argv)
    if child.fresh:
        os.execv(words[0], words)
    sys.argv = words[1:]
    crash.install()
    # What ends a process in C code (a driver's, say) then names the line of Python it was in.
    faulthandler.enable(all_threads=False)
    try:
        from setproctitle import setproctitle
    except ImportError:
        pass
    else:
        setproctitle(" ".join(words))
    if child.argv[0] == "triggerer":
        triggerer_stop.install()
    if child.argv[0] == "scheduler":
        smoke_runs.install()
    from airflow.__main__ import main as airflow

    return airflow()


def main():
    """Run the job given as argument or on stdin; return the exit code."""
    # Where the airflow script would have put its own folder, "-m" put the working folder, or nothing with "-P".
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    sys.path.insert(0, str(Path(command([])[1]).parent))
    launcher = Launcher(json.loads(sys.argv[1] if len(sys.argv) > 1 else sys.stdin.read()))
    own = {launcher.events} if launcher.events is not None else set()
    if len(launcher.children) == 1:
        # Nothing to share: a launcher around one process would only cost memory.
        child = launcher.children[0]
        child.fresh = True
        launcher.tell("started", name=child.name, pid=os.getpid(), shared=False)
        redirect(child, own)
        return run_airflow(child)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = launcher.start()
    if child is None:
        return launcher.run()
    separate()
    redirect(child, own.union(*[other.fds() for other in launcher.children]))
    return run_airflow(child)


if __name__ == "__main__":
    sys.exit(main())
