"""Ports that a stranger took between their choice and the moment when a component listens, tens of seconds later."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mwaa_local.engines import ports
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.ports import Wish
from mwaa_local.engines.process import keeper_client
from mwaa_local.errors import MachineError
from mwaa_local.ground import processes

# Which component listens on a port, where the port's name does not say it.
_LISTENERS = {"web": "webserver", "triggerer-logs": "scheduler"}
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Lost:
    """One port that somebody else holds.

    Attributes:
        name: The wish's.
        holder: For people: ``process 123: python -m http.server``.
        pid: Of the holder; ``None`` when it cannot be seen.
    """

    name: str
    port: int
    holder: str
    pid: int | None

    def note(self) -> str:
        """What happened, for the list of changes; it begins with the port's name."""
        return f"{self.name} port {self.port} was taken by {self.holder} during the start: chose another one"

    def error(self, wishes: Sequence[Wish]) -> MachineError:
        """What to say when no other port may take its place."""
        field = next((wish.field for wish in wishes if wish.name == self.name), "")
        stop = f"end it (kill {self.pid})" if self.pid else "end that program"
        return MachineError(
            f"port {self.port} is taken",
            where=field or self.name,
            why=f"{self.holder} took it while the environment was starting",
            hint=f"{stop} and run `make up` again" + (f", or set {field} to another port" if field else ""),
        )


class LostPortError(Exception):
    """Raised out of a wait, so that another port can be chosen."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(lost.name)
        self.lost = lost


def own(layout: Layout, known: Mapping[str, int]) -> set[int]:
    """Ports that a keeper's components hold; one that a stranger took meanwhile is not among them.

    Args:
        layout: Whose keeper.
        known: Wish to port, as they were given out.
    """
    if not keeper_client.runs(layout):
        return set()
    states = keeper_client.report(layout)["components"]
    sure = {name for name in known if states.get(_LISTENERS.get(name, name), {}).get("state") == "healthy"}
    unsure = {name for name in known.keys() - sure if not ports.is_free(known[name])}
    if unsure:
        ours = processes.marked(f"{layout.state}|")
        found = {name: processes.listener(known[name]) for name in unsure}
        sure |= {name for name, holder in found.items() if holder is None or holder[0] in ours}
    return {known[name] for name in sure}


class Watch:
    """Looks now and then, while components start, whether somebody else listens on one of their ports.

    It reads the system's list and binds nothing: a trial could itself be what a component finds in its way. Only after
    a component has failed is its port tried.

    Args:
        ports: Wish to port.
        state: The environment's folder, which marks our own processes.
    """

    def __init__(self, ports: Mapping[str, int], state: Path) -> None:
        self._ports = ports
        self._state = state
        self._next = 0.0
        # Chosen a moment ago: who listens there now is ours, or on another address, where it is in nobody's way.
        self._before = processes.listening() or set()

    def __call__(self, components: Mapping[str, Any]) -> None:
        """Look, if it is time to.

        Raises:
            LostPortError: A stranger was seen on a port.
        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LOOK_SECONDS
        if lost := self.look(components):
            raise LostPortError(lost)

    def look(self, components: Mapping[str, Any], *, failed: bool = False) -> Lost | None:
        """The first port that a stranger holds.

        Args:
            components: The keeper's words about each.
            failed: A component could not start: a holder that cannot be seen is then a stranger too.
        """
        ours: set[int] | None = None
        busy = processes.listening()
        for name, port in self._ports.items():
            one = components.get(_LISTENERS.get(name, name.removesuffix("-logs"))) or {}
            if one.get("state") == "healthy":
                continue
            if not failed and (port in self._before or (busy is not None and port not in busy)):
                continue
            if failed and ports.is_free(port):
                continue
            holder = processes.listener(port)
            ours = processes.marked(f"{self._state}|") if ours is None else ours
            if holder is not None and holder[0] not in ours:
                return Lost(name, port, f"process {holder[0]} ({holder[1]})", holder[0])
            if holder is None and failed and not one.get("pid"):
                return Lost(name, port, "a process that this user cannot see", None)
        return None
