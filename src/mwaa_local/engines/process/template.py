"""A migrated, empty database, made once for an Airflow version and copied for each new environment.

``airflow db migrate`` takes many seconds; copying the stopped cluster's files takes a fraction of one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from mwaa_local.catalog import Version, after_migration
from mwaa_local.engines.process import migration, postgres, serve
from mwaa_local.errors import EngineError
from mwaa_local.ground import atomic, locks

Migrate = Callable[[int, str], tuple[list[str], Mapping[str, str], str]]
"""Port and password of a running server to: words, variables and working folder of the migration."""


def key(version: Version, programs: Path, options: Mapping[str, str]) -> str:
    """Names the template of one version; everything that shapes the empty database is in it.

    Args:
        version: Airflow's version; its schema heads tell databases of patched versions apart.
        programs: PostgreSQL's binaries.
        options: Configuration options that the migration itself obeys.
    """
    parts = [version.airflow, sorted(version.schema_heads.items()), postgres.SERIES, sorted(options.items())]
    parts += [after_migration(version.airflow)] if after_migration(version.airflow) else []
    size = (programs / "postgres").stat().st_size  # another build of the server may lay its files out differently
    digest = hashlib.sha256(json.dumps([*parts, size]).encode()).hexdigest()[:12]
    return f"{version.airflow}-pg{postgres.SERIES}-{digest}"


def ensure(cache: Path, name: str, version: Version, migrate: Migrate, *, seconds: float) -> Path:
    """The data folder of the template, made now if nobody made it before; safe to call from several processes.

    Args:
        cache: The tool's cache folder.
        name: See :func:`key`.
        version: Airflow's version.
        migrate: What to run against the fresh server.
        seconds: Limit for the migration.

    Raises:
        EngineError: The migration failed, with its last lines; no template is left.
        MachineError: The disk is full, or PostgreSQL cannot run.
    """
    place = cache / "databases" / name
    if (place / "PG_VERSION").exists():
        return place
    busy = f"another process has been preparing the database of Airflow {version.airflow} for too long"
    with locks.lock(cache / "databases" / f"{name}.lock", seconds=seconds, busy=busy):
        if (place / "PG_VERSION").exists():
            return place
        for left in (cache / "databases").glob(f".new-{name}-*"):  # by one that was killed: the lock is ours
            postgres.destroy(left / "cluster")
            shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".new-{name}-", dir=cache / "databases"))
        try:
            password = secrets.token_hex(16)
            cluster = postgres.create(work / "cluster", password=password)
            _migrated(cluster, password, version, migrate, seconds, work)
            try:
                atomic.copy_tree(cluster.data, work / "data")
                shutil.rmtree(place, ignore_errors=True)
                (work / "data").rename(place)
            except OSError as error:
                raise atomic.disk_error(error, place) from error
        finally:
            postgres.destroy(work / "cluster")
            shutil.rmtree(work, ignore_errors=True)
    return place


def _migrated(
    cluster: postgres.Cluster, password: str, version: Version, migrate: Migrate, seconds: float, work: Path
) -> None:
    """Run the migration against a server of its own that is stopped cleanly afterwards."""
    # Nothing here must survive a crash: the whole folder is thrown away then.
    with serve.served(cluster, password, "-c", "fsync=off") as port:
        words, variables, folder = migrate(port, password)
        failed = f"the database of Airflow {version.airflow} could not be made"
        migration.run(words, variables, Path(folder), log=work / "migrate.log", seconds=seconds, failed=failed)
        heads = postgres.schema_heads(port, password, list(version.schema_heads))
        if heads != dict(version.schema_heads):
            raise EngineError(
                f"the database of Airflow {version.airflow} is not at the expected schema after its migration",
                why=f"expected {dict(version.schema_heads)}, found {heads}",
                hint="report this: the catalog's schema_heads may be wrong",
            )
