"""Who listens on a port: a health answer counts only when it came from the component's own process."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_LISTEN = "0A"


def listens(pids: Iterable[int], port: int) -> bool | None:
    """Whether one of these processes holds a listening TCP socket on the port.

    Returns:
        ``None`` where that cannot be seen (no ``/proc``, or a process of another user).
    """
    wanted = _sockets(port)
    if wanted is None:
        return None
    hidden = False
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        try:
            descriptors = os.listdir(folder)  # noqa: PTH208 - a Path for each is slow
        except FileNotFoundError:
            continue
        except OSError:
            hidden = True
            continue
        for descriptor in descriptors:
            try:
                if os.readlink(f"{folder}/{descriptor}") in wanted:  # noqa: PTH115 - a Path for each is slow
                    return True
            except OSError:
                continue
    return None if hidden else False


def _sockets(port: int) -> set[str] | None:
    """The listening sockets of a port as ``/proc/<pid>/fd`` names them."""
    found: set[str] = set()
    seen = False
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        seen = True
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found if seen else None
