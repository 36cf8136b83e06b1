"""Which Airflow processes a component runs (spec/10 section 1.2), and small tools for processes of the system."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.runtime.inputs import RuntimeInputs

_PDEATHSIG, _CHILD_SUBREAPER = 1, 36


@dataclass(frozen=True)
class Process:
    """One Airflow process: its name and the words after ``airflow``."""

    name: str
    argv: tuple[str, ...]


def processes(inputs: RuntimeInputs, variables: Mapping[str, str]) -> list[Process]:
    """The processes of a component, in the order in which they start.

    The scheduler component holds the DAG processor and the triggerer too, the latter unless ``mwaa.triggerer_enabled``
    says no (spec/04 section 14.2). No process serves log files by HTTP when task logs are published: nobody on MWAA
    could read them there, and each of these servers costs a port and tens of megabytes.
    """
    quiet = ("--skip-serve-logs",) if inputs.logs["TASK"].publishes else ()
    if inputs.component == "worker":
        return [Process("worker", ("celery", "worker", *quiet))]
    if inputs.component == "webserver":
        return [Process("webserver", inputs.version.web_command)]
    if inputs.component == "scheduler":
        found = [Process("scheduler", ("scheduler",)), Process("dag-processor", ("dag-processor",))]
        if variables.get("AIRFLOW__MWAA__TRIGGERER_ENABLED", "true").strip().lower() not in ("false", "f", "0"):
            found.append(Process("triggerer", ("triggerer", *quiet)))
        return found
    return []


def python_words(inputs: RuntimeInputs) -> list[str]:
    """Airflow's interpreter as its processes see it, without the working folder on ``sys.path``."""
    words = [str(inputs.python or inputs.visible_home / ".local" / "bin" / "python")]
    minor = tuple(int(part) for part in inputs.version.python.split("."))
    return [*words, "-P"] if minor >= (3, 11) else words


def airflow_words(inputs: RuntimeInputs) -> list[str]:
    """The command ``airflow`` as MWAA runs it: the script, whose folder is then first on ``sys.path``."""
    return [python_words(inputs)[0], str(inputs.visible_home / ".local" / "bin" / "airflow")]


def prctl(option: int, value: int) -> None:
    """Linux's prctl; elsewhere nothing, for its uses only make cleaning up surer."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def become_subreaper() -> None:
    """Orphans of the component come to this process, which collects or kills them."""
    prctl(_CHILD_SUBREAPER, 1)


def die_with_parent(number: int, parent: int | None = None) -> None:
    """Have the kernel signal this process when its parent ends; at once when the parent ended already.

    Call it after every change of namespace or identity, which clears it.
    """
    prctl(_PDEATHSIG, number)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)


def descendants(root: int) -> list[int]:
    """All processes below one, the nearest first."""
    if not Path("/proc/self/stat").exists():
        import psutil

        return [child.pid for child in psutil.Process(root).children(recursive=True)]
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found, level = [], [root]
    while level:
        level = [child for pid in level for child in children.get(pid, ())]
        found += level
    return found


def kill(pids: list[int], number: int = signal.SIGKILL) -> None:
    """Signal processes that may be gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _parents() -> Iterator[tuple[int, int]]:
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - a Path for each is slow
    except OSError:
        return
    for name in names:
        if name.isdigit():
            try:
                # The name in parentheses may hold anything, blanks and parentheses included.
                fields = (
                    Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                )
            except OSError:
                continue
            yield int(name), int(fields[1])
