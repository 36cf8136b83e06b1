"""The startup script as MWAA runs it: sourced by bash, exports captured (spec/04 section 8, spec/10 section 3).

What ends well and what is fatal follows spec/10 section 3.3: ``exit N`` anywhere, ``return``, a failing last command
and a syntax error keep the exports; ``set -e``, ``set -u``, ``exec`` and a time-out lose them, which MWAA treats as
fatal.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mwaa_local.catalog import Version
from mwaa_local.errors import StartupScriptError

# Longest piece of output kept as one line, in bytes: a megabyte without a line end must not be held whole.
_LINE_BYTES = 16_384
# Lines of output, and characters of each, that are kept for status and error texts.
# Read at once, and the most that Linux lets a pipe hold unless it is told otherwise.
_READ_BYTES, _PIPE_BYTES = 65_536, 1 << 20
_TAIL_LINES, _TAIL_CHARACTERS = 20, 400
# How long a killed group is waited for; one that hangs in the system (a dead network disk) is left.
_GROUP_SECONDS = 2.0

# Commands that would change the user's machine; the process engine refuses them.
REFUSED_COMMANDS = (
    "sudo", "su", "doas", "yum", "dnf", "microdnf", "rpm", "apt", "apt-get", "dpkg", "apk", "zypper", "pacman", "brew",
    "snap", "systemctl", "service",
)  # fmt: skip

# As MWAA's wrapper: `exit` saves the environment first, and what ends bash in any other way saves nothing. `>|`
# because the script may have set noclobber; the absolute `env` because it may have broken PATH (which is judged
# afterwards).
_WRAPPER = """\
shopt -s expand_aliases
__mwaa_save() {{
  builtin printf '%s' "${{1-$?}}" >| {status}
  builtin command {env} -0 >| {capture}
  builtin exit 0
}}
alias exit=__mwaa_save
builtin source {script}
__mwaa_save
"""

_SHIM = """\
#!/bin/sh
printf '%s\\n' "${{0##*/}} $*" >> {log}
echo "mwaa-local: refused \\`${{0##*/}} $*\\`: the process engine changes nothing on this machine." >&2
echo "mwaa-local: on MWAA it would run. Use the docker engine; Python packages need no root: leave sudo out." >&2
exit 1
"""


@dataclass(frozen=True)
class ScriptResult:
    """How the script ended.

    Attributes:
        exit_status: What the script ended with (``exit 3`` gives 3; negative for a signal). MWAA never looks at it.
        seconds: Wall time in seconds.
        exports: The captured environment; ``None`` when it was lost, which is fatal.
        tail: Last lines of output.
        refused: Command lines that the process engine did not run.
        notes: What a user should know though MWAA would say nothing.
        why_lost: Why the capture is missing; empty when it is there.
    """

    exit_status: int
    seconds: float
    timed_out: bool
    exports: Mapping[str, str] | None = field(repr=False)
    tail: tuple[str, ...]
    refused: tuple[str, ...]
    notes: tuple[str, ...]
    why_lost: str = ""

    def as_dict(self, *, variables: Sequence[str] = (), restored: Sequence[str] = ()) -> dict[str, Any]:
        """The member ``startup_script`` of ``status.json``; variables by name only, for values may be secrets."""
        return {
            "exit_status": self.exit_status,
            "seconds": round(self.seconds, 3),
            "timed_out": self.timed_out,
            "captured": self.exports is not None,
            "tail": list(self.tail),
            "variables": list(variables),
            "restored": list(restored),
            "refused": list(self.refused),
            "notes": list(self.notes),
        }

    def check(self, script: Path) -> Mapping[str, str]:
        """The exports.

        Raises:
            StartupScriptError: they were lost: MWAA's container would not start Airflow either.
        """
        if self.exports is not None:
            return self.exports
        raise StartupScriptError(
            "the startup script ended in a way that keeps MWAA from starting Airflow",
            where=str(script),
            why="\n".join([self.why_lost, *self.tail[-8:]]),
            hint="end it with `exit N`, `return N` or its last line; no `set -e`, `set -u`, `exec`; within 5 minutes",
        )


def run(
    script: Path,
    *,
    home: Path,
    environment: Mapping[str, str],
    folder: Path,
    emit: Callable[[str], None],
    limit_seconds: float,
    patience_seconds: float,
    refuse_commands: bool,
    commands: str = "",
) -> ScriptResult:
    """Source a script under bash.

    Args:
        script: The script; neither its execute bit nor its first line matters.
        home: Working directory.
        environment: What the script sees.
        folder: A folder of ours for the capture.
        emit: Gets every line of output, as it comes.
        limit_seconds: Time the script has, in seconds.
        patience_seconds: Time from SIGTERM to SIGKILL after that.
        refuse_commands: Put refusing stand-ins of ``sudo``, ``yum`` and the like first on PATH.
        commands: A folder to have on PATH while it runs: commands of packages that it installs.

    Raises:
        StartupScriptError: there is no bash.
    """
    bash = "/bin/bash" if Path("/bin/bash").exists() else shutil.which("bash")
    if bash is None:
        raise StartupScriptError("the startup script needs bash, which this machine does not have", where=str(script))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    capture, wrapper, refused, own = (folder / name for name in ("environment", "wrapper.sh", "refused", "status"))
    for stale in (
        capture,
        refused,
        own,
    ):  # MWAA would reuse an old capture after a restart (spec/10 section 3.3): a trap, not copied
        stale.unlink(missing_ok=True)
    env = "/usr/bin/env" if Path("/usr/bin/env").exists() else shutil.which("env") or "env"
    names = {"env": env, "capture": capture, "script": script, "status": own}
    wrapper.write_text(
        _WRAPPER.format(**{key: shlex.quote(str(name)) for key, name in names.items()}), encoding="utf-8"
    )
    variables = dict(environment)
    ours = [str(_make_shims(folder / "refuse", refused))] if refuse_commands else []
    ours += [commands] if commands else []
    variables["PATH"] = ":".join((*ours, variables.get("PATH", "")))
    output = _Output(emit)
    began = time.monotonic()
    status, timed_out = _execute([bash, str(wrapper)], home, variables, output, limit_seconds, patience_seconds)
    seconds = time.monotonic() - began
    exports, why = _read_capture(capture, ours)
    if timed_out:
        why = why and f"it was still running after {limit_seconds + patience_seconds:.0f} seconds and was stopped"
    elif why and status:
        why = f"{why} (bash ended with status {status})"
    capture.unlink(missing_ok=True)  # holds secrets
    return ScriptResult(
        exit_status=_own_status(own, status) if exports is not None else status,
        seconds=seconds,
        timed_out=timed_out,
        exports=exports,
        tail=tuple(output.tail),
        refused=tuple(refused.read_text(encoding="utf-8", errors="replace").splitlines()) if refused.exists() else (),
        notes=_notes(script),
        why_lost=why,
    )


def verify(version: Version, package_set: Path) -> list[str]:
    """Lines of the verification after the script; a mismatch is said and stops nothing (spec/10 sections 3.5, 3.6).

    Args:
        package_set: The package set that Airflow would run from.
    """
    lines = ["Executing post startup script verification"]
    site = next(iter(sorted(package_set.glob("lib/python3.*/site-packages"))), None)
    found = site.parent.name.removeprefix("python") if site else ""
    if found != version.python:
        lines.append(f"Validation Error: Python version {version.python} expected")
    for name, expected in (("apache-airflow", version.airflow), ("watchtower", version.watchtower)):
        folder = f"{name.replace('-', '_')}-{expected}.dist-info"
        if site is None or not (site / folder).exists():
            lines.append(f"Validation Error: {name} version {expected} expected")
    lines.append("Post startup script verification completed")
    return lines


# The image's lines around the script's own output (spec/10 section 3.6). The guide's sample prints others (spec/04
# section 8.2); what a container of MWAA writes today counts.
BEGIN_LINE = "Executing customer startup script"
END_LINE = "Exiting customer startup script"


def time_line(seconds: float) -> str:
    """The image's line behind :data:`END_LINE`."""
    return f"Startup script execution time: {seconds:.2f} seconds."


class _Output:
    """Cuts bytes into lines, hands them on, and keeps the last ones; memory is bounded."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._rest = b""
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > _LINE_BYTES:
            lines.append(self._rest[:_LINE_BYTES])
            self._rest = self._rest[_LINE_BYTES:]
        for line in lines:
            self._line(line)

    def close(self) -> None:
        if self._rest:
            self._line(self._rest)
            self._rest = b""

    def _line(self, line: bytes) -> None:
        for start in range(0, max(1, len(line)), _LINE_BYTES):
            text = line[start : start + _LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
            self.tail.append(text[:_TAIL_CHARACTERS])
            self._emit(text)


def _execute(
    argv: list[str], home: Path, variables: Mapping[str, str], output: _Output, limit: float, patience: float
) -> tuple[int, bool]:
    """Run a command in its own group until it ends; its status, and whether it had to be stopped."""
    process = subprocess.Popen(
        argv,
        cwd=home,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    deadlines = [(limit, signal.SIGTERM), (limit + patience, signal.SIGKILL)]
    began, timed_out, is_open = time.monotonic(), False, True
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while process.poll() is None:
            if not selector.select(0.02) and not is_open:
                time.sleep(0.02)
            if is_open and not _read(pipe, output):
                selector.unregister(pipe)
                is_open = False
            while deadlines and time.monotonic() - began > deadlines[0][0]:
                timed_out = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, deadlines.pop(0)[1])
    if timed_out:
        _end_group(process.pid)
    # What the script itself wrote is in the pipe by now, and a pipe holds so much at most.
    for _ in range(_PIPE_BYTES // _READ_BYTES + 1):
        is_open = is_open and _read(pipe, output)
    if is_open:
        # A background process of the script still holds the pipe: keep reading, or its next line would block or kill
        # it.
        threading.Thread(target=_keep_reading, args=(process.stdout, output), daemon=True, name="startup-rest").start()
    else:
        process.stdout.close()
        output.close()
    return process.returncode, timed_out


def _end_group(leader: int) -> None:
    """Kill what is left of a group whose leader has ended, and wait until nothing of it runs.

    A member may ignore SIGTERM, and one that was sent SIGKILL runs on until the system gives it a turn.
    """
    given_up = time.monotonic() + _GROUP_SECONDS
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < given_up:
            os.killpg(leader, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # ours only where orphans are given to this process
                os.waitpid(-leader, os.WNOHANG)
            time.sleep(0.01)


def _read(pipe: int, output: _Output) -> bool:
    """Read a part of what is there, so that output without an end cannot outlast the time limit; false at its end."""
    try:
        data = os.read(pipe, _READ_BYTES)
    except BlockingIOError:
        return True
    output.feed(data)
    return bool(data)


def _keep_reading(stream: Any, output: _Output) -> None:
    os.set_blocking(stream.fileno(), True)
    with stream:
        while data := os.read(stream.fileno(), _READ_BYTES):
            output.feed(data)
    output.close()


def _read_capture(capture: Path, ours: Sequence[str]) -> tuple[dict[str, str] | None, str]:
    """The captured environment, or why there is none."""
    try:
        data = capture.read_bytes()
    except OSError:
        return (
            None,
            "the script ended without its environment being saved: a failing command under `set -e`, an unset \
variable under `set -u`, `exec`, or a kill",
        )
    if not data:
        return None, "the environment could not be saved (it may be larger than the system allows)"
    pairs = (os.fsdecode(item).partition("=") for item in data.split(b"\0") if item)
    exports = {name: value for name, _, value in pairs if name}
    folders = [folder for folder in exports.get("PATH", "").split(":") if folder not in ours]
    if not any(folder and Path(folder, "env").exists() for folder in folders):
        # MWAA saves the environment with jq from /usr/bin: without the system folders on PATH that is not found.
        return None, "PATH has lost the system's folders (/usr/bin), so that MWAA cannot save the environment"
    exports["PATH"] = ":".join(folders)
    return exports, ""


def _own_status(file: Path, status: int) -> int:
    """The status the script asked for: saving the environment ends bash with 0 whatever it was."""
    try:
        return int(file.read_text(encoding="utf-8")) & 0xFF
    except (OSError, ValueError):
        return status


def _make_shims(folder: Path, log: Path) -> Path:
    folder.mkdir(exist_ok=True)
    shim = folder / ".refuse"
    shim.write_text(_SHIM.format(log=shlex.quote(str(log))), encoding="utf-8")
    shim.chmod(0o755)
    for name in REFUSED_COMMANDS:
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(shim.name)
    return folder


def _notes(script: Path) -> tuple[str, ...]:
    try:
        with script.open("rb") as stream:
            windows = b"\r\n" in stream.read(1_000_000)
    except OSError:
        return ()
    if not windows:
        return ()
    return (
        "startup.sh has Windows line ends (CRLF): bash, on MWAA too, takes the carriage return as part of each command "
        "and value. Convert it: `sed -i 's/\\r$//' startup.sh`.",
    )
