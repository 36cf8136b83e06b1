"""Commands in a running container, and its console output."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from mwaa_local.engines import attended
from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker.client import Docker, translate
from mwaa_local.engines.docker.state import Container

#: The tool's own in our images.
PYTHON = "/opt/mwaa/tool/bin/python"
_LOG_SECONDS = 60.0


def execute_words(component: str, argv: Sequence[str], *, ours: bool) -> list[str]:
    """The command that runs another one with a component's environment.

    An image that is not ours has no runtime of ours; MWAA's own appends the environment to ``.bashrc`` (spec/10
    section 2.2).
    """
    if ours:
        return [PYTHON, "-m", "mwaa_local.runtime", "exec", component, "--", *argv]
    return ["bash", "-c", '. ~/.bashrc; exec "$@"', "bash", *argv]


def execute(
    docker: Docker,
    container: str,
    words: Sequence[str],
    terminal: Sequence[str],
    *,
    interactive: bool,
    stdin: IO[bytes] | Path | None,
) -> int:
    """Run a command in a container.

    Args:
        docker: The program.
        container: Its id.
        words: The command.
        terminal: Names of the caller's variables that describe the terminal.
        interactive: Whether a person types into it.
        stdin: What it reads; the caller's own input when not given.

    Returns:
        Its exit code; 128 and the signal's number when a signal ended the docker program.
    """
    whole = [docker.program, "exec", "--interactive"]
    if interactive and stdin is None and os.isatty(0):
        whole.append("--tty")
    for name in terminal:
        whole += ["--env", name]
    whole += [container, *words]
    return attended.run(whole, variables=docker.variables, folder="/", interactive=interactive, stdin=stdin)


def logs(docker: Docker, item: Container, *, follow: bool, lines: int) -> Iterator[str]:
    """A component's console output, oldest line first."""
    if follow:
        return _follow(docker, item, lines)
    done = subprocess.run(
        [docker.program, "logs", "--tail", str(lines), item.id],
        env=dict(docker.variables),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # one pipe for both, or their order would be lost
        timeout=_LOG_SECONDS,
        check=False,
    )
    return iter(done.stdout.decode(errors="replace").splitlines())


def _follow(docker: Docker, item: Container, lines: int) -> Iterator[str]:
    """Lines as they come, across restarts, until the component is taken down."""
    begin = ["--tail", str(lines)]
    current: Container | None = item
    while current is not None:
        yield from _lines(docker, ["logs", "--follow", *begin, current.id])
        ended, before = time.time(), current.id
        current = _again(docker, item.project, item.name)
        # A new container has no old lines; one that was started again has those already shown.
        begin = ["--since", f"{ended:.3f}"] if current and current.id == before else ["--tail", "all"]


def _lines(docker: Docker, words: Sequence[str]) -> Iterator[str]:
    child = subprocess.Popen(
        [docker.program, *words],
        env=dict(docker.variables),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdout is not None
    try:
        for raw in child.stdout:
            yield raw.decode(errors="replace").rstrip("\r\n")
        child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
        child.stdout.close()


def _again(docker: Docker, project: str, name: str) -> Container | None:
    """The component's container once it runs again; ``None`` when it was taken down."""
    while True:
        found = next((one for one in docker_state.look(docker, project) if one.name == name), None)
        if found is None or not found.lives:
            return None
        if found.status == "running":
            return found
        time.sleep(0.5)


def told(
    docker: Docker, words: Sequence[str], variables: Mapping[str, str], note: Callable[[str], None], *, timeout_s: float
) -> str:
    """What a command prints, while each line of its stderr is shown.

    Args:
        docker: The program.
        words: The command.
        variables: Added to the caller's own.
        note: Takes lines.
        timeout_s: Limit in seconds.

    Raises:
        MwaaLocalError: It failed, or did not end in time.
    """
    child = subprocess.Popen(
        [docker.program, *words],
        env={**docker.variables, **variables},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    assert child.stdout is not None and child.stderr is not None
    said: list[str] = []
    printed: list[str] = []
    reader = threading.Thread(target=lambda: printed.append(child.stdout.read()), daemon=True)  # type: ignore[union-attr]
    reader.start()
    watch = threading.Timer(timeout_s, child.kill)
    watch.start()
    try:
        for line in child.stderr:
            said.append(line.rstrip())
            note(line.rstrip())
        child.wait()
        reader.join()
    finally:
        watch.cancel()
        if child.poll() is None:
            child.kill()
            child.wait()
        child.stderr.close()
        child.stdout.close()
    if child.returncode:
        raise translate("\n".join(said), f"docker {words[0]}")
    return "".join(printed)
