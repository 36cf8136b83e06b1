"""Keeps a component's Airflow processes: output, signals, draining, one end for all (spec/10 section 1.4).

The processes are forked by ``mwaa_airflow.launcher``, which imports Airflow once in the package set's own Python; with
``MWAA_LOCAL__LAUNCHER=false`` each is started by itself, for comparison.

On MWAA a component whose process died ends with code 0 and the platform restarts it. Here it ends with that process's
own code (or 1), because our engines restart what failed; ``status`` holds the truth of each process.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mwaa_local.errors import EngineError
from mwaa_local.ground import lineage
from mwaa_local.ground import processes as system
from mwaa_local.runtime import crash, status
from mwaa_local.runtime.health import Health
from mwaa_local.runtime.processes import Process
from mwaa_local.runtime.status import Status

_READY_POLL_SECONDS, HEALTH_SECONDS = 0.2, 5.0
_LINE_BYTES = 65_536
# A component that has lived so long since one of its processes died has got over it, in seconds.
_STEADY_SECONDS = 600.0
# What a process gets, after its SIGTERM's time is over and it was killed, to be collected.
# What the processes of a component get when the keeper was killed, seconds.
_ORPHAN_SECONDS = 3.0
_KILL_SECONDS = 5.0


class Group(Protocol):
    """The running processes of a component, however they were started; ``first`` ended first, with ``code``."""

    first: str
    code: int | None

    def start(self, outputs: Mapping[str, int]) -> int | None:
        """Start; ``outputs`` are descriptors to write to, by process name. May give a descriptor of events to read."""

    def stop(self) -> None:
        """Ask every process to end, in reverse order; returns at once."""

    def event(self, data: bytes) -> None:
        """Take bytes of the events descriptor."""

    def ended(self, pid: int, code: int) -> None:
        """A child of the supervisor ended."""

    @property
    def alive(self) -> bool:
        """Whether anything of it runs."""


class Launched:
    """Processes forked by ``mwaa_airflow.launcher``."""

    def __init__(
        self,
        words: Sequence[str],
        wanted: Sequence[Process],
        variables: Mapping[str, str],
        patience: float,
        record: Status,
    ) -> None:
        self._words = words
        self._wanted = wanted
        self._variables = variables
        self._patience = patience
        self._record = record
        self._pid = 0
        self._running: dict[str, int] = {}
        self._rest = b""
        self._events = -1
        self.first = ""
        self.code: int | None = None

    def start(self, outputs: Mapping[str, int]) -> int:
        ours, theirs = os.pipe()
        rows = [
            {"name": item.name, "argv": list(item.argv), "stdout": outputs[item.name], "stderr": outputs[item.name]}
            for item in self._wanted
        ]
        job = {"events": theirs, "processes": [{**row, "patience": self._patience} for row in rows]}
        # What the launcher itself prints belongs to the component's first process.
        first = outputs[self._wanted[0].name]
        self._pid = _spawn(
            [*self._words, "-m", "mwaa_airflow.launcher", json.dumps(job)],
            self._variables,
            first,
            [*outputs.values(), theirs],
        )
        os.close(theirs)
        self._events = ours
        return ours

    def stop(self) -> None:
        if self.alive:
            system.kill([self._pid], signal.SIGTERM)

    def event(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            row = json.loads(line)
            if row["event"] == "started":
                self._running[row["name"]] = row["pid"]
                self._record.process(row["name"], row["pid"])
            elif row["event"] == "exited":
                self._running.pop(row["name"], None)
                self._record.process_ended(row["name"], row["code"])
                if self.code is None:
                    self.first, self.code = row["name"], row["code"]

    def ended(self, pid: int, code: int) -> None:
        if pid == self._pid:
            with contextlib.suppress(OSError):  # its last words say how its processes ended
                while data := os.read(self._events, _LINE_BYTES):
                    self.event(data)
            self._pid = 0
            for name, running in self._running.items():
                # A single process is the launcher itself; several die with theirs.
                self._record.process_ended(name, code if running == pid else -signal.SIGKILL)
                if running == pid and self.code is None:
                    self.first, self.code = name, code
            self._running.clear()
            self.code = code if self.code is None else self.code

    @property
    def alive(self) -> bool:
        return self._pid != 0


class Direct:
    """Processes started one by one."""

    def __init__(
        self, words: Sequence[str], wanted: Sequence[Process], variables: Mapping[str, str], record: Status
    ) -> None:
        self._words = words
        self._wanted = wanted
        self._variables = variables
        self._record = record
        self._pids: dict[int, str] = {}
        self._stopping = False
        self.first = ""
        self.code: int | None = None

    def start(self, outputs: Mapping[str, int]) -> None:
        for item in self._wanted:
            pid = _spawn([*self._words, *item.argv], self._variables, outputs[item.name], [])
            self._pids[pid] = item.name
            self._record.process(item.name, pid)

    def stop(self) -> None:
        # To the process alone, not its group: a Celery worker then finishes its tasks. Once: a second one means haste.
        if not self._stopping:
            self._stopping = True
            system.kill(list(reversed(self._pids)), signal.SIGTERM)

    def event(self, data: bytes) -> None:
        raise AssertionError("there is no events descriptor")

    def ended(self, pid: int, code: int) -> None:
        if pid in self._pids:
            name = self._pids.pop(pid)
            self._record.process_ended(name, code)
            if self.code is None:
                self.first, self.code = name, code
                self.stop()

    @property
    def alive(self) -> bool:
        return bool(self._pids)


def _spawn(argv: Sequence[str], variables: Mapping[str, str], output: int, keep: Sequence[int]) -> int:
    """Start a process in its own session that dies with us; its pid. The supervisor's loop collects it."""
    parent = os.getpid()

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        lineage.die_with_parent(signal.SIGKILL, parent)

    child = subprocess.Popen(
        list(argv),
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=sorted(set(keep)),
        start_new_session=True,
        preexec_fn=prepare,
    )
    child.returncode = 0  # collected by waitpid(-1), not by Popen
    return child.pid


class Supervisor:
    """Runs a group until it ends or a signal asks for it.

    Args:
        group: The processes.
        names: Their names, in order.
        record: The component's status.
        line: Takes each line of output: process name and text.
        ask: The component's health; called in a thread of its own.
        drain_seconds: From SIGTERM to SIGKILL, in seconds.
        prefix: Put the process's name before each line on the console.
        health_seconds: How often health is asked once the component is ready, in seconds.
        roots: Folders of the user's files, by name, for the words about a process that died.
    """

    def __init__(
        self,
        group: Group,
        names: Sequence[str],
        record: Status,
        line: Callable[[str, str], None],
        ask: Callable[[], Health],
        *,
        drain_seconds: float,
        prefix: bool = False,
        health_seconds: float = HEALTH_SECONDS,
        roots: Mapping[str, Iterable[Path]] | None = None,
    ) -> None:
        self._roots = roots or {}
        self._group = group
        self._names = names
        self._record = record
        self._line = line
        self._ask = ask
        self._drain_seconds = drain_seconds
        self._prefix = prefix
        self._health_seconds = health_seconds
        self._done = threading.Event()
        self._ready = threading.Event()
        self._deadline: float | None = None
        self._asked_to_stop = False
        self._parent = os.getppid()
        self._rest: dict[int, bytes] = {}
        self._tails: dict[str, deque[str]] = {name: deque(maxlen=crash.KEPT_LINES) for name in names}
        self._names_by_fd: dict[int, str] = {}

    def run(self, on_settled: Callable[[], None] = lambda: None, settle_seconds: float = 60.0) -> int:
        """Run to the end; the component's exit code.

        Args:
            on_settled: Called once in a thread, when the component is healthy for the first time or takes too long:
                what costs CPU that the starting processes need is done then.
            settle_seconds: How long that is, in seconds.
        """
        lineage.become_subreaper()
        with selectors.DefaultSelector() as selector, _Signals() as signals:
            selector.register(signals.descriptor, selectors.EVENT_READ, "signal")
            self._start(selector)
            watch = threading.Thread(target=self._watch, args=(on_settled, settle_seconds), name="health", daemon=True)
            watch.start()
            while self._group.alive:
                for key, _ in selector.select(self._wait()):
                    if key.data == "signal":
                        for number in signals.read():
                            self._signal(number)
                    else:
                        self._readable(selector, key.fd, key.data)
                self._reap()
                self._kill_when_due()
            self._done.set()
            self._end(selector)
        code = self._group.code
        if self._asked_to_stop:
            self._record.set(state=status.STOPPED)
            return 0
        # A process died by itself, even with code 0: the engine must see that something ended which should not.
        self._died(self._group.first or self._names[0], self._group.code or 0)
        return 1 if not code else 128 - code if code < 0 else code

    def _died(self, name: str, code: int) -> None:
        """Keep why a process ended, for everyone who asks, and say it as the console's last line."""
        found = crash.explain(name, code, list(self._tails[name]), self._roots)
        if not self._group.first:
            found["ended"] = "could not be started"
        self._record.crashed(found)
        how, cause = found["ended"], found["cause"]
        said = f"{name} {cause}" if cause.startswith(how) else f"{name} {how}: {cause}"
        about = f"; DAG file or plugin: {found['file']}" if found["file"] else ""
        write_console(f"mwaa-local: {said}{about}\n")
        hint = f"mend {found['file']}; it is started again by itself" if found["file"] else "see `mwaa-local logs`"
        why = "\n".join(found["trace"])
        self._record.fail(EngineError(f"{said}{about}", where=self._record["component"], why=why, hint=hint))

    def _start(self, selector: selectors.BaseSelector) -> None:
        writers = {}
        for name in self._names:
            reader, writers[name] = os.pipe()
            os.set_blocking(reader, False)
            self._names_by_fd[reader] = name
            selector.register(reader, selectors.EVENT_READ, "output")
        try:
            events = self._group.start(writers)
        finally:
            for writer in writers.values():
                os.close(writer)
        if events is not None:
            os.set_blocking(events, False)
            selector.register(events, selectors.EVENT_READ, "events")

    def _wait(self) -> float:
        # Every change comes as a signal or as output; the limit only guards against a lost SIGCHLD.
        return 30.0 if self._deadline is None else max(0.0, min(1.0, self._deadline - time.monotonic()))

    def _signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            again, self._asked_to_stop = self._asked_to_stop, True
            orphaned = os.getppid() != self._parent
            if self._deadline is None or orphaned:
                # Serial stopping gives each process its own time; the whole has one end all the same. Whoever ended
                # with our parent is gone too, the database among them: a task could finish and tell nobody.
                self._deadline = time.monotonic() + (_ORPHAN_SECONDS if orphaned else self._drain_seconds)
            elif again and number == signal.SIGINT:
                self._deadline = time.monotonic()
            self._record.set(state=status.DRAINING)
            self._group.stop()

    def _readable(self, selector: selectors.BaseSelector, descriptor: int, kind: str) -> None:
        try:
            data = os.read(descriptor, _LINE_BYTES)
        except BlockingIOError:
            return
        if kind == "events" and data:
            self._group.event(data)
        elif kind == "output":
            self._output(descriptor, data)
        if not data:
            selector.unregister(descriptor)
            os.close(descriptor)

    def _output(self, descriptor: int, data: bytes) -> None:
        *lines, rest = (self._rest.pop(descriptor, b"") + data).split(b"\n")
        if (not data and rest) or len(rest) > _LINE_BYTES:
            lines, rest = [*lines, rest], b""
        if rest:
            self._rest[descriptor] = rest
        name = self._names_by_fd[descriptor]
        texts = [line.decode("utf-8", "replace").rstrip() for line in lines]
        lead = f"{name} | " if self._prefix else ""
        write_console("".join(f"{lead}{text}\n" for text in texts))
        self._tails[name].extend(text for text in texts[-crash.KEPT_LINES :] if text)
        for text in texts:
            self._line(name, text)

    def _reap(self) -> None:
        while True:
            try:
                pid, code = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._group.ended(pid, os.waitstatus_to_exitcode(code))

    def _kill_when_due(self) -> None:
        if self._deadline is None and self._group.code is not None:  # one ended, so the others are being stopped
            self._deadline = time.monotonic() + self._drain_seconds
        if self._deadline is not None and time.monotonic() >= self._deadline and self._group.alive:
            self._record.note(f"processes were killed: they had not ended {self._drain_seconds:.0f} s after SIGTERM")
            system.kill(system.descendants(os.getpid()))
            self._deadline = time.monotonic() + _KILL_SECONDS

    def _end(self, selector: selectors.BaseSelector) -> None:
        """Nothing of the component may outlive it; then the last lines are read."""
        end = time.monotonic() + _KILL_SECONDS
        while (left := system.descendants(os.getpid())) and time.monotonic() < end:
            system.kill(left)
            self._reap()
            time.sleep(0.005)
        while keys := [key for key, _ in selector.select(0) if key.data != "signal"]:
            for key in keys:
                self._readable(selector, key.fd, key.data)

    def _watch(self, on_settled: Callable[[], None], settle_seconds: float) -> None:
        """Ask for health: often until the component is ready, then now and then."""
        settled, latest = False, time.monotonic() + settle_seconds
        while not self._done.wait(self._health_seconds if self._ready.is_set() else _READY_POLL_SECONDS):
            health = self._ask()
            if self._done.is_set() or self._asked_to_stop:
                return
            self._record.set(health="" if health.ok else health.detail, health_at=round(time.time(), 1))
            if health.ok and not self._ready.is_set():
                self._ready.set()
                self._record.ready()
            self._record.forget_crash(_STEADY_SECONDS)
            if not settled and (self._ready.is_set() or time.monotonic() > latest):
                settled = True
                on_settled()


class _Signals:
    """Signals as bytes of a descriptor, so that one loop waits for everything."""

    def __enter__(self) -> _Signals:
        self.descriptor, self._writer = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._writer, False)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        self._before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        return self

    def read(self) -> list[int]:
        with contextlib.suppress(BlockingIOError):
            return list(os.read(self.descriptor, 4096))
        return []

    def __exit__(self, *_: Any) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.descriptor)
        os.close(self._writer)


def write_console(text: str) -> None:
    """Write to the component's own output; a reader that went away is no reason to end Airflow."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(text)
        sys.stdout.flush()
