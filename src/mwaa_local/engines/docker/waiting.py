"""Compose at work: shown service by service, ended early when a component shows that it will never be healthy."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker.client import Docker, PortTakenError, tail, translate
from mwaa_local.engines.docker.state import Container
from mwaa_local.engines.names import AIRFLOW, JOBS
from mwaa_local.engines.protocol import Progress, Step
from mwaa_local.engines.verdicts import told
from mwaa_local.errors import EngineError, MwaaLocalError
from mwaa_local.ground import processes
from mwaa_local.runtime import status as runtime_status

LOOK_SECONDS = 0.3
# Files are read out of containers less often: each costs a call.
_STATUS_SECONDS = 1.0
_HOPELESS_RESTARTS = 3
_TAIL = 15


def compose_words(project: str, files: Sequence[Path]) -> list[str]:
    """The beginning of every call of Compose: its project, and the files in order."""
    words = ["compose", "--progress", "plain", "--project-name", project, "--project-directory", str(files[0].parent)]
    return words + [word for file in files for word in ("--file", str(file))]


class Compose:
    """One ``docker compose up`` after the other, each when the one before and its job are done.

    Args:
        docker: The program.
        stages: The words after ``docker`` of each.
        variables: Added to the caller's own.
        cwd: Where it runs.
    """

    def __init__(
        self, docker: Docker, stages: Sequence[Sequence[str]], variables: Mapping[str, str], cwd: Path
    ) -> None:
        # A file and not a pipe: nobody reads while we look at the containers.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._docker, self._variables, self._cwd = docker, variables, cwd
        self._stages = list(stages)
        self._between = self._failed = False
        self._child = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._docker.program, *self._stages.pop(0)],
            env={**self._docker.variables, **self._variables},
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
        )

    def code(self) -> int | None:
        """The exit code of the last stage, or of one that failed; ``None`` while there is something to do."""
        if self._failed:
            return 1
        code = self._child.poll()
        if code == 0 and self._stages:
            self._between = True
            return None
        return code

    def advance(self, containers: Iterable[Container]) -> None:
        """Begin the next stage if its time has come.

        Args:
            containers: As they are since :meth:`code` was asked.
        """
        if not self._between:
            return
        jobs = [item for item in containers if item.service in JOBS]
        self._failed = any(item.exit_code and not item.lives for item in jobs)
        if all(item.status == "exited" for item in jobs) and not self._failed:
            self._between = False
            self._child = self._start()

    def finish(self, *, timeout_s: float) -> None:
        """Wait for its end.

        Raises:
            MwaaLocalError: It failed, or the time is over.
        """
        end = time.monotonic() + timeout_s
        try:
            while (code := self.code()) is None:
                if time.monotonic() > end:
                    raise EngineError(
                        f"docker compose did not end within {timeout_s:.0f} s",
                        why=tail(self.said(), _TAIL),
                        hint="is the daemon busy? `make up` again tries anew",
                    )
                time.sleep(LOOK_SECONDS / 3)
            if code:
                raise named(self._docker, translate(self.said(), "docker compose up"))
        finally:
            self.close(patience_s=0.0)

    def said(self) -> str:
        """What it printed so far."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def close(self, *, patience_s: float) -> None:
        """End it if it still runs: a half-done ``up`` is finished by the next one.

        Args:
            patience_s: Time it gets first. Compose cut between stopping a container and making its successor leaves
                one that still ends behind, for which the next ``up`` would have to wait.
        """
        for seconds, then in ((patience_s, self._child.terminate), (10.0, self._child.kill), (10.0, None)):
            try:
                self._child.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                if then is not None:
                    then()
        self._said.close()


def until_healthy(
    docker: Docker,
    project: str,
    names: Sequence[str],
    progress: Progress,
    *,
    compose: Compose | None,
    timeout_s: float,
) -> tuple[dict[str, float], list[Container], dict[str, dict[str, Any]]]:
    """Wait for components; the others go on whatever happens to one.

    Args:
        docker: The program.
        project: The Compose project.
        names: The components to wait for.
        progress: Shows each of them as a step of its own.
        compose: What brings them up; ``None`` when all of them run already.
        timeout_s: Limit in seconds.

    Returns:
        Seconds that each took from now, the containers, and their runtime's status documents.

    Raises:
        MwaaLocalError: One cannot start (its own error if it told one), Compose failed, or the time is over.
    """
    began, asked_at = time.monotonic(), 0.0
    since = time.time()
    restarts: dict[str, int] = {}
    seconds: dict[str, float] = {}
    known: dict[str, dict[str, Any]] = {}
    # What was there before may be about to be replaced, or to boot anew with a corrected file.
    old = {item.id for item in docker_state.look(docker, project)}
    with ExitStack() as stack:
        steps: dict[str, tuple[ExitStack, Step]] = {}
        while True:
            done = compose is None or compose.code() is not None
            containers = {item.name: item for item in docker_state.look(docker, project)}
            if compose is not None:
                compose.advance(containers.values())
            if time.monotonic() - asked_at > _STATUS_SECONDS:
                asked_at = time.monotonic()
                waited = [item for item in containers.values() if docker_state.describe(item, None).state != "healthy"]
                told_now = docker_state.statuses(docker, [item for item in waited if item.service not in JOBS])
                # By container: a component's new one must not answer for the words of its old one.
                known |= {containers[name].id: status for name, status in told_now.items()}
            for item in containers.values():
                # Docker counts for ever; what counts here is since now, and a new container begins at 0.
                first = restarts.setdefault(item.id, item.restarts)
                status = known.get(item.id) or {}
                if item.id not in old or (done and float(status.get("started_epoch") or since) >= since):
                    _refuse_hopeless(docker, item, status, item.restarts - first)
            for name in names:
                item = containers.get(name)  # type: ignore[assignment]
                if name in seconds or item is None:
                    continue
                state = docker_state.describe(item, known.get(item.id))
                if state.state == "healthy" and (done or name in steps):
                    seconds[name] = round(time.monotonic() - began, 2)
                    if name in steps:
                        steps.pop(name)[0].close()
                elif state.state != "healthy":
                    if name not in steps:
                        own = stack.enter_context(ExitStack())
                        steps[name] = (own, own.enter_context(progress.step(name)))
                    steps[name][1].note(state.detail)
            if done and compose is not None and compose.code():
                raise _failed(docker, containers.values(), compose.said())
            if done and all(_healthy(containers.get(name)) for name in names):
                found = docker_state.statuses(docker, [item for item in containers.values() if item.service in AIRFLOW])
                return seconds, list(containers.values()), found
            if time.monotonic() - began > timeout_s:
                raise _late(docker, containers, known, names, timeout_s)
            time.sleep(LOOK_SECONDS)


def _healthy(container: Container | None) -> bool:
    return container is not None and docker_state.describe(container, None).state == "healthy"


def _refuse_hopeless(docker: Docker, item: Container, status: Mapping[str, Any], restarted: int) -> None:
    """Stop waiting for a component whose boot failed for a reason it told, or that ends again and again."""
    error = status.get("error")
    failed = status.get("state") == runtime_status.FAILED
    if item.service in AIRFLOW and error and failed:
        raise _told(docker, item, error)
    if item.status == "created" and item.error:
        raise named(docker, translate(item.error, f"docker start {item.name}"))
    if restarted >= _HOPELESS_RESTARTS and item.status != "running":
        raise EngineError(
            f"{item.name} cannot start: it {docker_state.ending(item)}, {restarted} times",
            where=f"container {item.id[:12]}",
            why=last_lines(docker, item.id),
            hint=f"mwaa-local logs {item.name}; the other components keep running, `make down` stops them",
        )


def _told(docker: Docker, item: Container, error: Mapping[str, Any]) -> MwaaLocalError:
    return told(error, item.name, where=f"container {item.id[:12]}", tail=lambda: last_lines(docker, item.id))


def _failed(docker: Docker, containers: Iterable[Container], said: str) -> MwaaLocalError:
    """Why Compose gave up: a component that told why, a container that ended, or Compose's own words."""
    for item in containers:
        if (item.service in JOBS and item.exit_code and not item.lives) or item.health == "unhealthy":
            status = docker_state.statuses(docker, [item]).get(item.name) or {}
            if error := status.get("error"):
                return _told(docker, item, error)
            return EngineError(
                f"{item.name} {docker_state.ending(item) if not item.lives else 'is not healthy'}",
                where=f"container {item.id[:12]}",
                why="\n".join(part for part in (item.said, last_lines(docker, item.id)) if part),
                hint=f"mwaa-local logs {item.name}; `make up` again tries anew",
            )
    return named(docker, translate(said, "docker compose up"))


def named(docker: Docker, error: MwaaLocalError) -> MwaaLocalError:
    """A taken port's error with the name of who has it, where that can be seen."""
    if not isinstance(error, PortTakenError):
        return error
    port = error.port
    done = docker.call("ps", "--filter", f"publish={port}", "--format", "{{.Names}}")
    holders = done.stdout.decode(errors="replace").split()
    holder = processes.listener(port) if not holders else None
    if holders:
        error.why = f"container {', '.join(holders)} publishes it"
    elif holder is not None:
        error.why = f"process {holder[0]}: {holder[1]}"
    return error


def _late(
    docker: Docker,
    containers: Mapping[str, Container],
    known: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
    timeout_s: float,
) -> EngineError:
    slow = [name for name in names if not _healthy(containers.get(name))]
    first = slow[0] if slow else names[0]
    told_all = []
    for name in slow:
        item = containers.get(name)
        detail = docker_state.describe(item, known.get(item.id)).detail if item else ""
        told_all.append(f"{name}: {detail or 'not started'}")
    item = containers.get(first)
    return EngineError(
        f"{', '.join(slow)} did not become healthy within {timeout_s:.0f} s",
        where=f"container {item.id[:12]}" if item else "",
        why="\n".join(part for part in ("; ".join(told_all), last_lines(docker, item.id) if item else "") if part),
        hint=f"mwaa-local logs {first}; they keep starting, `make up` again waits on, `make down` stops them",
    )


def last_lines(docker: Docker, container: str) -> str:
    """The end of a container's console output."""
    done = docker.call("logs", "--tail", str(_TAIL), container)
    return tail((done.stdout + done.stderr).decode(errors="replace"), _TAIL)
