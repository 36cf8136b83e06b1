"""What runs: the containers of one environment, asked of the daemon in two calls, as component states."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mwaa_local.engines.docker.client import Docker, translate
from mwaa_local.engines.names import AIRFLOW, JOBS, ORDER
from mwaa_local.engines.protocol import ComponentState, State
from mwaa_local.ground import processes
from mwaa_local.runtime import crash

PROJECT_LABEL = "com.docker.compose.project"
_SERVICE, _NUMBER, _ONEOFF = (
    "com.docker.compose.service",
    "com.docker.compose.container-number",
    "com.docker.compose.oneoff",
)
RUN_DIR = "/usr/local/mwaa/run"
# The beginning of a boot and of its container may be told by two clocks.
_CLOCK_SECONDS = 2.0


@dataclass(frozen=True)
class Container:
    """One container of the environment, as the daemon describes it.

    Attributes:
        name: The component's: ``worker``, ``worker-2``.
        project: The Compose project.
        status: Docker's word: ``running``, ``restarting``, ``exited``, ``created``, ``paused``, ``dead``.
        health: Docker's word, empty for a container without a health check.
        said: Last line of its health check.
        pid: Its main process on the daemon's machine; 0 when none runs.
        started_at: Seconds since the epoch; 0.0 before the first start.
        ports: Ports published on this machine.
        memory_limit: Bytes; 0 for none.
    """

    id: str
    name: str
    service: str
    image: str
    status: str
    health: str = ""
    said: str = ""
    exit_code: int = 0
    restarts: int = 0
    pid: int = 0
    started_at: float = 0.0
    out_of_memory: bool = False
    error: str = ""
    ports: frozenset[int] = field(default_factory=frozenset)
    memory_limit: int = 0
    project: str = ""

    @property
    def lives(self) -> bool:
        """Whether Docker runs it, or will start it again by itself."""
        return self.status in ("running", "restarting", "paused")


def look(docker: Docker, project: str) -> list[Container]:
    """Every container of a Compose project, in the order of :data:`ORDER`.

    Raises:
        MwaaLocalError: The daemon does not answer.
    """
    ids = docker.output("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}").split()
    if not ids:
        return []
    done = docker.call("inspect", "--type", "container", *ids)
    if done.returncode and not done.stdout.strip():
        raise translate(done.stderr.decode(errors="replace"), "docker inspect")
    # One that was removed between the two calls is merely missing from the answer.
    found = [_container(document) for document in json.loads(done.stdout)]
    places = {name: number for number, name in enumerate(ORDER)}
    kept = [container for container in found if container is not None]
    return sorted(kept, key=lambda item: (places.get(item.service, len(ORDER)), len(item.name), item.name))


def _container(document: Mapping[str, Any]) -> Container | None:
    labels = document["Config"].get("Labels") or {}
    service, number = str(labels.get(_SERVICE, "")), str(labels.get(_NUMBER, "1"))
    if labels.get(_ONEOFF) == "True" or not service:
        return None
    state, host = document["State"], document["HostConfig"]
    health = state.get("Health") or {}
    log = health.get("Log") or []
    bindings = (host.get("PortBindings") or {}).values()
    return Container(
        id=document["Id"],
        name=service if number == "1" else f"{service}-{number}",
        service=service,
        image=document["Image"],
        status=state["Status"],
        health=str(health.get("Status") or "").removeprefix("none"),
        said=_last_line(str(log[-1].get("Output") or "")) if log else "",
        exit_code=int(state.get("ExitCode") or 0),
        restarts=int(document.get("RestartCount") or 0),
        pid=int(state.get("Pid") or 0),
        started_at=_seconds(str(state.get("StartedAt") or "")),
        out_of_memory=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        ports=frozenset(int(row["HostPort"]) for rows in bindings for row in rows or () if row.get("HostPort")),
        memory_limit=int(host.get("Memory") or 0),
        project=str(labels.get(PROJECT_LABEL, "")),
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def _seconds(text: str) -> float:
    """Docker's time (nanoseconds, ``Z``) as seconds since the epoch; 0.0 for its zero."""
    whole, _, rest = text.partition(".")
    fraction = "".join(char for char in rest[:6] if char.isdigit())
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(whole.removesuffix("Z") + "+00:00")
        return max(0.0, moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0))
    return 0.0


def statuses(docker: Docker, containers: Iterable[Container]) -> dict[str, dict[str, Any]]:
    """Component name to the runtime's ``status.json`` of its present boot; those without one are left out."""
    asked = [item for item in containers if item.service in (*AIRFLOW, *JOBS) and item.started_at]
    if not asked:
        return {}
    with ThreadPoolExecutor(len(asked)) as pool:
        texts = pool.map(lambda item: read(docker, item.id, f"{RUN_DIR}/status.json"), asked)
        found = {}
        for item, text in zip(asked, texts, strict=True):
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                status = json.loads(text or "null")
                # A container that was started again still holds the words of its boot before.
                if float(status.get("started_epoch") or 0.0) >= item.started_at - _CLOCK_SECONDS:
                    found[item.name] = status
        return found


def read(docker: Docker, container: str, path: str) -> bytes | None:
    """A small file out of a container, running or not; ``None`` when it is not there."""
    # `docker cp` and not `docker exec`: it starts no process, and works on a container that has just died.
    done = docker.call("cp", f"{container}:{path}", "-")
    if done.returncode:
        return None
    with contextlib.suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                return file.read()
    return None


def describe(container: Container, status: Mapping[str, Any] | None, *, memory: int | None = None) -> ComponentState:
    """One container as the tool shows it."""
    state = _state(container)
    return ComponentState(
        name=container.name,
        state=state,
        pid=container.pid or None,
        started_at=container.started_at if container.pid else None,
        restarts=container.restarts,
        memory_bytes=memory,
        detail=_detail(container, state, status),
        status=status,
    )


def of_site(state: ComponentState) -> ComponentState:
    """The same as a component of the site."""
    return replace(state, site=True)


def _state(container: Container) -> State:
    if container.status == "running":
        if container.health in ("", "healthy"):
            return "healthy"
        if container.health == "unhealthy":
            return "unhealthy"
        return "restarting" if container.restarts else "starting"
    if container.status == "restarting":
        return "restarting"
    if container.status == "created":
        return "failed" if container.error else "starting"
    if container.status == "paused":
        return "unhealthy"
    return "failed" if container.service in JOBS and container.exit_code else "stopped"


def _detail(container: Container, state: State, status: Mapping[str, Any] | None) -> str:
    error = (status or {}).get("error")
    if container.error:
        return container.error
    last = (status or {}).get("crash")
    cause = crash.sentence(last) if last else ""
    if state in ("restarting", "stopped", "failed") and container.status != "running":
        because = f": {cause}" if cause and container.exit_code and not container.out_of_memory else ""
        return ending(container) + because + ("; Docker starts it again" if state == "restarting" else "")
    if error:
        return str(error.get("what") or "")
    if state == "starting":
        return _boot(status) or container.said
    said = container.said if state in ("unhealthy", "restarting") else ""
    return said or (f"last restart: {cause}" if cause else "")


def ending(container: Container) -> str:
    """How a container ended."""
    if container.out_of_memory:
        limit = f" of {container.memory_limit / 1e9:.1f} GB" if container.memory_limit else ""
        return f"was killed: it reached its memory limit{limit} (EnvironmentClass, Local.ResourceFactor)"
    if container.exit_code > 128:
        return f"was ended by signal {container.exit_code - 128}"
    return f"ended with exit code {container.exit_code}"


def _boot(status: Mapping[str, Any] | None) -> str:
    phases = (status or {}).get("phases") or []
    return f"done: {phases[-1]['name']}" if phases and (status or {}).get("state") == "booting" else ""


def memory(docker: Docker, containers: Iterable[Container]) -> dict[str, int]:
    """Component name to memory in bytes: proportional set size where it can be read here, else Docker's figure."""
    living = [item for item in containers if item.status == "running" and item.pid]
    found: dict[str, int] = {}
    for item in living:
        if _is_here(item) and (size := processes.pss(item.pid)):
            found[item.name] = size
    rest = {item.id: item.name for item in living if item.name not in found}
    if rest:
        done = docker.call("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.MemUsage}}", *rest)
        for line in done.stdout.decode(errors="replace").splitlines():
            identity, _, usage = line.partition(" ")
            if identity in rest and (size := _bytes(usage.partition("/")[0])) is not None:
                found[rest[identity]] = size
    return found


def _is_here(container: Container) -> bool:
    """Whether the container's process is one of this machine's: Docker may run in a virtual machine."""
    with contextlib.suppress(OSError):
        return container.id in Path(f"/proc/{container.pid}/cgroup").read_text()
    return False


def _bytes(text: str) -> int | None:
    """``512.3MiB`` in bytes."""
    text = text.strip()
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("kB", 1000), ("B", 1)):
        if text.endswith(unit):
            with contextlib.suppress(ValueError):
                return int(float(text.removesuffix(unit)) * factor)
    return None
