"""Which processes a component runs, and the files around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from runtime_support import inputs, process_variables

from mwaa_local.errors import MachineError, WorkflowFileError
from mwaa_local.ground import processes as system
from mwaa_local.runtime import environment, files, processes
from mwaa_local.runtime.inputs import RuntimeInputs, host_variables
from mwaa_local.runtime.reading import read_inputs


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
    found = system.descendants(os.getpid())
    assert child.pid in found
    assert len(found) >= 2
    child.communicate(b"\n")
    system.kill([child.pid])  # gone: no error


def test_the_kept_environment_is_private_and_a_shell_can_read_it(tmp_path: Path) -> None:
    given = read_inputs("worker", process_variables(tmp_path))
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
    given = read_inputs("worker", process_variables(tmp_path))
    files.place(given)
    for folder in ("dags", "plugins"):
        (given.home / folder / "airflow_local_settings.py").write_text(f"print({folder!r})\n")
    code = "import sys; sys.path.insert(0, sys.argv[1] + '/config'); import airflow_local_settings"
    environ = {"AIRFLOW_HOME": str(given.home), "PYTHONPATH": str(given.python_folder)}
    words = [sys.executable, "-c", code, str(given.home)]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["dags", "plugins"]


def test_stale_workflow_files_go(tmp_path: Path) -> None:
    given = read_inputs("worker", process_variables(tmp_path))
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
    given = read_inputs("worker", process_variables(tmp_path))
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


def test_a_link_is_made_in_one_step_and_only_where_something_changes(tmp_path: Path) -> None:
    link = tmp_path / "link"
    assert files.point(link, tmp_path / "a") is True
    assert files.point(link, tmp_path / "a") is False
    assert files.point(link, tmp_path / "b") is True
    assert link.readlink() == tmp_path / "b"
    link.unlink()
    (link / "sub").mkdir(parents=True)
    assert files.point(link, tmp_path / "a") is True, "a folder gives way"
    link.unlink()
    link.write_text("a file")
    files.point(link, tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_tool_that_is_not_whole_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MachineError, match="the package mwaa is missing beside mwaa_local"):
        files.link_packages(tmp_path / "python")


def test_what_python_runs_at_each_start_is_ours(tmp_path: Path) -> None:
    files.link_packages(tmp_path / "python")
    assert (tmp_path / "python" / "sitecustomize.py").resolve().parent.name == "mwaa_airflow"
    assert (tmp_path / "python" / "sitecustomize.py").exists()


def placed(folder: Path, **more: str) -> tuple[RuntimeInputs, list[str], list[str]]:
    given = read_inputs("worker", process_variables(folder, **more))
    notes: list[str] = []
    return given, files.place(given, notes.append), notes


def test_the_folders_are_there_and_what_was_done_is_told(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "p.py").touch()
    (tmp_path / "startup.sh").touch()
    given, done, notes = placed(tmp_path)
    names = {"dags", "plugins", "requirements", "startup", "logs", "config"}
    assert {path.name for path in given.home.iterdir()} == names
    assert (done, notes) == (["1 plugin files"], [])
    assert placed(tmp_path)[1] == [], "nothing changed"
    settings = given.home / "config" / "airflow_local_settings.py"
    assert settings.readlink() == given.python_folder / "mwaa_airflow" / "local_settings.py"


def test_an_archive_whose_files_all_lie_too_deep_is_noted(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as opened:
        opened.writestr("plugins/a.py", "")
    given, done, (note,) = placed(tmp_path, MWAA_LOCAL__PLUGINS_ZIP=str(tmp_path / "p.zip"))
    assert done == ["1 entries of plugins.zip"]
    assert "plugins/plugins/" in note
    with zipfile.ZipFile(tmp_path / "p.zip", "a") as opened:
        opened.writestr("b.py", "")
    assert placed(tmp_path, MWAA_LOCAL__PLUGINS_ZIP=str(tmp_path / "p.zip"))[2] == []
    assert (given.home / "plugins" / "b.py").exists()
    (tmp_path / "plugins").mkdir()
    assert placed(tmp_path, MWAA_LOCAL__PLUGINS_ZIP=str(tmp_path / "none.zip"))[1] == ["2 plugin files"]


def test_an_archive_alone_in_an_images_folder_is_noted(tmp_path: Path) -> None:
    given = replace(read_inputs("worker", process_variables(tmp_path)), workflow={}, in_image=True)
    (given.home / "plugins").mkdir(parents=True)
    (given.home / "plugins" / "plugins.zip").touch()
    notes: list[str] = []
    files.place(given, notes.append)
    assert len(notes) == 1 and "not unpacked" in notes[0]
    assert not given.python_folder.exists(), "an image has its own"
    (given.home / "plugins" / "p.py").touch()
    files.place(given, notes.append)
    assert len(notes) == 1


def test_a_file_that_cannot_be_copied_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "startup.sh").touch()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.shutil, "copy2", refuse)
    with pytest.raises(WorkflowFileError, match=r"startup\.sh cannot be put in place") as caught:
        placed(tmp_path)
    assert caught.value.where == str(tmp_path / "startup.sh")


def test_where_the_users_files_may_be_said_to_be(tmp_path: Path) -> None:
    given = read_inputs("worker", process_variables(tmp_path))
    home = Path("/usr/local/airflow")
    assert files.roots(given) == {
        name: [home / name, given.home / name, tmp_path / name] for name in ("dags", "plugins")
    }
    assert files.binds(given) == []
    (tmp_path / "dags").mkdir()
    ((bind),) = files.binds(given)
    assert (bind.source, bind.place, bind.read_only) == (tmp_path / "dags", "dags", True)
    assert files.binds(replace(given, workflow={})) == []


def test_a_shell_is_pointed_to_the_environment_once(tmp_path: Path) -> None:
    given = read_inputs("worker", process_variables(tmp_path))
    given.home.mkdir()
    given.run_dir.mkdir()
    (given.home / ".bashrc").write_text("own\n")
    for _ in range(2):
        files.keep_environment(given, {"A": "it's", "BASH_FUNC_x%%": "() { :; }"})
    for name, before in ((".bashrc", "own\n"), (".bash_profile", "")):
        text = (given.home / name).read_text()
        assert (
            text.startswith(before) and text.count("environment.sh") == 2 and text.count("\n") == before.count("\n") + 1
        )
    assert (given.run_dir / "environment.sh").read_text() == "export A='it'\"'\"'s'\n"
    kept = json.loads((given.run_dir / "environment.json").read_text())
    assert kept == {
        "variables": {"A": "it's", "BASH_FUNC_x%%": "() { :; }"},
        "home": str(given.home),
        "pid": os.getpid(),
    }
    modes = {(given.run_dir / name).stat().st_mode & 0o777 for name in ("environment.sh", "environment.json")}
    assert modes == {0o600}
