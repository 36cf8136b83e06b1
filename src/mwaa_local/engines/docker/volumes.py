"""The volumes of one environment: which there are, which there were; and a look into the AWS endpoint's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mwaa_local.engines.databases import Databases, major
from mwaa_local.engines.docker.client import Docker
from mwaa_local.errors import EngineError
from mwaa_local.ground import atomic

DATABASE, AWS = "database-", "aws"
"""Names of the volumes with data, without the project's; a database's ends with the major version of Airflow."""
_KEPT = "kept.json"
_DATA, _NAMED = "volumes", "named"
_PLACE = "/usr/local/mwaa/aws"


class Volumes:
    """The volumes of one Compose project.

    Args:
        docker: The client.
        project: The project's name.
        folder: Where the note of what there was is kept.
    """

    def __init__(self, docker: Docker, project: str, folder: Path) -> None:
        self._docker = docker
        self._project = project
        self._note = folder / _KEPT

    def there(self) -> set[str]:
        """Those that are there, without the project's name."""
        prefix = f"{self._project}_"
        listed = self._docker.output("volume", "ls", "--quiet", "--filter", f"name=^{prefix}").split()
        return {name.removeprefix(prefix) for name in listed if name.startswith(prefix)}

    def refuse_lost(self, there: set[str]) -> None:
        """Data that were there are not silently begun anew.

        Raises:
            EngineError: A volume with data is gone.
        """
        lost = (
            set(self._noted(_DATA)) - there - {AWS}
        )  # up to 0.1 the endpoint's was among them; it is the site's affair
        if lost:
            raise EngineError(
                "some of this environment's data are gone",
                where=", ".join(f"volume {self._project}_{name}" for name in sorted(lost)),
                why="removed outside mwaa-local; an empty one is not put in its place unasked",
                hint="restore the volume, or `mwaa-local reset` to begin anew",
            )

    def refuse_lost_database(self, airflow: str, databases: Databases) -> None:
        """A database that was there is not silently begun anew, where nothing noted its volume.

        Args:
            airflow: The version whose database has no volume.
            databases: The notes of the versions that used one.

        Raises:
            EngineError: It was used before.
        """
        used = databases.version(airflow)
        if used is not None:
            raise EngineError(
                f"the database of this environment is gone (Airflow {used} used it)",
                where=f"volume {self._project}_{DATABASE}{major(airflow)}",
                why="it was removed outside mwaa-local; an empty one is not put in its place unasked",
                hint="restore the volume, or `mwaa-local reset` to begin anew",
            )

    def refuse_orphaned(self, secrets: Path) -> None:
        """New keys are of no use to a database that is there.

        Args:
            secrets: The file of the keys, which is gone.

        Raises:
            EngineError: There is one.
        """
        listed = self._docker.output("volume", "ls", "--quiet", "--filter", f"name=^{self._project}_database").split()
        if listed:
            raise EngineError(
                "there is a database of this environment, but its keys are gone",
                where=f"volume {', '.join(listed)}",
                why=f"{secrets} was removed while the volume stayed",
                hint="restore that file, or `mwaa-local reset` to begin anew",
            )

    def note(self, there: set[str]) -> None:
        """Write down which hold data now; their databases have the names of now."""
        data = _databases(there)
        self._write({_DATA: sorted(data), _NAMED: sorted(data | set(self._noted(_NAMED)))})

    def with_old_names(self, there: set[str]) -> set[str]:
        """Those whose database may have the names of before 0.2, when user and database were ``airflow``."""
        return _databases(there) - set(self._noted(_NAMED))

    def note_names(self, named: set[str]) -> None:
        """Write down that the databases in these have the names of now."""
        self._write({_NAMED: sorted(named | set(self._noted(_NAMED)))})

    def _write(self, changes: Mapping[str, list[str]]) -> None:
        kept = atomic.read_json(self._note) or {}
        new = {what: names for what, names in changes.items() if names != (kept.get(what) or [])}
        if new:
            atomic.write_json(self._note, {**kept, **new}, durable=True)

    def _noted(self, what: str) -> list[str]:
        kept = (atomic.read_json(self._note) or {}).get(what)
        return [str(name) for name in kept] if isinstance(kept, list) else []


def _databases(there: set[str]) -> set[str]:
    return {name for name in there if name.startswith(DATABASE)}


def majors(there: set[str]) -> set[str]:
    """The majors of Airflow whose database is there."""
    return {name.removeprefix(DATABASE) for name in _databases(there)}


def look_into_endpoint(docker: Docker, volume: str, image: str, *, repair: bool) -> dict[str, Any]:
    """Have the AWS endpoint's volume looked at, and mended if asked to, by a container without a network.

    Returns:
        What ``python -m mwaa_local.aws.server.soundness`` prints.

    Raises:
        EngineError: The look failed.
    """
    words = ["run", "--rm", "--network", "none", "--volume", f"{volume}:{_PLACE}"]
    words += ["--entrypoint", "/opt/mwaa/tool/bin/python", image, "-m", "mwaa_local.aws.server.soundness"]
    words += ["--state", _PLACE, *(["--repair"] if repair else [])]
    text = docker.output(*words, timeout_s=600.0)
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found
