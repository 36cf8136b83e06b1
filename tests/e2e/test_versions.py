"""Every Airflow version of the catalog: comes up, runs a DAG, shows its log; and data that go from one to another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from process_engine_support import Running, ask_database, wait
from versions_support import IS_ALL, chosen

from mwaa_local import catalog
from mwaa_local.errors import StartupScriptError

# The other tests of this folder run whole environments of these two.
WALKED = [version for version in chosen() if IS_ALL or version not in ("3.2.1", "2.10.3")]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "project"
    Running(tmp_path / "project", catalog.default_version()).engine.reset()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", WALKED)
def test_it_comes_up_and_runs_a_dag(project: Path, version: str) -> None:
    running = Running(project, version, {"Local.AllowUnsupported": True})
    (project / "requirements" / "requirements.txt").write_text("cowsay==6.1\n")
    (project / "startup" / "startup.sh").write_text("export GREETING=hello\n")
    result = running.up()
    assert not result.verdicts
    assert {one.state for one in result.components} == {"healthy"}
    told = {one.name: one.status or {} for one in result.components}
    assert told["worker"]["requirements"]["verdict"] == "ok"
    run = running.run_dag("two_tasks")
    (first,) = (one for one in running.api.task_instances("two_tasks", run) if one.task_id == "produce")
    lines: list[str] = []

    def has_log() -> bool:
        lines[:] = running.api.task_log("two_tasks", run, first)
        return any("greeting is hello" in line for line in lines)

    wait(has_log, 60, lambda: lines)
    assert any("home is /usr/local/airflow" in line for line in lines)
    assert not [one for one in running.engine.components() if one.restarts], "nothing died meanwhile"
    running.engine.down(timeout_s=30)


def ask(running: Running, statement: str) -> list[tuple[Any, ...]]:
    return ask_database(running.engine.layout, statement)


@pytest.mark.timeout(1200)
def test_data_go_up_and_down_and_a_failure_leaves_them(project: Path) -> None:
    """spec/04 section 7: a copy first, the same data in the other version, everything back where that fails."""
    old, new = "2.10.3", "2.11.0"
    Running(project, old).up()
    running = Running(project, old)
    run = running.run_dag("two_tasks")
    ask(running, "INSERT INTO variable (key, val, is_encrypted) VALUES ('kept', 'of old', false)")
    changes = Running(project, new).up().changes
    assert f"Airflow {old} -> {new}: the database was taken along, a copy of before is kept" in changes
    running = Running(project, new)
    assert ask(running, "SELECT val FROM variable WHERE key = 'kept'") == [("of old",)]
    assert running.api.run_state("two_tasks", run) == "success"
    running.run_dag("two_tasks")
    # Back again, and the DAG runs of both are there.
    Running(project, old).up()
    running = Running(project, old)
    assert ask(running, "SELECT version_num FROM alembic_version") == [
        (catalog.version(old).schema_heads["alembic_version"],)
    ]
    assert ask(running, "SELECT count(*) FROM dag_run WHERE state = 'success'") == [(2,)]
    before = running.pids()
    # A script that ends the new version and not the old one.
    (project / "startup" / "startup.sh").write_text(f'if [ "$AIRFLOW_VERSION" = {new} ]; then exec false; fi\n')
    with pytest.raises(StartupScriptError) as caught:
        Running(project, new).up()
    assert f"everything is as it was before: Airflow {old} runs with its data" in caught.value.why
    running.healthy()
    assert running.pids()["scheduler"] != before["scheduler"], "it was stopped, and started again"
    assert ask(running, "SELECT val FROM variable WHERE key = 'kept'") == [("of old",)]
    running.run_dag("two_tasks")
