"""What an environment shall be: all that an engine needs to know, whole and pinned (design section 5).

What was applied last is kept beside the environment's state, so that scaling, a restart or a return to it never reads
half-saved files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mwaa_local.errors import MwaaLocalError
from mwaa_local.ground import atomic
from mwaa_local.model import Environment, definition
from mwaa_local.workflow.revision import Revision

_FORMAT = 1


@dataclass(frozen=True)
class Desired:
    """One environment as it shall be.

    Attributes:
        environment: Its spec, and where and how it runs here.
        revision: Its workflow files.
        workers: How many workers; at least one.
    """

    environment: Environment
    revision: Revision
    workers: int

    def write(self, path: Path) -> None:
        """Keep it (mode 0600: configuration options may be secrets).

        Raises:
            OSError: The disk is full, or the folder cannot be written.
        """
        value = {
            "format": _FORMAT,
            "fields": dict(self.environment.given),
            "revision": dict(self.revision.digests),
            "workers": self.workers,
        }
        atomic.write_json(path, value)


def least_workers(environment: Environment) -> int:
    """How many workers an environment begins with: ``MinWorkers``, and one where that is 0."""
    return max(1, environment.spec.min_workers)


def read(path: Path, project: Path) -> Desired | None:
    """What was kept; ``None`` where nothing was, or nothing that this version of the tool understands.

    Args:
        path: The file.
        project: The environment's project folder.
    """
    found = atomic.read_json(path)
    if found is None or found.get("format") != _FORMAT:
        return None
    fields, digests, workers = found.get("fields"), found.get("revision"), found.get("workers")
    if not isinstance(fields, dict) or not isinstance(digests, dict) or not isinstance(workers, int) or workers < 1:
        return None
    if not all(isinstance(digest, str) for digest in digests.values()):
        return None
    try:
        environment = definition.restored(project, fields, path.name)
    except MwaaLocalError:
        return None
    return Desired(environment, Revision(MappingProxyType(digests)), workers)
