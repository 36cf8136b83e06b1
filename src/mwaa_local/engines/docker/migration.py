"""A migration of the metadata database in a container of its own, while nothing else of the environment runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mwaa_local.engines.docker import commands
from mwaa_local.engines.docker.client import Docker
from mwaa_local.engines.docker.plan import Made
from mwaa_local.engines.docker.waiting import Compose, compose_words
from mwaa_local.ground import atomic

#: The version whose schema the database shall have (spec/10 section 6.8).
TARGET = "MWAA__DB__AIRFLOW_TARGET_VERSION"
_SECONDS = 900.0


def run(docker: Docker, made: Made, folder: Path, given: Mapping[str, str], note: Callable[[str], None]) -> None:
    """Start the database and run ``migrate-db`` once; the database is left running.

    Args:
        docker: The client.
        made: What the components would be; none of it is written where the next ``up`` would take it for applied.
        folder: For the file that Compose needs meanwhile.
        given: Further variables of the container.
        note: Takes its lines.

    Raises:
        MwaaLocalError: It failed.
    """
    overlay = folder / "compose.migration.yaml"
    words = compose_words(made.project, [*made.files[:-1], overlay])
    run_words = [*words, "run", "--rm", "--no-deps", "--no-TTY", "--name", f"{made.project}-migration"]
    run_words += [word for name in given for word in ("--env", name)]
    try:
        atomic.replace(overlay, made.overlay.encode())
        start = [*words, "up", "--detach", "--no-build", "--no-deps", "--wait", "postgres"]
        Compose(docker, [start], made.variables, folder).finish(timeout_s=120.0)
        commands.told(docker, [*run_words, "migrate-db"], {**made.variables, **given}, note, timeout_s=_SECONDS)
    finally:
        overlay.unlink(missing_ok=True)
