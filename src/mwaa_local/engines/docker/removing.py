"""Ending and removing the containers of one Compose project, and finding what carries its label."""

from __future__ import annotations

from collections.abc import Sequence

from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker.client import Docker
from mwaa_local.engines.docker.state import PROJECT_LABEL, Container
from mwaa_local.errors import EngineError

QUICK_STOP_SECONDS = 20
# Tasks end first; on Airflow 3 they talk to the web server until then, and all of them need queue and database.
_STOP_ORDER = (("worker", "scheduler", "migrate-db"), ("webserver", "guardian", "control"), ("aws", "postgres"))


def stop(docker: Docker, project: str, there: Sequence[Container], *, timeout_s: float) -> None:
    """End containers in order and remove them.

    Args:
        docker: The client.
        project: The Compose project.
        there: Its containers.
        timeout_s: What running tasks get.

    Raises:
        EngineError: One could not be removed.
    """
    for number, services in enumerate(_STOP_ORDER):
        seconds = max(1, int(timeout_s) if number == 0 else min(QUICK_STOP_SECONDS, int(timeout_s)))
        ids = [item.id for item in there if item.service in services and item.lives]
        if ids:
            docker.output("stop", "--time", str(seconds), *ids, timeout_s=seconds + 60.0)
    remove(docker, project, there)


def remove(docker: Docker, project: str, there: Sequence[Container]) -> None:
    """Remove containers and the project's network; the daemon may still be about to remove one by itself.

    Raises:
        EngineError: One could not be removed.
    """
    if there:
        done = docker.call("rm", "--force", "--volumes", *(item.id for item in there), timeout_s=90.0)
        left = docker_state.look(docker, project) if done.returncode else []
        if left:
            raise EngineError(
                f"{', '.join(item.name for item in left)} could not be removed",
                why=done.stderr.decode(errors="replace").strip(),
                hint="run the command again",
            )
    for network in labelled(docker, "network", project):
        docker.output("network", "rm", network, timeout_s=60.0)


def labelled(docker: Docker, kind: str, project: str) -> list[str]:
    """The networks or volumes (``kind``) that carry a Compose project's label."""
    return docker.output(kind, "ls", "--quiet", "--filter", f"label={PROJECT_LABEL}={project}").split()
