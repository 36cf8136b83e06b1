"""The catalog's tables of how Airflow reads its options, against what each real Airflow says of itself.

`python tools/add_version.py` writes them.
"""

from __future__ import annotations

import airflow_facts
import pytest
from mwaa_airflow_support import airflow_python
from versions_support import chosen

from mwaa_local.catalog.airflow_names import option_names


@pytest.mark.parametrize("version", chosen())
def test_the_tables_are_what_airflow_says(version: str) -> None:
    names, said = option_names(version), airflow_facts.names(airflow_python(version))
    assert dict(names.renamed) == said["renamed"]
    assert dict(names.sections) == said["sections"]
    assert {name: {"pattern": row.pattern, "value": row.value} for name, row in names.replaced.items()} == said[
        "replaced"
    ]
    assert sorted(names.sensitive) == said["sensitive"]
