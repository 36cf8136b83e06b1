"""Which Airflow versions the slow tests walk through: four in full, one of the others a day, all when asked to.

``MWAA_LOCAL_TEST_VERSIONS=all`` (``make test-versions``) means every version of the catalog.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

from mwaa_local import catalog

FULL = ("3.2.1", "3.0.6", "2.10.3", "2.7.2")
OTHERS = tuple(name for name in catalog.version_names() if name not in FULL)
IS_ALL = os.environ.get("MWAA_LOCAL_TEST_VERSIONS") == "all"


def one_of(first: str, *others: str) -> tuple[str, ...]:
    """Of the versions that a long suite knows, the first one; all of them when every version is asked for."""
    return (first, *others) if IS_ALL else (first,)


def chosen() -> tuple[str, ...]:
    """The versions of this run."""
    if IS_ALL:
        return catalog.version_names()
    return (*FULL, OTHERS[datetime.now(UTC).toordinal() % len(OTHERS)])
