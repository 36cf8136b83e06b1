"""The command as a user has it: the example workspace, nothing, very much, every format, and the documented CI script."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from patience import Stopwatch
from test_validate_broken import broken, example, missed, validated

from mwaa_local.preflight.findings import Severity
from mwaa_local.preflight.report import Report

ROOT = Path(__file__).parents[2]
DAG = """from datetime import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("dag_{number}", schedule=None, start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="a", bash_command="true") >> BashOperator(task_id="b", bash_command="true")
"""


def command(*words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`mwaa-local ...` in a folder."""
    program = Path(sys.executable).parent / "mwaa-local"
    return subprocess.run(
        [str(program), *words],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **variables},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def clean(report: Report) -> bool:
    return not [item for item in report.findings if item.severity is not Severity.INFO] and not missed(report)


@pytest.mark.parametrize("version", ["3.2.1", "2.10.3"])
def test_the_example_workspace_is_clean(version: str, tmp_path: Path) -> None:
    report = validated(example(tmp_path / "project"), flags={"AirflowVersion": version})
    assert clean(report), [(item.rule.id, item.place, item.message) for item in report.findings] + [*report.unchecked]
    assert report.exit_code == 0


def test_an_empty_folder(tmp_path: Path) -> None:
    watch = Stopwatch()
    done = command("validate", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors, 0 warnings" in done.stdout
    assert watch.given() < 20
    assert not list(tmp_path.iterdir()), "a check leaves nothing behind"


def test_a_folder_with_2000_files(tmp_path: Path) -> None:
    """Data beside the DAGs is not read, helpers are parsed once, and every fault is still found."""
    for number in range(1700):
        path = tmp_path / f"dags/data/{number % 40}/file_{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"airflow": "dag"}' * 50)
    for number in range(290):
        path = tmp_path / f"dags/lib/module_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"def f_{number}():\n    return {number}\n")
    for number in range(10):
        (tmp_path / f"dags/dag_{number}.py").write_text(DAG.format(number=number))
    (tmp_path / "dags/lib/module_7.py").write_text("x = (\n")
    report = validated(tmp_path)
    assert [(item.rule.id, item.path) for item in report.findings if item.severity is not Severity.INFO] == [
        ("DAG001", "dags/lib/module_7.py")
    ]
    assert report.seconds < 60, report.timings


def test_500_dag_files(tmp_path: Path) -> None:
    """At most 30 s on the 2-core machine alone; both cores are used."""
    (tmp_path / "dags").mkdir()
    for number in range(500):
        (tmp_path / f"dags/dag_{number}.py").write_text(DAG.format(number=number))
    (tmp_path / "mwaa.yaml").write_text("EnvironmentClass: mw1.2xlarge\n")
    report = validated(tmp_path)
    assert clean(report), report.findings[:3]
    assert "500 DAG files" in report.notes[0]
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    assert report.seconds < 30 * max(1.0, load), report.seconds


def test_every_format_on_the_broken_workspace(tmp_path: Path) -> None:
    import jsonschema
    import xmlschema

    from mwaa_local.preflight.output import json_report

    folder = broken(tmp_path / "project")
    areas = ("definition", "startup")
    done = {
        name: command("validate", *areas, "--format", name, folder=folder)
        for name in ("text", "json", "sarif", "junit", "github")
    }
    assert {name: item.returncode for name, item in done.items()} == dict.fromkeys(done, 1)
    document = json.loads(done["json"].stdout)
    jsonschema.validate(document, json_report.schema())
    fixtures = ROOT / "tests/fixtures/preflight"
    jsonschema.validate(
        json.loads(done["sarif"].stdout), json.loads((fixtures / "sarif-2.1.0.schema.json").read_text())
    )
    xmlschema.XMLSchema(str(fixtures / "junit-10.xsd")).validate(done["junit"].stdout)
    errors = document["summary"]["errors"]
    assert sum(line.startswith("::error ") for line in done["github"].stdout.splitlines()) == errors
    assert f"{errors} errors" in done["text"].stdout
    assert {item["area"] for item in document["findings"]} == set(areas)


def test_words_of_the_command_line(tmp_path: Path) -> None:
    folder = broken(tmp_path / "project")
    one = command("validate", "startup/startup.sh", "--select", "SUP004", folder=folder)
    assert (one.returncode, "SUP004" in one.stdout, "SUP003" in one.stdout) == (1, True, False)
    assert command("validate", "startup", "--ignore", "SUP", folder=folder).returncode == 0
    explained = command("validate", "--explain", "DAG005", folder=folder)
    assert (explained.returncode, "exactly one queue" in explained.stdout) == (0, True)
    for wrong in (["--select", "NOPE"], ["--format", "xml"], ["nowhere.py"], ["--target", "1.2.3", "startup"]):
        done = command("validate", *wrong, folder=folder)
        assert done.returncode == 2, wrong
        assert "error:" in done.stderr
    written = command("validate", "startup", "--format", "json", "--output", "reports/x.json", folder=folder)
    assert written.stdout == ""
    assert json.loads((folder / "reports/x.json").read_text())["exit_code"] == 1


def test_no_imports_is_said(tmp_path: Path) -> None:
    done = command("validate", "--no-imports", folder=example(tmp_path / "project"))
    assert "not checked" in done.stdout
    assert done.returncode == 0, "the caller left it out, and nothing else is wrong"


def test_the_ci_script_of_the_docs(tmp_path: Path) -> None:
    """The shell part of docs/how-to/validate-in-ci.md, word for word, on a broken and on a good workspace."""
    page = (ROOT / "docs/how-to/validate-in-ci.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```bash\n(# ci/validate\.sh\n.*?)```", page, re.DOTALL)
    workflow = yaml.safe_load(re.findall(r"```yaml\n(name: validate\n.*?)```", page, re.DOTALL)[0])
    steps = workflow["jobs"]["validate"]["steps"]
    assert [step["run"] for step in steps if step.get("name") == "Validate"] == ["bash ci/validate.sh"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    results = {}
    for name, script in (("good", "echo\n"), ("bad", "exec true\n")):
        folder = tmp_path / name
        (folder / "startup").mkdir(parents=True)
        (folder / "startup/startup.sh").write_text(script)
        (folder / "ci").mkdir()
        (folder / "ci/validate.sh").write_text(text)
        done = subprocess.run(
            ["bash", "ci/validate.sh"],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        results[name] = done.returncode
        json.loads((folder / "reports/validate.sarif").read_text())
        assert (folder / "reports/validate.xml").read_text().startswith("<?xml")
        assert ("::error file=startup/startup.sh" in done.stdout) is (name == "bad")
    assert results == {"good": 0, "bad": 1}


def test_the_pre_commit_hooks_name_real_options() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert [hook["id"] for hook in hooks] == ["mwaa-local-validate", "mwaa-local-validate-files"]
    for hook in hooks:
        pattern = re.compile(hook["files"])
        assert all(pattern.search(name) for name in ("dags/a.py", "mwaa.yaml", "startup/startup.sh", "plugins.zip"))
        assert not pattern.search("src/x.py")
        done = command(*hook["entry"].split()[1:], "--help", folder=ROOT)
        assert done.returncode == 0


def test_watching(tmp_path: Path) -> None:
    """A saved file is checked again; Ctrl-C ends the command."""
    pytest.importorskip("watchfiles")
    (tmp_path / "startup").mkdir()
    script = tmp_path / "startup/startup.sh"
    script.write_text("echo\n")
    program = Path(sys.executable).parent / "mwaa-local"
    child = subprocess.Popen(
        [str(program), "validate", "--watch", "startup"],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that was started in the background has Ctrl-C ignored, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    lines: queue.Queue[str] = queue.Queue()

    def pump() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            lines.put(line)

    threading.Thread(target=pump, daemon=True).start()

    def wait_for(words: str) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if words in lines.get(timeout=1):
                    return
            except queue.Empty:
                # A write in the moment before the watch began is missed by it; a second one is not.
                script.touch()
        raise AssertionError(words)

    try:
        wait_for("0 errors")
        script.write_text("exec true\n")
        wait_for("SUP004")
        wait_for("1 error")
        script.write_text("echo\n")
        wait_for("0 errors")
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("answers", [False, True], ids=["refused", "silent"])
def test_offline(answers: bool, tmp_path: Path) -> None:
    """No index, nothing installed: what could not be checked is named, the rest is checked, and nothing hangs."""
    with socket.socket() as index:
        index.bind(("127.0.0.1", 0))
        if answers:
            index.listen(64)  # takes connections and says nothing
        address = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        folder = example(tmp_path / "project")
        (folder / "startup/startup.sh").write_text("exec true\n")
        watch = Stopwatch()
        done = command(
            "validate",
            folder=folder,
            MWAA_LOCAL_CACHE_DIR=str(tmp_path / "cache"),
            PIP_INDEX_URL=address,
            PIP_CONFIG_FILE=os.devnull,
        )
        assert watch.given() < 200
    assert "not checked imports of DAGs and plugins on Airflow 3.2.1" in done.stdout
    assert address.removeprefix("http://").partition("/")[0] in done.stdout
    assert "SUP004" in done.stdout
    assert done.returncode == 1
    (folder / "startup/startup.sh").write_text("echo\n")
    assert (
        command(
            "validate",
            "dags",
            folder=folder,
            MWAA_LOCAL_CACHE_DIR=str(tmp_path / "cache"),
            PIP_INDEX_URL=address,
            PIP_CONFIG_FILE=os.devnull,
        ).returncode
        == 2
    )
