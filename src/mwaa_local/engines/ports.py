"""Which ports an environment listens on: what was asked for, what it had before, what is free."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.errors import MachineError
from mwaa_local.ground import atomic, locks, processes

HOST = "127.0.0.1"
_TRIES = 200


@dataclass(frozen=True)
class Wish:
    """One port wanted.

    Attributes:
        name: What it is for, as the definition spells it (``Web``), or an internal name.
        port: The number asked for; ``None`` for any.
        explicit: Whether the user named it: then another number is no answer.
        field: Where the user can change it, for the error; empty for internal ones.
    """

    name: str
    port: int | None
    explicit: bool = False
    field: str = ""


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address, and nobody does on any address."""
    if not 1 <= port <= 65535:
        return False
    with socket.socket() as probe:
        # Servers set this too; without it a port that was closed a moment ago looks taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EPERM):
                return False
            raise
    return True


def any_free(taken: Iterable[int] = ()) -> int:
    """A free port of the operating system's choice that is not in ``taken``."""
    avoid = set(taken)
    for _ in range(_TRIES):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in avoid:
            return port
    raise MachineError("no free port was found", why=f"{_TRIES} tries", hint="close programs that hold many ports")


def choose(
    wishes: Iterable[Wish], *, before: dict[str, int], own: set[int], reserved: dict[int, str]
) -> tuple[dict[str, int], list[str]]:
    """Give every wish a port.

    A port used before is kept while the wish behind it stands. A default that is taken gives the next free one, and the
    answer says so; an explicit one that is taken is an error.

    Args:
        wishes: What is wanted, in order of importance.
        before: What the environment had the last time.
        own: Ports that this environment's own running components hold: they count as free.
        reserved: Ports promised to other environments that may not listen yet, with their state folders.

    Returns:
        Name to port, and one line for each default that could not be had, which begins with its name.

    Raises:
        MachineError: An explicit port is taken; names the process if it can be seen.
    """
    chosen: dict[str, int] = {}
    notes: list[str] = []

    def usable(port: int) -> bool:
        if port in chosen.values() or (port in reserved and port not in own):
            return False
        return port in own or is_free(port)

    for wish in wishes:
        kept = before.get(wish.name)
        if wish.explicit and wish.port is not None:
            if not usable(wish.port):
                raise MachineError(
                    f"port {wish.port} is taken",
                    where=wish.field or wish.name,
                    why=_holder(wish.port, reserved, chosen),
                    hint=f"stop that program, or set {wish.field or wish.name} to another port",
                )
            chosen[wish.name] = wish.port
        elif kept is not None and usable(kept) and (kept == wish.port or wish.port is None or kept in own):
            chosen[wish.name] = kept
        elif wish.port is None:
            chosen[wish.name] = any_free({*chosen.values(), *reserved})
        else:
            candidates = [wish.port, *([kept] if kept else []), *range(wish.port + 1, min(wish.port + _TRIES, 65536))]
            found = next((port for port in candidates if usable(port)), None)
            chosen[wish.name] = found if found is not None else any_free({*chosen.values(), *reserved})
            if chosen[wish.name] != wish.port:
                why = _holder(wish.port, reserved, chosen)
                notes.append(f"{wish.name} port is {chosen[wish.name]}: {wish.port} is taken ({why})")
    return chosen, notes


def _holder(port: int, reserved: dict[int, str], chosen: dict[str, int]) -> str:
    for name, number in chosen.items():
        if number == port:
            return f"this environment's {name} has it"
    if port in reserved:
        return f"the environment in {reserved[port]} has it"
    holder = processes.listener(port)
    if holder is None:
        return "by a process that this user cannot see" if os.geteuid() else "by a process that cannot be seen"
    return f"process {holder[0]}: {holder[1]}"


class Registry:
    """Ports promised to environments of this machine, so that two ``up`` at once do not choose the same one.

    Args:
        path: The shared file, in the cache folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def lock(self) -> Path:
        """The lock to hold from choosing to :meth:`promise`."""
        return self._path.with_suffix(".lock")

    def give(
        self,
        state: Path,
        wishes: Iterable[Wish],
        *,
        before: dict[str, int],
        own: set[int],
        inherited: Collection[int] = (),
    ) -> tuple[dict[str, int], list[str]]:
        """Choose ports and promise them, while nobody else on this machine does.

        Args:
            state: Whose: the folder they are promised to.
            wishes: See :func:`choose`.
            before: See :func:`choose`.
            own: See :func:`choose`.
            inherited: Ports promised to another folder that are this one's now.

        Raises:
            MachineError: An explicit port is taken.
        """
        with locks.lock(self.lock(), seconds=30.0, busy="another environment is choosing its ports"):
            reserved = {port: folder for port, folder in self.others(state).items() if port not in inherited}
            chosen, notes = choose(wishes, before=before, own=own, reserved=reserved)
            self.promise(state, chosen.values())
        return chosen, notes

    def others(self, state: Path) -> dict[int, str]:
        """Ports of other environments that are up or coming up, with their state folders."""
        found = {}
        for other, numbers in (atomic.read_json(self._path) or {}).items():
            folder = Path(other)
            busy = locks.locked(folder / "keeper.lock") or locks.locked(folder / "up.lock")
            if folder != state and busy:
                found.update({int(number): str(folder) for number in numbers})
        return found

    def promise(self, state: Path, numbers: Iterable[int]) -> None:
        """Note this environment's ports; folders that are gone are forgotten."""
        known = {key: value for key, value in (atomic.read_json(self._path) or {}).items() if Path(key).exists()}
        known[str(state)] = sorted(numbers)
        atomic.write_json(self._path, known)
