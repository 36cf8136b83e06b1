"""A migration of the metadata database in a container of its own, while nothing else of the environment runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mwaa_local.engines.docker import apart, commands
from mwaa_local.engines.docker.client import Docker
from mwaa_local.engines.docker.plan import Made
from mwaa_local.engines.docker.waiting import Compose

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
    with apart.composed(made, folder, "migration") as words:
        start = [*words, "up", "--detach", "--no-build", "--no-deps", "--wait", "postgres"]
        Compose(docker, [start], made.variables, folder).finish(timeout_s=120.0)
        words += [*apart.run_words(made, "migration", given), "migrate-db"]
        commands.told(docker, words, {**made.variables, **given}, note, timeout_s=_SECONDS)
