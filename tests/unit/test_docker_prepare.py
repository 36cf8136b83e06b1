"""What the first container of the docker engine makes before the others start."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from runtime_support import variables

PREPARE = runpy.run_path(str(Path(__file__).resolve().parents[2] / "docker/prepare.py"))
NAMES = ["DAGProcessing", "Scheduler", "Task", "WebServer", "Worker"]


@pytest.mark.parametrize(
    ("off", "made"),
    [
        ([], NAMES),
        (["TASK"], ["DAGProcessing", "Scheduler", "WebServer", "Worker"]),
        (["SCHEDULER"], NAMES),  # the triggerer writes to the same group
        (["SCHEDULER", "TRIGGERER"], ["DAGProcessing", "Task", "WebServer", "Worker"]),
        (["DAGPROCESSOR", "SCHEDULER", "TRIGGERER", "TASK", "WEBSERVER", "WORKER"], []),
    ],
)
def test_only_categories_that_are_switched_on_have_a_log_group(off: list[str], made: list[str]) -> None:
    """As in the process engine; MWAA makes no group for a category that is off (spec/08 section 3.1)."""
    given = variables("3.2.1", None, **{f"MWAA__LOGGING__AIRFLOW_{name}_LOGS_ENABLED": "false" for name in off})
    assert sorted(PREPARE["log_groups"](given)) == [f"airflow-local-{name}" for name in made]
