"""``airflow`` commands inside a task of Airflow 3 reach the metadata database, Python code does not (spec/06 section E5)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from mwaa_airflow_support import SOURCES, airflow_python, variables

pytestmark = pytest.mark.contract
BLOCKED = "airflow-db-not-allowed:///"  # Airflow's own text, in a task's environment


@pytest.fixture
def task_environment(tmp_path: Path) -> dict[str, str]:
    found = variables("3.2.1", tmp_path, "http://127.0.0.1:1")
    shutil.copy(SOURCES / "mwaa_airflow/local_settings.py", tmp_path / "config/airflow_local_settings.py")
    found["MWAA_LOCAL__SQL_ALCHEMY_CONN"] = found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    blocked = dict.fromkeys(("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN"), BLOCKED)
    return {**found, **blocked}


def start(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env=environment, cwd=environment["AIRFLOW_HOME"], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("form", ["script", "module"])
def test_the_command_is_let_in(task_environment: dict[str, str], form: str) -> None:
    python = airflow_python("3.2.1")
    words = [str(python), str(python.parent / "airflow")] if form == "script" else [str(python), "-m", "airflow"]
    done = start([*words, "config", "get-value", "database", "sql_alchemy_conn"], task_environment)
    assert done.stdout.split()[-1:] == [task_environment["MWAA_LOCAL__SQL_ALCHEMY_CONN"]], done.stderr
    done = start([*words, "db", "check"], task_environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("plain.py", "import airflow"),
        ("airflow_report.py", "from airflow import settings; settings.Session"),
        ("job.py", "import runpy, sys; sys.argv = ['airflow', 'db', 'check']; import airflow"),
    ],
)
def test_python_code_stays_shut_out(task_environment: dict[str, str], tmp_path: Path, name: str, code: str) -> None:
    script = tmp_path / name
    script.write_text(code)
    done = start([str(airflow_python("3.2.1")), str(script)], task_environment)
    assert done.returncode != 0
    assert "Could not parse SQLAlchemy URL" in done.stderr
