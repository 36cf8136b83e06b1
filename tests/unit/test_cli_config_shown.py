"""What `config` prints, and what it says of an environment that runs (values against Airflow: tests/contract)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cli_support import CommandLine, command_line

__all__ = ["command_line"]


def values(command_line: CommandLine, *words: str) -> dict[str, dict[str, Any]]:
    done = command_line("config", "--json", *words)
    assert done.code == 0, done.err
    return {item["option"] or item["name"]: item for item in json.loads(done.out)["values"]}


def define(command_line: CommandLine, text: str) -> None:
    (command_line.project / "mwaa.yaml").write_text(text, encoding="utf-8")


def test_a_line_is_as_long_as_what_stands_in_it(command_line: CommandLine) -> None:
    """A program splits lines at tabs; a column padded to its longest value made every line 560 characters long."""
    command_line.engine.runs = False
    lines = command_line("config").out.splitlines()
    assert lines[0] == "option\tvalue\tlayer\toverrode\twhy"
    assert len(lines) > 250
    assert [line for line in lines if " \t" in line or line != line.rstrip()] == []
    rows = [line.split("\t") for line in lines]
    assert next(row for row in rows if row[0] == "core.executor")[:4] == [
        "core.executor",
        "CeleryExecutor",
        "essential",
        "airflow: LocalExecutor",
    ]
    by_length = sorted(len(line) for line in lines)
    assert by_length[len(lines) // 2] < 120


def test_a_line_end_inside_a_value_makes_no_second_line(command_line: CommandLine) -> None:
    command_line.engine.started = {"AIRFLOW__FOO__KEY": "one\ntwo\tthree"}
    assert command_line("config", "foo.key").out.splitlines()[1].split("\t")[:2] == ["foo.key", r"one\ntwo\tthree"]


def test_addresses_are_those_of_the_component_that_runs(command_line: CommandLine) -> None:
    define(command_line, 'AirflowConfigurationOptions: {core.parallelism: "7", core.default_task_retries: "2"}\n')
    command_line.engine.started = {
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:18080/execution",
        "AIRFLOW__API__PORT": "18080",
        "AIRFLOW__CORE__FERNET_KEY": "real",
        "AIRFLOW__CORE__PARALLELISM": "7",
        "AIRFLOW__CORE__OLD_ONE": "1",
        "SOME_OTHER": "x",
        "MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS": '{"AIRFLOW__CORE__PARALLELISM": "7", "AIRFLOW__CORE__OLD_ONE": "1"}',
    }
    found = values(command_line)
    assert found["core.execution_api_server_url"]["value"] == "http://127.0.0.1:18080/execution"
    assert (found["api.port"]["value"], found["api.port"]["layer"]) == ("18080", "container")
    assert found["core.fernet_key"]["value"] == "(secret)"
    assert "core.old_one" not in found
    said = command_line("config").err
    assert "not applied yet" in said
    assert "core.default_task_retries, core.old_one" in said
    assert "core.parallelism" not in said


@pytest.mark.parametrize("component", ["worker", "scheduler"])
def test_a_secret_that_a_value_takes_in_is_not_shown(command_line: CommandLine, component: str) -> None:
    define(
        command_line,
        "AirflowConfigurationOptions:\n  foo.password: hunter2\n  smtp.smtp_user: me-$AIRFLOW__FOO__PASSWORD\n"
        "  sentry.sentry_dsn: https://key@host/1\n",
    )
    done = command_line("config", "--component", component)
    assert "hunter2" not in done.out
    assert "key@host" not in done.out
    assert values(command_line, "smtp.smtp_user")["smtp.smtp_user"]["value"] == "(secret)"


def test_old_and_new_name_are_answered_alike(command_line: CommandLine) -> None:
    define(
        command_line,
        'AirflowVersion: 2.10.3\nAirflowConfigurationOptions: {core.dag_concurrency: "7"}\n',
    )
    command_line.engine.version = "2.10.3"
    found = values(command_line, "core.dag_concurrency", "core.max_active_tasks_per_dag")
    assert {name: item["value"] for name, item in found.items()} == {
        "core.dag_concurrency": "7",
        "core.max_active_tasks_per_dag": "7",
    }
    assert [lost["layer"] for lost in found["core.max_active_tasks_per_dag"]["overrode"]] == ["airflow", "container"]
    asked = values(command_line, "webserver.base_url", "scheduler.max_threads")
    assert asked["webserver.base_url"]["value"] == "http://127.0.0.1:8080"
    assert asked["scheduler.max_threads"]["value"] == "1"
