"""Which databases an environment has, and which Airflow version each belongs to; the same in both engines.

An environment keeps one database per major version of Airflow: 2.x and 3.x cannot take over each other's here, and
going from one to the other and back must lose nothing. Within a major a database goes up only.
"""

from __future__ import annotations

from pathlib import Path

from packaging.version import Version as PackageVersion

from mwaa_local.engines.plan import Plan
from mwaa_local.errors import EngineError
from mwaa_local.ground import atomic
from mwaa_local.model import Environment

#: What running tasks get, in seconds, when ``up`` ends one version to start another.
SWITCH_SECONDS = 100.0


def version_of(plan: Plan | None) -> str | None:
    """The Airflow version that a plan runs; ``None`` without a plan."""
    return plan.facts.get("airflow_version") if plan else None


def major(version: str) -> str:
    """``3`` for ``3.2.1``."""
    return str(PackageVersion(version).major)


class Databases:
    """The note, in the environment's state folder, of the version that last used each database.

    Args:
        state: The state folder.
    """

    def __init__(self, state: Path) -> None:
        self._file = state / "databases.json"

    def version(self, wanted: str) -> str | None:
        """The version whose database ``wanted`` would find; ``None`` when it gets an empty one."""
        return self._read().get(major(wanted))

    def others(self, wanted: str) -> list[str]:
        """The versions of the databases that stay aside."""
        return sorted(version for series, version in self._read().items() if series != major(wanted))

    def note(self, version: str) -> None:
        """Write down that this version uses its database from now on."""
        found = self._read()
        if found.get(major(version)) != version:
            atomic.write_json(self._file, {**found, major(version): version})

    def refuse_older(self, environment: Environment) -> None:
        """A database never goes back.

        Raises:
            EngineError: The database was used by a newer version of the same major.
        """
        wanted = environment.version.airflow
        was = self.version(wanted)
        if was is None or PackageVersion(was) <= PackageVersion(wanted):
            return
        raise EngineError(
            f"this environment holds an Airflow {was} database, which Airflow {wanted} cannot take over",
            where=str(environment.state),
            why="the database would have to go back",
            hint=f"`make reset` wipes it (DAG runs, variables, connections, the bucket's objects, logs), or give the "
            f"{wanted} environment another Name, or set AirflowVersion back to {was}",
        )

    def _read(self) -> dict[str, str]:
        return dict(atomic.read_json(self._file) or {})


def switch_notes(environment: Environment, databases: Databases, before: str | None) -> list[str]:
    """What to tell when ``up`` goes to the database of another major; before :meth:`Databases.note`."""
    wanted = environment.version.airflow
    kept = databases.others(wanted)
    notes = []
    if databases.version(wanted) is None:
        notes.append(f"made an empty database of Airflow {wanted}")
    elif before is not None and major(before) != major(wanted):
        notes.append(f"back on the database of Airflow {databases.version(wanted)}")
    return [f"{note}; that of Airflow {', '.join(kept)} stays as it is" if kept else note for note in notes]
