"""Which processes a component runs, and the files around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from runtime_support import inputs, process_variables

from mwaa_local.runtime import environment, files, processes
from mwaa_local.runtime.inputs import RuntimeInputs, host_variables


def words(component: str, version: str = "3.2.1", **more: str) -> list[list[str]]:
    given = inputs(component, version, **more)
    return [[item.name, *item.argv] for item in processes.processes(given, environment.effective(given).variables)]


def test_dag_processor_and_triggerer_live_in_the_scheduler_component() -> None:
    """spec/10 section 1.2: in this order."""
    assert words("scheduler") == [
        ["scheduler", "scheduler"],
        ["dag-processor", "dag-processor"],
        ["triggerer", "triggerer", "--skip-serve-logs"],
    ]


@pytest.mark.parametrize(("value", "runs"), [("False", False), ("false", False), ("True", True)])
def test_the_triggerer_can_be_switched_off(value: str, runs: bool) -> None:
    """spec/04 section 16, A6."""
    given = inputs("scheduler", options={"AIRFLOW__MWAA__TRIGGERER_ENABLED": value})
    names = [item.name for item in processes.processes(given, environment.effective(given).variables)]
    assert ("triggerer" in names) is runs


def test_worker_and_web_server() -> None:
    assert words("worker") == [["worker", "celery", "worker", "--skip-serve-logs"]]
    assert words("webserver") == [["webserver", "api-server"]]
    assert words("webserver", "2.10.3") == [["webserver", "webserver"]]
    assert words("migrate-db") == []


def test_log_files_are_served_where_no_log_group_holds_them() -> None:
    assert words("worker", MWAA__LOGGING__AIRFLOW_TASK_LOGS_ENABLED="false") == [["worker", "celery", "worker"]]


def test_the_working_folder_is_never_on_the_path() -> None:
    placed = replace(inputs(), python=Path("/usr/local/bin/python3.12"))
    assert processes.python_words(placed) == ["/usr/local/bin/python3.12", "-P"]
    older = replace(placed, version=replace(placed.version, python="3.10"))
    assert processes.python_words(older) == ["/usr/local/bin/python3.12"]


def test_airflow_runs_as_the_script_of_mwaas_folder_and_with_the_sets_python_where_no_other_can_be_shown() -> None:
    placed = replace(inputs(), python=Path("/usr/local/bin/python3.12"))
    script = "/usr/local/airflow/.local/bin/airflow"
    assert processes.airflow_words(placed) == ["/usr/local/bin/python3.12", script]
    assert processes.airflow_words(inputs()) == ["/usr/local/airflow/.local/bin/python", script]


def test_descendants_are_found_through_generations() -> None:
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    child = subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    found = processes.descendants(os.getpid())
    assert child.pid in found
    assert len(found) >= 2
    child.communicate(b"\n")
    processes.kill([child.pid])  # gone: no error


def test_the_kept_environment_is_private_and_a_shell_can_read_it(tmp_path: Path) -> None:
    given = RuntimeInputs.parse("worker", process_variables(tmp_path))
    given.home.mkdir()
    given.run_dir.mkdir()
    variables = {"SECRET": "it's $HOME", "MULTI": "a\nb", "BASH_FUNC_f%%": "() { :; }"}
    files.keep_environment(given, variables)
    files.keep_environment(given, variables)
    for name in ("environment.json", "environment.sh"):
        assert (given.run_dir / name).stat().st_mode & 0o777 == 0o600
    kept = json.loads((given.run_dir / "environment.json").read_text())
    assert (kept["variables"], kept["home"]) == (variables, str(given.home))
    assert (given.home / ".bashrc").read_text().count("environment.sh") == 2  # one line, which names it twice
    script = f'. {given.home}/.bashrc; printf \'%s|%s\' "$SECRET" "$MULTI"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "it's $HOME|a\nb"


def test_only_airflows_side_is_importable(tmp_path: Path) -> None:
    files.link_packages(tmp_path / "python")
    files.link_packages(tmp_path / "python")
    assert sorted(path.name for path in (tmp_path / "python").iterdir()) == ["mwaa", "mwaa_airflow", "sitecustomize.py"]
    assert (tmp_path / "python" / "mwaa_airflow" / "__init__.py").exists()


def test_mwaas_local_settings_run_the_users_own(tmp_path: Path) -> None:
    """spec/10 section 5.2: the DAGs folder's, then the plugins folder's, for their side effects."""
    given = RuntimeInputs.parse("worker", process_variables(tmp_path))
    files.place(given)
    for folder in ("dags", "plugins"):
        (given.home / folder / "airflow_local_settings.py").write_text(f"print({folder!r})\n")
    code = "import sys; sys.path.insert(0, sys.argv[1] + '/config'); import airflow_local_settings"
    environ = {"AIRFLOW_HOME": str(given.home), "PYTHONPATH": str(given.python_folder)}
    words = [sys.executable, "-c", code, str(given.home)]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["dags", "plugins"]


def test_stale_workflow_files_go(tmp_path: Path) -> None:
    given = RuntimeInputs.parse("worker", process_variables(tmp_path))
    (tmp_path / "requirements.txt").write_text("a\n")
    (tmp_path / "extra.txt").write_text("b\n")
    (tmp_path / "startup.sh").write_text("c\n")
    files.place(given)
    home = given.home
    assert (home / "requirements" / "extra.txt").read_text() == "b\n"
    for name in ("requirements.txt", "extra.txt", "startup.sh"):
        (tmp_path / name).unlink()
    files.place(given)
    assert list((home / "requirements").iterdir()) == []
    assert list((home / "startup").iterdir()) == []


def test_an_archive_in_place_of_the_plugins_folder_is_unpacked(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "plugins.zip", "w") as archive:
        archive.writestr("p.py", "1")
    given = RuntimeInputs.parse("worker", process_variables(tmp_path))
    given = replace(given, workflow={**given.workflow, "plugins": tmp_path / "plugins.zip"})
    assert files.place(given) == ["1 entries of plugins.zip"]
    assert (given.home / "plugins" / "p.py").read_text() == "1"


def test_the_users_credentials_pass_only_when_asked_for() -> None:
    host = {
        "PATH": "/bin",
        "HOME": "/home/u",
        "AWS_ACCESS_KEY_ID": "mine",
        "AWS_PROFILE": "mine",
        "https_proxy": "p",
        "X": "1",
    }
    assert host_variables(host) == {"PATH": "/bin", "https_proxy": "p"}
    asked = host_variables(host, "work")
    assert asked["AWS_PROFILE"] == "work"
    assert asked["AWS_CONFIG_FILE"] == "/home/u/.aws/config"
    assert "AWS_ACCESS_KEY_ID" not in asked
