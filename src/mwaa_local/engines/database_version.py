"""Which Airflow version may take over a database that an environment already has; the same in both engines."""

from __future__ import annotations

from packaging.version import Version as PackageVersion

from mwaa_local.errors import EngineError
from mwaa_local.model import Environment


def refuse_other_version(environment: Environment, was: str | None) -> None:
    """An existing database goes up within its major version only.

    Raises:
        EngineError: The wanted version is older, or of another major.
    """
    wanted = environment.version.airflow
    if was is None or was == wanted:
        return
    old, new = PackageVersion(was), PackageVersion(wanted)
    if old.major == new.major and new > old:
        return
    why = "the database would have to go back" if new < old else "a new major version needs a new database here"
    raise EngineError(
        f"this environment holds an Airflow {was} database, which Airflow {wanted} cannot take over",
        where=str(environment.state),
        why=why,
        hint=f"`make reset` wipes it (DAG runs, variables, connections, the bucket's objects, logs), or give the "
        f"{wanted} environment another Name, or set AirflowVersion back to {was}",
    )
