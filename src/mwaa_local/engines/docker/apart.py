"""A container of its own beside what is applied: made by Compose from a file that lives as long as it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mwaa_local.engines.docker.plan import Made
from mwaa_local.engines.docker.waiting import compose_words
from mwaa_local.ground import atomic


@contextmanager
def composed(made: Made, folder: Path, name: str) -> Iterator[list[str]]:
    """The beginning of Compose's words for what components would be, none of which the next ``up`` takes for applied.

    Args:
        made: What they would be.
        folder: For the file.
        name: Tells it from other ones.
    """
    overlay = folder / f"compose.{name}.yaml"
    try:
        atomic.replace(overlay, made.overlay.encode())
        yield compose_words(made.project, [*made.files[:-1], overlay])
    finally:
        overlay.unlink(missing_ok=True)


def run_words(made: Made, name: str, given: Iterable[str]) -> list[str]:
    """Compose's words for one container that is removed when it ends; its service or entrypoint follows.

    Args:
        made: Of the environment.
        name: The end of the container's name.
        given: Names of variables that it gets of the caller; their values stand on no command line.
    """
    words = ["run", "--rm", "--no-deps", "--no-TTY", "--name", f"{made.project}-{name}"]
    return [*words, *(word for variable in given for word in ("--env", variable))]
