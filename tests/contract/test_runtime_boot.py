"""One component's boot as a process: order, files, script, verdicts, exit codes. "Airflow" is a stand-in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import Stopwatch, gone, until

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from runtime_support import process_variables

# Plays `airflow celery worker`: says what it got, then shows the worker's sign of life.
AIRFLOW = """#!{python}
import json, os, signal, sys, time
from pathlib import Path
Path({seen!r}).write_text(json.dumps({{"argv": sys.argv[1:], "environment": dict(os.environ), "cwd": os.getcwd()}}))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("worker says hello", flush=True)
while True:
    Path(os.environ["MWAA_LOCAL__WORKER_HEARTBEAT"]).touch()
    time.sleep(0.05)
"""


class Component:
    """A worker component in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen_file = folder / "seen.json"
        python = folder / "base" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(AIRFLOW.format(python=sys.executable, seen=str(self.seen_file)))
        python.chmod(0o755)
        site = folder / "base" / "lib" / "python3.12" / "site-packages"
        for name in ("apache_airflow-3.2.1.dist-info", "watchtower-3.4.0.dist-info"):
            (site / name).mkdir(parents=True)
        manifest = {"key": "base", "airflow": "3.2.1", "python": "3.12.1", "kind": "base", "base": "base"}
        (folder / "base" / "mwaa-set.json").write_text(json.dumps(manifest))
        (folder / "base" / "etc").mkdir()
        (folder / "base" / "etc" / "mwaa_essential_constraints.txt").write_text("apache-airflow==3.2.1\n")
        (folder / "dags").mkdir()
        self.options: dict[str, str] = {"MWAA_LOCAL__LAUNCHER": "false", "MWAA_LOCAL__AWS_ENDPOINT": ""}
        self.process: subprocess.Popen[str] | None = None

    def start(self, component: str = "worker") -> subprocess.Popen[str]:
        environment = {**process_variables(self.folder, **self.options), "HOME": str(self.folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mwaa_local.runtime", component],
            env=environment,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self.process

    @property
    def status(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / "run" / "status.json").read_text()))
        except FileNotFoundError:
            return {"state": "none"}

    @property
    def seen(self) -> dict[str, Any]:
        return dict(json.loads(self.seen_file.read_text()))

    def until(self, *states: str, seconds: float = 30) -> dict[str, Any]:
        until(lambda: self.status["state"] in states, seconds, told=lambda: self.status)
        return self.status

    def end(self, number: int | None = signal.SIGTERM) -> tuple[int, str]:
        assert self.process is not None
        if number is not None:
            self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=20)
        return self.process.returncode, output

    def runtime(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**process_variables(self.folder, **self.options), "HOME": str(self.folder)}
        argv = [sys.executable, "-m", "mwaa_local.runtime", *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def component(tmp_path: Path) -> Iterator[Component]:
    made = Component(tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.communicate()


def test_a_worker_boots_drains_and_says_everything(component: Component) -> None:
    script = "echo Printing Apache Airflow component\necho $MWAA_AIRFLOW_COMPONENT\n"
    script += "export ENVIRONMENT_STAGE=dev\nexport AIRFLOW__CORE__EXECUTOR=LocalExecutor\nexport AIRFLOW__FOO__A=script\nexit 3\n"
    (component.folder / "startup.sh").write_text(script)
    component.options["MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS"] = '{"AIRFLOW__FOO__A": "option"}'
    component.start()
    status = component.until("running", "failed")
    assert [phase["name"] for phase in status["phases"]] == ["files", "startup script", "package set", "configuration"]
    assert status["startup_script"]["exit_status"] == 3
    assert status["startup_script"]["variables"] == ["AIRFLOW__CORE__EXECUTOR", "AIRFLOW__FOO__A", "ENVIRONMENT_STAGE"]
    assert status["restored"] == status["startup_script"]["restored"] == ["AIRFLOW__CORE__EXECUTOR"]
    assert status["ready_seconds"] < 15
    health = component.runtime("health")
    assert (health.returncode, health.stdout) == (0, health.stdout)
    assert health.stdout.count("\n") == 1
    seen = component.seen
    script = str(component.folder / "home" / ".local" / "bin" / "airflow")
    assert seen["argv"] == [script, "celery", "worker", "--skip-serve-logs"]
    assert seen["environment"]["ENVIRONMENT_STAGE"] == "dev"
    assert seen["environment"]["MWAA_ENV_NAME"] == "local"
    assert seen["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert seen["environment"]["AIRFLOW__FOO__A"] == "option"
    home = component.folder / "home"
    assert seen["environment"]["AIRFLOW_HOME"] == seen["cwd"] == str(home)
    assert str((home / ".local").readlink()) == str(component.folder / "base")
    python = component.folder / "run" / "python"
    assert seen["environment"]["PYTHONPATH"] == str(python)
    modules = {path.name for path in python.iterdir()} - {"__pycache__"}
    assert modules == {"mwaa", "mwaa_airflow", "sitecustomize.py"}
    code, output = component.end()
    assert code == 0
    lines = [line for line in output.splitlines() if not line.startswith("Startup script execution time: ")]
    assert lines[:6] == [  # spec/10 section 3.6
        "Executing customer startup script",
        "Printing Apache Airflow component",
        "worker",
        "Exiting customer startup script",
        "Executing post startup script verification",
        "Post startup script verification completed",
    ]
    assert "worker says hello" in lines
    assert component.status["state"] == "stopped"
    assert component.runtime("health").returncode == 1


def test_a_fatal_startup_script_ends_the_component_at_once(component: Component) -> None:
    (component.folder / "startup.sh").write_text("echo going down\nset -e\nfalse\n")
    watch = Stopwatch()
    component.start()
    code, output = component.end(None)
    assert code == 1
    assert watch.given() < 20  # MWAA sleeps 1100 s here
    status = component.status
    assert status["state"] == "failed"
    assert status["error"]["id"] == "startup-script"
    assert "going down" in status["error"]["why"]
    assert status["startup_script"]["captured"] is False
    assert "[ERROR] An unexpected error occurred: Failed to locate environment variables file" in output
    assert not component.seen_file.exists()
    health = component.runtime("health")
    assert health.returncode == 1
    assert "startup script" in health.stdout


def test_failed_requirements_do_not_keep_airflow_from_starting(component: Component) -> None:
    """spec/10 section 4.2; the verdict is in the status."""
    (component.folder / "requirements.txt").write_text(
        "# -c (a comment like this switches MWAA's constraints off)\nno requirement\n"
    )
    component.start()
    status = component.until("running", "failed")
    assert status["state"] == "running"
    assert status["requirements"]["verdict"] == "failed"
    assert "line 2" in status["requirements"]["error"]["where"]
    assert component.seen["argv"][1:3] == ["celery", "worker"]


def test_a_hostile_archive_stops_the_boot_with_one_error(component: Component) -> None:
    with zipfile.ZipFile(component.folder / "plugins.zip", "w") as archive:
        archive.writestr("../evil.py", "")
    component.options["MWAA_LOCAL__PLUGINS_ZIP"] = str(component.folder / "plugins.zip")
    component.start()
    code, output = component.end(None)
    assert code == 1
    assert component.status["error"]["id"] == "workflow-file"
    assert "../evil.py" in output
    assert "Traceback" not in output


def test_workflow_files_are_in_place_and_copies(component: Component) -> None:
    folder = component.folder
    (folder / "plugins").mkdir()
    (folder / "plugins" / "p.py").write_text("1")
    (folder / "requirements.txt").write_text("# nothing\n")
    (folder / "more.txt").write_text("# included\n")
    (folder / "startup.sh").write_text("ls plugins/p.py requirements/requirements.txt requirements/more.txt dags\n")
    component.start()
    status = component.until("running", "failed")
    assert status["startup_script"]["exit_status"] == 0
    (folder / "dags" / "new.py").write_text("")
    assert (folder / "home" / "dags" / "new.py").exists()  # shown, not copied
    (folder / "plugins" / "later.py").write_text("")
    assert not (folder / "home" / "plugins" / "later.py").exists()  # counts from the next start on


def test_sigterm_while_the_startup_script_runs(component: Component) -> None:
    (component.folder / "startup.sh").write_text(f"echo $$ > {component.folder}/pid\nsleep 300\n")
    component.start()
    file = component.folder / "pid"
    until(lambda: file.exists() and file.read_text())
    code, _ = component.end()
    assert code == 0
    assert component.status["state"] == "stopped"
    assert gone(int(file.read_text()))


def test_a_command_runs_in_the_components_environment_with_its_own_exit_code(component: Component) -> None:
    (component.folder / "startup.sh").write_text("export ENVIRONMENT_STAGE=dev\n")
    unknown = component.runtime("exec", "worker", "--", "true")
    assert unknown.returncode == 2
    assert "has not been started" in unknown.stderr
    component.start()
    component.until("running")
    words = ["sh", "-c", "echo $ENVIRONMENT_STAGE $MWAA_AIRFLOW_COMPONENT; pwd; exit 7"]
    done = component.runtime("exec", "worker", "--", *words)
    assert (done.returncode, done.stdout.split()) == (7, ["dev", "worker", str(component.folder / "home")])
    assert (component.folder / "run" / "environment.json").stat().st_mode & 0o077 == 0
    missing = component.runtime("exec", "worker", "--", "no-such-command")
    assert missing.returncode == 2
    assert "no-such-command" in missing.stderr


def test_dies_with_its_parent_when_told_so(component: Component) -> None:
    component.options["MWAA_LOCAL__DIE_WITH_PARENT"] = "true"
    environment = {**process_variables(component.folder, **component.options), "HOME": str(component.folder)}
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'mwaa_local.runtime', 'worker']); sys.stdin.read()"
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/"
    )
    status = component.until("running", "failed")
    assert status["state"] == "running"
    parent.kill()
    parent.communicate()
    component.until("stopped")


@pytest.mark.parametrize("words", [[], ["scheduler", "worker"], ["flower"]])
def test_wrong_arguments_end_at_once(component: Component, words: list[str]) -> None:
    """spec/10 section 1.1."""
    done = component.runtime(*words)
    assert done.returncode == 1
    assert "Invalid" in done.stderr


def test_a_missing_base_set_is_named(component: Component) -> None:
    (component.folder / "base" / "bin" / "python").unlink()
    component.start()
    code, output = component.end(None)
    assert code == 1
    assert "Airflow 3.2.1 is not installed" in output
