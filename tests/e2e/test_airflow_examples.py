"""Airflow's own example DAGs, of each major version, as they come with the installed package: all parse, the runnable succeed.

Nobody here wrote them, so they say what the environment lacks (issue: Keep the figures). Those that cannot succeed are listed with the
reason; the list may not name a DAG that is not there, nor hide one that was never tried.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tool import Tool
from versions_support import one_of

from mwaa_local import catalog
from mwaa_local.model.cache import cache_folder
from mwaa_local.packages import ensure_base

pytestmark = pytest.mark.timeout(1500)

NETWORK = "asks a server of the internet"
# Per version: DAGs that cannot succeed here, with the reason.
LISTED = {
    "3.2.1": {
        "example_dag_decorator": NETWORK,
        "tutorial_objectstorage": NETWORK,
        "example_failed_dag": "fails by its own will",
        "example_params_ui_tutorial": "has a required param without a default",
        "example_external_task_marker_child": "waits for a run of its parent with the same logical date",
        "example_hitl_operator": "waits for a person",
        "example_sensors": "waits for a date a day ahead",
        "example_passing_params_via_test_command": "reads a param that only `airflow tasks test` gives",
        **dict.fromkeys(
            (
                "asset_with_extra_by_context",
                "asset_with_extra_by_yield",
                "asset_with_extra_from_classic_operator",
                "read_asset_event",
                "read_asset_event_from_classic",
            ),
            "two of the files give one address two names, and Airflow lets only one of them be active",
        ),
    },
    "2.10.3": {
        "example_dag_decorator": NETWORK,
        "tutorial_objectstorage": NETWORK,
        "example_params_ui_tutorial": "has a required param without a default",
        "example_external_task_marker_child": "waits for a run of its parent with the same logical date",
        "example_sensors": "waits for a date a day ahead",
        "example_passing_params_via_test_command": "reads a param that only `airflow tasks test` gives",
        "tutorial_taskflow_templates": "names a template that does not come with it, sql/test.sql",
        "example_bash_decorator": "calls stat on the files of Airflow's own source tree",
    },
}
# A plugin that brings in the classes of Airflow's own example plugins, which their DAG files name by these paths.
PLUGINS = """
from airflow.example_dags.plugins.decreasing_priority_weight_strategy import DecreasingPriorityWeightStrategyPlugin
from airflow.example_dags.plugins.workday import WorkdayTimetablePlugin
"""
# 2.x starts a new Python for each task, on MWAA too: some 4 s of processor time each. A fork of the worker is Airflow's own
# default; the environment's own tests have the other way.
DEFINITION = """
EnvironmentClass: mw1.medium
AirflowConfigurationOptions:
  core.execute_tasks_new_python_interpreter: "False"
"""


@pytest.fixture(params=one_of("2.10.3", "3.2.1"))
def up(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tool]:
    tool = Tool(tmp_path / "project", version=request.param, definition=DEFINITION)
    for path in (tool.folder / "dags").glob("*.py"):
        path.unlink()
    (tool.folder / "requirements" / "requirements.txt").unlink()
    base = ensure_base(catalog.version(request.param), cache_folder(os.environ), environment=dict(os.environ))
    for name, source in (("core", "airflow/example_dags"), ("standard", "airflow/providers/standard/example_dags")):
        folder = base.site_packages / source
        if folder.is_dir():
            shutil.copytree(folder, tool.folder / "dags" / name, ignore=shutil.ignore_patterns("__pycache__"))
    # Two of them keep virtual environments in the folder for temporary files, which other projects of this machine use as well.
    (tool.folder / "startup" / "startup.sh").write_text(
        'export TMPDIR="$AIRFLOW_HOME/temporary"\nmkdir -p "$TMPDIR"\n', encoding="utf-8"
    )
    (tool.folder / "plugins" / "airflow_examples.py").write_text(PLUGINS, encoding="utf-8")
    try:
        tool.json("up", "--timeout", "400")
        yield tool
    finally:
        tool.run("reset", "--yes")


def test_all_parse_and_the_runnable_succeed(up: Tool, capsys: pytest.CaptureFixture[str]) -> None:
    listed = LISTED[up.version]
    first = up.json("smoke", "--keep", "--dag", "example_bash_operator")  # it waits until every file is parsed
    assert first["import_errors"] == []
    dags = {dag["dag_id"] for dag in json.loads(up.good("airflow", "dags", "list", "-o", "json"))}
    parents = {dag for dag in dags if not any(dag.startswith(f"{other}.") for other in dags)}  # without SubDags
    assert set(listed) - parents == set(), "a listed DAG that is no longer there"
    words = [word for dag in sorted(parents - set(listed)) for word in ("--dag", dag)]
    done = up.run("smoke", "--keep", "--json", "--timeout", "900", *words, timeout=1100)
    result = json.loads(done.stdout)
    assert result["import_errors"] == []
    failed = {
        run["dag_id"]: (run["state"], run["reason"], run["failed_tasks"])
        for run in result["runs"]
        if run["state"] != "success"
    }
    assert failed == {}
    assert len(result["runs"]) == len(parents) - len(listed) > 40
    with capsys.disabled():
        seconds = max(run["seconds"] for run in result["runs"])
        print(
            f" {up.version}: {len(dags)} DAGs, {len(result['runs'])} ran (slowest {seconds:.0f} s), {len(listed)} listed",
            end=" ",
        )
