"""Log lines of real Airflow versions leave stdout alone when a command asks for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mwaa_airflow_support import SOURCES, VERSIONS, airflow_python, run, variables

from mwaa_airflow import log_to_stderr
from mwaa_local.cli import inside

PROGRAM = """
import logging, airflow, airflow.settings
import alembic.command  # logs at its import on 3.x
logging.getLogger("airflow.some").warning("from the logging module")
try:
    import structlog
    if airflow.__version__ >= "3":
        structlog.get_logger("other").warning("from structlog")
except ImportError:
    pass
print('{"answer": 1}')
"""


def test_the_command_line_sets_the_variable_that_airflows_side_reads() -> None:
    assert inside._LOG_TO_STDERR == log_to_stderr.VARIABLE


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "not asked"])
def test_stdout_is_the_answer(version: str, asked: bool, tmp_path: Path) -> None:
    more = {log_to_stderr.VARIABLE: "true"} if asked else {}
    env = variables(version, tmp_path, "http://127.0.0.1:9", **more)
    (tmp_path / "config" / "airflow_local_settings.py").symlink_to(SOURCES / "mwaa_airflow" / "local_settings.py")
    done = run(airflow_python(version), PROGRAM, env, seconds=120)
    assert done.returncode == 0, done.stderr
    lines = ["from the logging module", *(["from structlog"] if version.startswith("3") else [])]
    where, other = (done.stderr, done.stdout) if asked else (done.stdout, done.stderr)
    assert all(line in where and line not in other for line in lines), (done.stdout, done.stderr)
    if asked:
        assert json.loads(done.stdout) == {"answer": 1}
