"""Facts about running processes: who listens, how much memory, what belongs to an environment.

Reads ``/proc`` where there is one, because the tool asks often and psutil opens several files per process; psutil
answers elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_PROC = Path("/proc")
_LISTENS = "0A"  # TCP_LISTEN of linux/tcp_states.h
LINUX = (_PROC / "self" / "stat").exists()

MARK = "MWAA_LOCAL__PROCESS_OF"
"""Variable that every process of an environment inherits: ``<state folder>|<component>|<start number>``."""


def pids() -> list[int]:
    """Every visible process."""
    if LINUX:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 - a Path for each is slow
    import psutil

    return list(psutil.pids())


def parents() -> dict[int, int]:
    """Process id to parent id."""
    table: dict[int, int] = {}
    for pid in pids():
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The command name may hold blanks and brackets; everything after the last one is plain.
            fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] != "Z":
                table[pid] = int(fields[1])
    if not LINUX:
        import psutil

        for process in psutil.process_iter(["pid", "ppid"]):
            table[process.info["pid"]] = process.info["ppid"] or 0
    return table


def _children(table: Mapping[int, int]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for pid, parent in table.items():
        children.setdefault(parent, []).append(pid)
    return children


def descendants(root: int) -> list[int]:
    """All processes below one, the nearest first."""
    children = _children(parents())
    found: list[int] = []
    level = [root]
    while level:
        level = [child for pid in level for child in children.get(pid, ())]
        found += level
    return found


def tree(roots: Iterable[int]) -> set[int]:
    """The given processes and all their descendants that still live."""
    table = parents()
    children = _children(table)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in table]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def marked(prefix: str) -> set[int]:
    """Live processes whose mark begins with ``prefix``, this one excepted.

    It finds what a tree walk cannot: processes whose parent was killed. A process that wiped its variables escapes.
    """
    return {pid for pids_of_one in marked_parts(prefix).values() for pid in pids_of_one}


def marked_parts(prefix: str) -> dict[str, set[int]]:
    """The same by what follows in the mark up to the next ``|``: by component for a whole environment's prefix."""
    if not LINUX:
        return {}
    wanted = f"{MARK}={prefix}".encode()
    found: dict[str, set[int]] = {}
    for pid in pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            block = (_PROC / str(pid) / "environ").read_bytes()
            start = 0 if block.startswith(wanted) else block.find(b"\0" + wanted) + 1
            if start or block.startswith(wanted):
                rest = block[start + len(wanted) :].partition(b"\0")[0]
                found.setdefault(rest.partition(b"|")[0].decode(errors="replace"), set()).add(pid)
    return found


def kill(victims: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to each; the dead and the forbidden are skipped."""
    for pid in victims:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def sweep(prefix: str, *, seconds: float = 5.0) -> int:
    """Kill everything whose mark begins with ``prefix``, and what it started, until nothing is left.

    Args:
        prefix: Beginning of the mark.
        seconds: Limit for the whole job.

    Returns:
        How many processes were killed.
    """
    killed: set[int] = set()
    end = time.monotonic() + seconds
    while victims := {pid for pid in tree(marked(prefix)) if pid != os.getpid()}:
        kill(victims)
        killed |= victims
        if time.monotonic() > end:
            break
        time.sleep(0.02)
    return len(killed)


def kill_adopted(known: Iterable[int], *, seconds: float = 2.0) -> None:
    """Kill every child of this process that is not among ``known``, with all its descendants.

    For a keeper that inherits orphans: a component's own supervisor inherits those of its processes while it lives, so
    an orphan that came here belonged to a component that was killed.

    Args:
        known: Children to leave alone.
        seconds: Limit for the whole job.
    """
    own, keep, end = os.getpid(), set(known), time.monotonic() + seconds
    while time.monotonic() < end:
        adopted = {pid for pid, parent in parents().items() if parent == own} - keep
        if not adopted:
            return
        kill(tree(adopted))
        time.sleep(0.01)


def pss(root: int) -> int | None:
    """Proportional set size of a process and its descendants, in bytes.

    A page shared by n processes counts 1/n in each, so the sum over an environment is what the machine really gives it.
    """
    found = [size for pid in tree([root]) if (size := own_pss(pid)) is not None]
    return sum(found) if found else None


def own_pss(pid: int) -> int | None:
    """Proportional set size of one process alone, in bytes; ``None`` when it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None


def listening() -> set[int] | None:
    """TCP ports that any process listens on, in a millisecond; ``None`` where the system has no list to read."""
    found: set[int] = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            if name == "tcp":
                return None
            continue
        for line in lines:
            _, local, _, state = line.split()[:4]
            if state == _LISTENS:
                found.add(int(local.rpartition(":")[2], 16))
    return found


def listener(port: int) -> tuple[int, str] | None:
    """The process that listens on a TCP port, as id and command line; ``None`` when it cannot be seen."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return None
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr[1] == port
            and connection.pid
        ):
            with contextlib.suppress(psutil.Error):
                words = psutil.Process(connection.pid).cmdline()
                return connection.pid, " ".join(" ".join(words).split())[:120] or "?"
    return None


def command_line(pid: int) -> list[str]:
    """Words of a process's command line; empty when it is gone or cannot be read."""
    if LINUX:
        with contextlib.suppress(OSError):
            text = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
            return [word for word in text.split("\0") if word]
        return []
    import psutil

    with contextlib.suppress(psutil.Error):
        return list(psutil.Process(pid).cmdline())
    return []
