"""Which databases an environment has, and which Airflow version each belongs to; the same in both engines.

An environment keeps one database per major version of Airflow: 2.x and 3.x cannot take over each other's here, and
going from one to the other and back must lose nothing. Within a major a database goes up, and down with the newer
version's help (:mod:`mwaa_local.engines.lifecycle`).
"""

from __future__ import annotations

from pathlib import Path

from packaging.version import InvalidVersion
from packaging.version import Version as PackageVersion

from mwaa_local import catalog
from mwaa_local.engines.plan import Plan
from mwaa_local.errors import EngineError
from mwaa_local.ground import atomic
from mwaa_local.model import Environment

#: What running tasks get, in seconds, when ``up`` ends one version to start another.
SWITCH_SECONDS = 100.0
#: Hosts of the workers that run a task at this moment.
BUSY_HOSTS = "SELECT DISTINCT hostname FROM task_instance WHERE state = 'running'"


def version_of(plan: Plan | None) -> str | None:
    """The Airflow version that a plan runs; ``None`` without a plan."""
    version = plan.facts.get("airflow_version") if plan else None
    return version if isinstance(version, str) and _is_version(version) else None


def major(version: str) -> str:
    """``3`` for ``3.2.1``."""
    return catalog.series(version)


class Databases:
    """The note, in the environment's state folder, of the version that last used each database.

    Args:
        state: The state folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._file = state / "databases.json"

    def version(self, wanted: str) -> str | None:
        """The version whose database ``wanted`` would find; ``None`` when it gets an empty one."""
        return self._read().get(major(wanted))

    def majors(self) -> list[str]:
        """The majors of Airflow that have a database."""
        return sorted(self._read())

    def others(self, wanted: str) -> list[str]:
        """The versions of the databases that stay aside."""
        return sorted(version for series, version in self._read().items() if series != major(wanted))

    def note(self, version: str) -> None:
        """Write down that this version uses its database from now on; beside the database itself too, if it is here."""
        found = self._read()
        if found.get(major(version)) != version or self._noted() is None:
            atomic.write_json(self._file, {**found, major(version): version}, durable=True)
        home = self._state / f"postgres-{major(version)}"
        if home.is_dir() and _told_by(home) != version:
            atomic.write_json(home / _WITNESS, {"airflow_version": version}, durable=True)

    def heal(self, running: str | None) -> list[str]:
        """Write the note anew from the databases, if it is damaged or gone; nothing is lost by that.

        Args:
            running: The version of the last plan.

        Returns:
            What to tell.

        Raises:
            EngineError: A database is here and nothing says which version used it last.
        """
        homes = {path.name.removeprefix("postgres-"): path for path in self._state.glob("postgres-*")}
        homes = {series: home for series, home in homes.items() if (home / "data").exists()}
        noted = self._noted()
        wanted = homes.keys() | ({major(running)} if running is not None else set())
        if (noted is not None and noted.keys() >= wanted) or not wanted:
            return []
        if noted is None and running is None and not self._file.exists() and not any(map(_told_by, homes.values())):
            return []  # the first `up` was cut between making the database and noting it
        known = dict(noted or {})
        for series in wanted - known.keys():
            version = _told_by(homes[series]) if series in homes else None
            if version is None and running is not None and major(running) == series:
                version = running
            if version is None:
                raise EngineError(
                    f"which Airflow version used the database of Airflow {series}.x last is not known",
                    where=str(self._file),
                    why="the file is damaged or gone, and nothing else says it",
                    hint=f'write {{"{series}": "<that version>"}} into it: an older version must not meet the database',
                )
            known[series] = version
        damaged = self._file.exists()
        atomic.write_json(self._file, known, durable=True)
        versions = ", ".join(sorted(known.values()))
        return [f"{self._file.name}: written anew from what the databases say (Airflow {versions})"] if damaged else []

    def refuse_unknown(self, environment: Environment) -> None:
        """A database goes back only with the help of the newer version, which has to be one of the catalog.

        Raises:
            EngineError: A version that this tool does not have used it last, and it is newer.
        """
        wanted = environment.version.airflow
        was = self.version(wanted)
        if was is None or PackageVersion(was) <= PackageVersion(wanted):
            return
        if was in catalog.version_names() and catalog.downgrade_words(was, wanted):
            return
        raise EngineError(
            f"this environment holds an Airflow {was} database, which Airflow {wanted} cannot take over",
            where=str(self._state),
            why=f"the database would have to go back, and that is Airflow {was}'s work, which is not known here",
            hint=f"`make reset` wipes it (DAG runs, variables, connections, the bucket's objects, logs), or give the "
            f"{wanted} environment another Name, or set AirflowVersion back to {was}",
        )

    def _read(self) -> dict[str, str]:
        return dict(self._noted() or {})

    def _noted(self) -> dict[str, str] | None:
        """What the file says; ``None`` if it is not there or says something else."""
        found = atomic.read_json(self._file)
        if found is None:
            return None
        for series, version in found.items():
            if not isinstance(version, str) or not _is_version(version) or major(version) != series:
                return None
        return found


_WITNESS = "airflow_version.json"


def _told_by(home: Path) -> str | None:
    version = (atomic.read_json(home / _WITNESS) or {}).get("airflow_version")
    return version if isinstance(version, str) and _is_version(version) else None


def _is_version(text: str) -> bool:
    try:
        PackageVersion(text)
    except InvalidVersion:
        return False
    return True


def switch_notes(environment: Environment, databases: Databases, before: str | None, *, made: bool) -> list[str]:
    """What to tell when ``up`` goes to the database of another major; before :meth:`Databases.note`.

    Args:
        environment: What ``up`` starts.
        databases: What was there.
        before: The version of the last plan.
        made: Whether a database was made just now.
    """
    wanted = environment.version.airflow
    kept = databases.others(wanted)
    notes = []
    if made:
        notes.append(f"made an empty database of Airflow {wanted}")
    elif before is not None and major(before) != major(wanted):
        notes.append(f"back on the database of Airflow {databases.version(wanted) or wanted}")
    return [f"{note}; that of Airflow {', '.join(kept)} stays as it is" if kept else note for note in notes]
