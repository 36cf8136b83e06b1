"""One component from nothing to running: the order of spec/04 section 14.2, each phase timed in ``status.json``.

Files, startup script, package set, configuration, processes. A failed ``requirements.txt`` does not keep Airflow from
starting, as on MWAA; the verdict is in the status. What is fatal on MWAA (a startup script that loses its environment)
is fatal here, but the component ends at once with code 1 and says why: MWAA's container first sleeps 1100 s (spec/10
section 1.6), which locally looks like a hang.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from mwaa_local.catalog import limits
from mwaa_local.errors import MwaaLocalError
from mwaa_local.ground import atomic, lineage
from mwaa_local.ground import processes as system
from mwaa_local.runtime import (
    container_packages,
    entrance,
    environment,
    files,
    health,
    host_tools,
    package_set,
    processes,
    ship,
    startup,
    status,
    supervise,
)
from mwaa_local.runtime.health import Probe
from mwaa_local.runtime.inputs import RuntimeInputs
from mwaa_local.runtime.package_set import InstalledSet
from mwaa_local.runtime.reading import read_inputs
from mwaa_local.runtime.status import Status

# The log client's import costs half a second of CPU that the starting processes need; lines wait in memory so long.
_SHIPPING_DELAY_SECONDS = 20.0
_LAST_LINES_SECONDS = 2.0
# Each question is a line in the web server's access log.
_WEB_HEALTH_SECONDS = 15.0


class _Stopped(BaseException):
    """SIGTERM or SIGINT while booting."""


def run(component: str, variables: Mapping[str, str]) -> int:
    """Boot a component and keep it until its end.

    Args:
        component: ``scheduler``, ``worker``, ``webserver`` or ``migrate-db``.
        variables: The process's own environment.

    Returns:
        The exit code: 0 after SIGTERM, else that of the process that ended, or 1.
    """
    run_dir = Path(variables.get("MWAA_LOCAL__RUN_DIR") or "/usr/local/mwaa/run")
    record = Status(run_dir, component)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        inputs = read_inputs(component, variables)
        for warning in inputs.warnings:
            record.note(warning)
        if component == "migrate-db":
            from mwaa_local.runtime import migrate

            return migrate.run(inputs, record)
        return _Boot(inputs, record).run()
    except MwaaLocalError as error:
        record.fail(error)
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    except _Stopped:
        record.set(state=status.STOPPED)
        return 0
    except OSError as error:
        if error.filename is None:  # no file's: a traceback says more
            record.fail(MwaaLocalError(f"unexpected {type(error).__name__}: {error}"))
            raise
        failure = atomic.disk_error(error, Path(os.fsdecode(error.filename)))
        record.fail(failure)
        print(f"{type(failure).__name__}: {failure}", file=sys.stderr, flush=True)
        return 1
    except BaseException as error:
        record.fail(MwaaLocalError(f"unexpected {type(error).__name__}: {error}"))
        raise
    finally:
        system.kill(system.descendants(os.getpid()))


def _stop(*_: object) -> None:
    raise _Stopped


class _Boot:
    """The boot of a scheduler, worker or web server component."""

    def __init__(self, inputs: RuntimeInputs, record: Status) -> None:
        self._inputs = inputs
        self._record = record
        self._shipper = ship.Shipper({}, lambda: None, record.note)

    def run(self) -> int:
        self._inputs = entrance.enter(self._inputs, self._record)
        inputs = self._inputs
        lineage.become_subreaper()
        self._shipper = ship.Shipper(ship.streams(inputs, host_name(inputs)), lambda: ship.connect(inputs), self._say)
        try:
            with self._record.phase("files") as detail:
                detail += files.place(inputs, self._record.note)
                base = package_set.base(inputs)
            container_packages.clear(inputs)
            exports = self._startup(base)
            self._requirements(exports, base)
            with self._record.phase("configuration"):
                merged = environment.effective(inputs, exports)
                variables = merged.variables
                variables["PATH"] = container_packages.with_commands(inputs, variables["PATH"])
                self._record.set(restored=list(merged.restored))
                self._record_script(exports, merged)
                files.keep_environment(inputs, variables)
                self._write_metrics_files()
                inputs.heartbeat_file.unlink(missing_ok=True)
            return self._supervise(variables)
        finally:
            self._shipper.close(_LAST_LINES_SECONDS)

    def _startup(self, base: InstalledSet) -> Mapping[str, str] | None:
        """Run the startup script if there is one; its captured environment.

        Raises:
            StartupScriptError: it ended in a way that is fatal on MWAA.
        """
        inputs = self._inputs
        script = inputs.home / "startup" / "startup.sh"  # whatever the variable says (spec/10 section 3.1)
        named = inputs.startup_path
        if (
            named is None
            or not (script if str(named).startswith(limits().home) else named).is_file()
            or not script.is_file()
        ):
            return None
        emit = self._emit("startup")
        with self._record.phase("startup script") as detail:
            emit(startup.BEGIN_LINE)
            allowed = limits().startup_script_seconds - limits().startup_script_patience_seconds
            self._result = startup.run(
                inputs.visible_home / "startup" / "startup.sh",
                home=inputs.visible_home,
                environment=environment.script_environment(inputs),
                folder=inputs.run_dir / "startup",
                emit=emit,
                limit_seconds=allowed,
                patience_seconds=limits().startup_script_patience_seconds,
                refuse_commands=not inputs.in_image,
                commands=container_packages.commands(inputs),
            )
            self._record.set(startup_script=self._result.as_dict())
            if self._result.exports is not None:
                emit(startup.END_LINE)
            emit(startup.time_line(self._result.seconds))
            for line in startup.verify(inputs.version, base.folder):
                emit(line)
            path = environment.script_environment(inputs)["PATH"]
            for name in host_tools.missing(script.read_text(encoding="utf-8", errors="replace"), path):
                self._record.note(f"the startup script names {name}, which MWAA's image has and this machine does not")
            for note in self._result.notes:
                self._record.note(note)
            if self._result.refused:
                self._record.note(f"not run on this machine: {'; '.join(self._result.refused[:5])}")
            detail.append(f"exit status {self._result.exit_status}")
        if self._result.exports is None:
            # MWAA's own line for the customer (spec/10 section 3.4).
            emit(
                "[ERROR] An unexpected error occurred: Failed to locate environment variables file from startup script."
            )
        return self._result.check(inputs.workflow.get("startup_script", script))

    def _record_script(self, exports: Mapping[str, str] | None, merged: environment.Effective) -> None:
        if exports is not None:
            names = sorted(environment.changes(self._inputs, exports))
            self._record.set(startup_script=self._result.as_dict(variables=names, restored=merged.restored))

    def _requirements(self, exports: Mapping[str, str] | None, base: InstalledSet) -> None:
        with self._record.phase("package set") as detail:
            variables = environment.effective(self._inputs, exports).variables
            found = package_set.prepare(self._inputs, variables, self._emit("requirements"), base)
            self._record.set(requirements=found.verdict)
            detail.append(str(found.verdict["verdict"]))
            if gone := container_packages.give_way(self._inputs, found.verdict.get("names", ())):
                self._record.note(f"requirements.txt takes the place of what pip installed before: {', '.join(gone)}")
            if own := container_packages.installed(self._inputs):
                detail.append(f"{len(own)} packages of the startup script")

    def _supervise(self, variables: Mapping[str, str]) -> int:
        inputs, record = self._inputs, self._record
        wanted = processes.processes(inputs, variables)
        words = processes.python_words(inputs)
        group: supervise.Group
        if inputs.use_launcher:
            group = supervise.Launched(words, wanted, variables, inputs.drain_seconds, record)
        else:
            group = supervise.Direct(processes.airflow_words(inputs), wanted, variables, record)
        names = [item.name for item in wanted]
        supervisor = supervise.Supervisor(
            group,
            names,
            record,
            lambda name, text: self._shipper.line(name, text),
            Probe(inputs, names, record.started).ask,
            drain_seconds=inputs.drain_seconds,
            prefix=inputs.console_prefix,
            roots=files.roots(inputs),
            health_seconds=_WEB_HEALTH_SECONDS if inputs.component == "webserver" else supervise.HEALTH_SECONDS,
        )
        return supervisor.run(self._settled, _SHIPPING_DELAY_SECONDS)

    def _settled(self) -> None:
        self._shipper.start()
        threading.Thread(target=health.warm_up, args=(self._inputs,), name="warm-up", daemon=True).start()

    def _write_metrics_files(self) -> None:
        folder = self._inputs.metrics_folder
        if self._inputs.metrics and folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in environment.metrics_files(self._inputs).items():
                (folder / name).write_text(text, encoding="utf-8")

    def _emit(self, stream: str) -> Callable[[str], None]:
        """Lines of one phase, to the console and to the phase's log stream; always as INFO (spec/04 section 8)."""

        def emit(line: str) -> None:
            supervise.write_console(f"{line}\n")
            self._shipper.line(stream, line, ship.LEVELS["INFO"])

        return emit

    def _say(self, text: str) -> None:
        self._record.note(text)
        supervise.write_console(f"mwaa-local: {text}\n")


def host_name(inputs: RuntimeInputs) -> str:
    """The name in log streams; MWAA's hosts begin with ``ip-`` (spec/08 section 3.3)."""
    name = inputs.hostname or socket.gethostname()
    return name if name.startswith("ip-") else f"ip-{name}"
