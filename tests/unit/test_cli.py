"""The command line's own promises: exit codes, one clear error, stdout for results only, a Makefile that is thin."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def call(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MWAA_LOCAL_")}
    return subprocess.run(
        [sys.executable, "-m", "mwaa_local", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environment, **variables},
    )


def test_versions_as_json_is_one_document_on_stdout() -> None:
    done = call("versions", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    assert {row["airflow_version"] for row in json.loads(done.stdout)["versions"]} >= {"3.2.1", "2.10.3"}


def test_a_bad_definition_is_one_error_with_code_2(tmp_path: Path) -> None:
    (tmp_path / "mwaa.yaml").write_text("Name: x\nEngine: docker\n")
    done = call("--project", str(tmp_path), "--engine", "process", "up")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "unknown field Engine" in done.stderr
    assert "mwaa.yaml:2" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".mwaa").exists(), "nothing half-done is left"


def test_options_of_every_command_count_behind_it_too(tmp_path: Path) -> None:
    done = call("status", "--json", "--project", str(tmp_path), "--engine", "process")
    assert json.loads(done.stdout)["engine"] == "process"
    variable = call("status", "--json", f"--project={tmp_path}", MWAA_LOCAL_ENGINE="process")
    assert json.loads(variable.stdout)["engine"] == "process"
    assert call("airflow", "version", "--project", str(tmp_path)).stderr.count(str(tmp_path)) == 0, "that is Airflow's"


def test_a_traceback_is_shown_wherever_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "mwaa.yaml").write_text("Nonsense: 1\n")
    for words in (["--debug", "config"], ["config", "--debug"]):
        assert "Traceback" in call("--project", str(tmp_path), *words).stderr
    assert "Traceback" not in call("--project", str(tmp_path), "config").stderr
    assert "Traceback" in call("--project", str(tmp_path), "config", MWAA_LOCAL_DEBUG="1").stderr


def test_validate_has_json_as_every_other_command(tmp_path: Path) -> None:
    one = call("--project", str(tmp_path), "validate", "definition", "--json")
    other = call("--project", str(tmp_path), "validate", "definition", "--format", "json")
    assert one.returncode == 0, one.stderr
    assert json.loads(one.stdout).keys() == json.loads(other.stdout).keys()
    assert json.loads(call("validate", "--list-rules", "--json").stdout)["rules"][0].keys() >= {"id", "why", "fix"}
    assert [rule["id"] for rule in json.loads(call("validate", "--explain", "DAG005", "--json").stdout)["rules"]] == [
        "DAG005"
    ]
    both = call("validate", "--json", "--format", "sarif")
    assert both.returncode == 2
    assert "--json and --format sarif" in both.stderr


def test_wrong_use_ends_with_2() -> None:
    assert call("no-such-command").returncode == 2
    assert call("logs", "a", "b", "--project", ".").returncode == 2


@pytest.mark.parametrize(
    "words", [["env"], ["shell", "worker"], ["airflow", "version"], ["restart"], ["logs", "task", "x"]]
)
def test_commands_that_need_a_running_environment_say_so(tmp_path: Path, words: list[str]) -> None:
    done = call("--project", str(tmp_path), "--engine", "process", *words)
    assert done.returncode == 1
    assert "does not run" in done.stderr
    assert "mwaa-local up" in done.stderr


def test_reset_does_not_wipe_where_nobody_can_be_asked(tmp_path: Path) -> None:
    done = call("--project", str(tmp_path), "--engine", "process", "reset")
    assert done.returncode == 2
    assert "--yes" in done.stderr


def test_config_shows_layers_and_hides_secrets(tmp_path: Path) -> None:
    (tmp_path / "mwaa.yaml").write_text(
        'AirflowConfigurationOptions: {core.parallelism: "7", core.load_examples: "True"}\n'
    )
    done = call("--project", str(tmp_path), "--engine", "process", "config", "--json")
    assert done.returncode == 0, done.stderr
    values = {item["option"]: item for item in json.loads(done.stdout)["values"]}
    assert values["core.parallelism"]["value"] == "7"
    assert values["core.parallelism"]["layer"] == "options"
    below = [{"layer": "airflow", "value": "32"}, {"layer": "container", "value": "75"}]
    assert values["core.parallelism"]["overrode"] == below
    assert values["core.load_examples"]["value"] == "False"
    beaten = [{"layer": "airflow", "value": "True"}, {"layer": "options", "value": "True"}]
    assert values["core.load_examples"]["overrode"] == beaten
    assert (values["core.dag_ignore_file_syntax"]["layer"], values["celery.worker_umask"]["value"]) == ("airflow", "")
    assert values["core.fernet_key"]["value"] == "(secret)"


def test_config_changed_leaves_airflows_defaults_out(tmp_path: Path) -> None:
    done = call("--project", str(tmp_path), "--engine", "process", "config", "--json", "--changed")
    values = json.loads(done.stdout)["values"]
    assert 40 < len(values) < 200
    assert "airflow" not in {item["layer"] for item in values}


def test_config_of_one_option_and_of_an_unset_one(tmp_path: Path) -> None:
    done = call("--project", str(tmp_path), "--engine", "process", "config", "core.executor")
    assert "CeleryExecutor" in done.stdout
    assert "essential" in done.stdout
    unset = call("--project", str(tmp_path), "--engine", "process", "config", "core.nothing")
    assert unset.returncode == 2
    assert "has no option core.nothing" in unset.stderr


def test_every_make_target_is_one_call_and_listed() -> None:
    text = (ROOT / "Makefile").read_text()
    listed = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    ).stdout
    for target in (
        "up",
        "down",
        "restart",
        "reset",
        "status",
        "logs",
        "shell",
        "smoke",
        "validate",
        "package",
        "doctor",
        "config",
    ):
        (recipe,) = re.findall(rf"^{target}: install ## .*\n((?:\t.*\n)+)", text, re.MULTILINE)
        assert recipe.count("\n") == 1, f"{target} is more than one call"
        assert "$(MWAA)" in recipe
        assert f"make {target}" in listed


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    done = call("--help", COLUMNS="200")
    commands = re.findall(r"^│ ([a-z]+) {2,}", done.stdout, re.MULTILINE)
    assert len(commands) > 12
    missing = [command for command in commands if not re.search(rf"\b{command}\b", readme)]
    assert not missing
