"""The catalog's table of Airflow's own defaults, against what each real Airflow says of itself.

`python tools/add_version.py` writes them.
"""

from __future__ import annotations

import airflow_facts
import pytest
from mwaa_airflow_support import airflow_python
from versions_support import chosen

from mwaa_local.catalog.airflow_defaults import airflow_defaults


@pytest.mark.parametrize("version", chosen())
def test_the_table_is_what_airflow_says(version: str) -> None:
    assert dict(airflow_defaults(version)) == airflow_facts.defaults(airflow_python(version))
