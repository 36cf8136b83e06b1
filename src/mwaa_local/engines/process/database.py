"""A new environment's metadata database."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from mwaa_local.engines.process import plan as process_plan
from mwaa_local.engines.process import postgres, template
from mwaa_local.engines.process.plan import Parts
from mwaa_local.errors import EngineError

_MIGRATION_SECONDS = 180.0


def make(parts: Parts, home: Path, cache: Path) -> postgres.Cluster:
    """A migrated, empty database: a copy of the version's template, which is made on first use.

    Args:
        parts: Of the environment.
        home: Where the cluster shall be.
        cache: The tool's cache folder.

    Raises:
        EngineError: PostgreSQL or the migration failed.
        MachineError: The disk is full.
    """
    environment = parts.environment

    def migrate(port: int, password: str) -> tuple[list[str], Mapping[str, str], str]:
        wiring = parts.wiring("migrate-db", port=port, password=password)
        variables = {**process_plan.base_env(parts.host, environment), **parts.variables("migrate-db", wiring)}
        return process_plan.migrate_words(), variables, str(parts.layout.state)

    options = process_plan.migration_options(environment)
    name = template.key(environment.version, postgres.binaries(), options)
    password = parts.secrets.database_password
    made = template.ensure(cache, name, environment.version, migrate, seconds=_MIGRATION_SECONDS)
    try:
        return postgres.create(home, password=password, template=made)
    except EngineError:
        if (home / postgres.MADE).exists():
            raise
        # The cache holds nothing of anyone's: a template that PostgreSQL cannot use is made again, once.
        shutil.rmtree(made, ignore_errors=True)
    made = template.ensure(cache, name, environment.version, migrate, seconds=_MIGRATION_SECONDS)
    return postgres.create(home, password=password, template=made)
