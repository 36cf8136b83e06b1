"""The table of context keys that Airflow 3 no longer gives, held against both real Airflows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mwaa_airflow_support import airflow_python, run, variables

from mwaa_local.catalog.upgrade import removed_context_keys

pytestmark = pytest.mark.contract
KEYS = """
import json
try:
    from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS
except ImportError:
    from airflow.utils.context import KNOWN_CONTEXT_KEYS
print("KEYS " + json.dumps(sorted(KNOWN_CONTEXT_KEYS)))
"""


def keys(version: str, home: Path) -> set[str]:
    done = run(airflow_python(version), KEYS, variables(version, home, "http://127.0.0.1:9"), seconds=120)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("KEYS ")]
    return set(json.loads(line.removeprefix("KEYS ")))


def test_what_is_gone_is_what_the_table_says(tmp_path: Path) -> None:
    before, now = keys("2.10.3", tmp_path / "2"), keys("3.2.1", tmp_path / "3")
    assert set(removed_context_keys()) == before - now
    for instead in removed_context_keys().values():
        name = instead.split(" | ")[0].split(".")[0]
        assert name in now or name in ("airflow", "macros"), f"{instead} is no key of Airflow 3"
