"""Rules about mwaa.yaml (spec/01 section 5, spec/04 sections 4-7, spec/10 section 2)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from preflight_support import hits, options, workspace

from mwaa_local.preflight.findings import Severity

# rule, version, definition, line of the finding, words of the finding, definition without fault
CASES = [
    ("DEF001", "", "Name: [\n", 2, "not valid YAML", "Name: local\n"),
    ("DEF001", "", "- a\n", 1, "must be a mapping", ""),
    ("DEF002", "", "Nme: x\n", 1, "unknown field Nme", "Name: x\n"),
    ("DEF002", "", "Name: a\nName: b\n", 2, "given twice", "Name: a\n"),
    ("DEF002", "", "Local:\n  Prts: {Web: 1}\n", 2, "unknown field Local.Prts", "Local:\n  Ports: {Web: 1}\n"),
    ("DEF003", "", "AirflowVersion: 9.9.9\n", 1, "'9.9.9' is not known", "AirflowVersion: 3.2.1\n"),
    ("DEF003", "", "MaxWorkers: many\n", 1, "must be a integer", "MaxWorkers: 2\n"),
    ("DEF003", "", "LoggingConfiguration:\n  TaskLogs: {Enabled: true}\n", 2, "lacks LogLevel", "LoggingConfiguration:\n  TaskLogs: {Enabled: true, LogLevel: INFO}\n"),
    ("DEF003", "", "AirflowConfigurationOptions:\n  Core.X: 1\n", 2, "has a form MWAA refuses", "AirflowConfigurationOptions:\n  core.x: 1\n"),
    ("DEF003", "", "AirflowConfigurationOptions:\n  parallelism: 1\n", 2, "has no section", "AirflowConfigurationOptions:\n  core.parallelism: 1\n"),
    ("DEF004", "3.2.1", "AirflowConfigurationOptions:\n  core.multi_team: 'True'\n", 2, "core.multi_team is locked", "AirflowConfigurationOptions:\n  core.parallelism: 4\n"),
    ("DEF005", "", "MaxWorkers: 99\n", 1, "1 to 25", "MaxWorkers: 25\n"),
    ("DEF005", "", "EnvironmentClass: mw1.micro\nSchedulers: 2\n", 2, "out of range for mw1.micro", "EnvironmentClass: mw1.micro\nSchedulers: 1\n"),
    ("DEF005", "", "MinWorkers: 5\nMaxWorkers: 2\n", 1, "greater than MaxWorkers", "MinWorkers: 2\nMaxWorkers: 5\n"),
    ("DEF006", "2.10.3", "WebserverAccessMode: PUBLIC_AND_PRIVATE\n", 1, "not known on 2.10.3", "WebserverAccessMode: PUBLIC_ONLY\n"),
    ("DEF011", "", "LoggingConfiguration:\n  TaskLogs: {Enabled: false, LogLevel: INFO}\n", 2, "switched off", "LoggingConfiguration:\n  TaskLogs: {Enabled: true, LogLevel: DEBUG}\n"),
    ("DEF011", "", "LoggingConfiguration:\n  TaskLogs: {Enabled: true, LogLevel: ERROR}\n", 2, "below ERROR are dropped", ""),
    ("DEF012", "", "WebserverAccessMode: PUBLIC_ONLY\nAirflowConfigurationOptions:\n  webserver.base_url: a.example.com\n", 3, "private web server only", "WebserverAccessMode: PRIVATE_ONLY\nAirflowConfigurationOptions:\n  webserver.base_url: a.example.com\n"),
    ("DEF014", "", "PluginsS3Path: plugins.zip\n", 1, "without PluginsS3ObjectVersion", "PluginsS3Path: plugins.zip\nPluginsS3ObjectVersion: abc\n"),
    ("DEF014", "", "RequirementsS3ObjectVersion: abc\n", 1, "without RequirementsS3Path", ""),
    ("DEF015", "", "KmsKey: alias/mine\n", 1, "is an alias", "KmsKey: 1234abcd-12ab-34cd-56ef-1234567890ab\n"),
    ("DEF015", "", "KmsKey: mrk-1234abcd12ab34cd56ef1234567890ab\n", 1, "multi-Region", ""),
    ("DEF015", "", "KmsKey: arn:aws:kms:eu-west-1:123456789012:alias/mine\n", 1, "is an alias", "KmsKey: arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab\n"),
    ("DEF003", "", "NetworkConfiguration: {}\n", 1, "lacks SubnetIds", "NetworkConfiguration: {SubnetIds: [subnet-1, subnet-2]}\n"),
    ("DEF003", "", "Tags: {a: 'x;y'}\n", 1, "holds characters MWAA refuses", "Tags: {a: 'x: y/é', Größe: '1'}\n"),
    ("DEF018", "", "Local:\n  Paths: {Dags: nowhere}\n", 2, "does not exist", "Name: local\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "version", "bad", "line", "words", "good"), CASES, ids=[f"{case[0]}-{case[4][:20]}" for case in CASES]
)
def test_rule(rule: str, version: str, bad: str, line: int, words: str, good: str, tmp_path: Path) -> None:
    found = hits(rule, workspace(tmp_path / "bad", {"mwaa.yaml": bad}, version))
    assert [(item.line, item.file and item.file.name) for item in found] == [(line, "mwaa.yaml")], found
    assert words in found[0].message
    assert not hits(rule, workspace(tmp_path / "good", {"mwaa.yaml": good}, version))


OPTION_CASES = [
    ("DEF007", "3.2.1", {"celery__worker_concurrency": "4"}, "has no effect", {"celery__worker_autoscale": "5,5"}),
    ("DEF007", "3.2.1", {"core__executor": "LocalExecutor"}, "MWAA sets core.executor itself", {"core__parallelism": "4"}),
    ("DEF007", "3.2.1", {"api__base_url": "https://x"}, "is protected", {"api__instance_name": "x"}),
    ("DEF008", "3.2.1", {"scheduler__scheduler_zombie_task_threshold": "300"}, "scheduler.task_instance_heartbeat_timeout", {"scheduler__task_instance_heartbeat_timeout": "300"}),
    ("DEF008", "3.2.1", {"core__check_slas": "True"}, "has no option core.check_slas", {"core__lazy_load_plugins": "False"}),
    ("DEF008", "2.10.3", {"dag_processor__refresh_interval": "60"}, "scheduler.dag_dir_list_interval", {"scheduler__dag_dir_list_interval": "60"}),
    ("DEF008", "2.10.3", {"triggerer__capacity": "60"}, "triggerer.default_capacity", {"foo__user": "anything of the user's own"}),
    ("DEF009", "3.2.1", {"celery__worker_autoscale": "5"}, "two numbers are needed", {"celery__worker_autoscale": "5,5"}),
    ("DEF009", "2.10.3", {"celery__worker_autoscale": "1,5"}, "the maximum comes first", {"celery__worker_autoscale": "5,1"}),
    ("DEF009", "3.2.1", {"celery__worker_autoscale": "5,1"}, "can kill a task without a log", {"celery__worker_autoscale": "5,5"}),
    ("DEF010", "", {"secrets__backend": "a.B", "secrets__backend_kwargs": "{'a': 1}"}, "not valid JSON", {"secrets__backend": "a.B", "secrets__backend_kwargs": '{\\"connections_prefix\\": \\"x\\"}'}),
    ("DEF010", "", {"secrets__backend": "a.B", "secrets__backend_kwargs": "[1]"}, "no object", {"secrets__backend": "a.B"}),
    ("DEF010", "", {"secrets__backend_kwargs": "{}"}, "without secrets.backend", {}),
    ("DEF012", "", {"webserver__base_url": "https://a.example.com/x"}, "bare host name", {"webserver__base_url": "a.example.com"}),
    ("DEF007", "3.2.1", {"metrics__statsd_on": "False"}, "MWAA sets metrics.statsd_on itself", {"metrics__metrics_allow_list": "scheduler"}),
    ("DEF007", "2.10.3", {"metrics__statsd_datadog_tags": "a"}, "[metrics] is MWAA's own", {"metrics__metrics_block_list": "dag"}),
    ("DEF007", "2.10.3", {"scheduler__statsd_host": "x"}, "MWAA sets scheduler.statsd_host (now metrics.statsd_host) itself", {"metrics__of_my_own": "x"}),
    ("DEF007", "3.2.1", {"webserver__secret_key": "x"}, "MWAA sets webserver.secret_key (now api.secret_key) itself", {"webserver__base_url": "a.example.com"}),
    ("DEF007", "2.10.3", {"admin__sensitive_variable_fields": "x"}, "reads its old name", {"core__sensitive_var_conn_names": "x"}),
    ("DEF008", "3.2.1", {"triggerer__default_capacity": "1", "triggerer__capacity": "2"}, "does not read this value", {"triggerer__capacity": "2"}),
    ("DEF008", "2.10.3", {"core__dag_concurrency": "1", "core__max_active_tasks_per_dag": "2"}, "does not read this value", {"core__dag_concurrency": "2"}),
    ("DEF012", "", {"webserver__base_url": "a.example.com/dags/"}, "it has a path", {"webserver__base_url": "my-custom-domain.com"}),
    ("DEF012", "3.2.1", {"webserver__base_url": "a.example.com:8443"}, "it has a port", {"webserver__base_url": ""}),
    ("DEF013", "3.2.1", {"core__dagbag_import_timeout": "60"}, "not below", {"core__dagbag_import_timeout": "40"}),
    ("DEF013", "2.10.3", {"core__dag_file_processor_timeout": "20"}, "not below", {"core__dag_file_processor_timeout": "80"}),
    ("DEF013", "3.2.1", {"core__dagbag_import_timeout": "half a minute"}, "not a number", {}),
    ("DEF013", "3.2.1", {"dag_processor__parsing_processes": "9"}, "has threads for (1)", {"dag_processor__parsing_processes": "1"}),
    ("DEF017", "", {"smtp__smtp_port": "25"}, "25", {"smtp__smtp_port": "587"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "version", "bad", "words", "good"),
    OPTION_CASES,
    ids=[f"{case[0]}-{case[3][:20]}" for case in OPTION_CASES],
)
def test_rule_about_options(
    rule: str, version: str, bad: dict[str, str], words: str, good: dict[str, str], tmp_path: Path
) -> None:
    found = hits(rule, workspace(tmp_path / "bad", options(**bad), version))
    assert len(found) == 1, found
    assert words in found[0].message
    assert found[0].line >= 2
    assert not hits(rule, workspace(tmp_path / "good", options(**good) if good else {}, version or "2.10.3"))


@pytest.mark.parametrize(
    ("rule", "version", "given", "found"),
    [
        ("DEF013", "3.2.1", {"core__dagbag_import_timeout": "50"}, 1),  # the processor's own default is 50 s
        ("DEF013", "3.2.1", {"core__dagbag_import_timeout": "49"}, 0),
        ("DEF013", "3.2.1", {"dag_processor__parsing_processes": "2"}, 1),
        ("DEF013", "3.2.1", {"dag_processor__parsing_processes": "1"}, 0),
        ("DEF009", "2.10.3", {"celery__worker_autoscale": "5,5"}, 0),
        ("DEF009", "2.10.3", {"celery__worker_autoscale": "5,6"}, 1),
        ("DEF009", "2.10.3", {"celery__worker_autoscale": "0,0"}, 1),
        ("DEF009", "2.10.3", {"celery__worker_autoscale": "1,0"}, 0),
        ("DEF009", "3.2.1", {"celery__worker_autoscale": " 5 , 5 "}, 0),
        ("DEF009", "3.2.1", {"celery__worker_autoscale": "5,4"}, 1),
    ],
)
def test_where_the_limits_lie(rule: str, version: str, given: dict[str, str], found: int, tmp_path: Path) -> None:
    assert len(hits(rule, workspace(tmp_path, options(**given), version))) == found


def test_parse_limits_that_nobody_set_are_nobodys_fault(tmp_path: Path) -> None:
    assert not hits("DEF013", workspace(tmp_path, options(core__parallelism="4"), "3.2.1"))


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("{'connections_prefix': 'a'}", "write double quotes for single quotes"),
        ('{"a": False, "b": None}', "write false for False, null for None"),
        ("{'a': True, 'b': 'None'}", "write true for True, double quotes for single quotes"),
        ('{"a": "it\'s False",}', "write no comma after the last member"),
        ('{"a"; 1}', ""),
    ],
)
@pytest.mark.parametrize("name", ["secrets.backend_kwargs", "workers.secrets_backend_kwargs"])
def test_arguments_that_are_python_are_said_to_be_dropped(tmp_path: Path, name: str, text: str, mended: str) -> None:
    """Airflow warns and goes on with no arguments; it does not stop."""
    given = f"AirflowConfigurationOptions:\n  secrets.backend: a.B\n  {name}: {json.dumps(text)}\n"
    (found,) = hits("DEF010", workspace(tmp_path, {"mwaa.yaml": given}, "3.2.1"))
    assert "Airflow goes on without any of it" in found.message
    assert found.fix == mended


def test_the_default_autoscale_is_a_hint_only(tmp_path: Path) -> None:
    (found,) = hits("DEF009", workspace(tmp_path, {}, "3.2.1"))
    assert found.severity is Severity.INFO
    assert found.fix == "set celery.worker_autoscale: 5,5"  # spec/05 AC-T4
    assert not hits("DEF009", workspace(tmp_path / "two", {}, "2.10.3"))


@pytest.mark.parametrize("version", ["3.2.1", "2.10.3"])
def test_the_custom_domain_is_no_foreign_and_no_overridden_option(tmp_path: Path, version: str) -> None:
    """The guide sets webserver.base_url on every version (spec/01 section 9)."""
    space = workspace(tmp_path, options(webserver__base_url="my-custom-domain.com"), version)
    assert not [item for rule in ("DEF003", "DEF007", "DEF008", "DEF012") for item in hits(rule, space)]
    assert not space.definition.issues


def test_an_old_name_that_is_still_read_is_a_hint(tmp_path: Path) -> None:
    (found,) = hits("DEF008", workspace(tmp_path, options(scheduler__dag_dir_list_interval="60"), "3.2.1"))
    assert found.severity is Severity.INFO
    assert "dag_processor.refresh_interval" in found.message


def test_a_version_out_of_support(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    space = workspace(tmp_path, {"mwaa.yaml": "AirflowVersion: 2.10.3\n"}, "")
    assert not hits("DEF016", space)
    reading = space.definition
    ended = dataclasses.replace(reading.environment.version, offered="ended")
    space.__dict__["definition"] = dataclasses.replace(reading, environment=reading.environment.having(version=ended))
    (found,) = hits("DEF016", space)
    assert "out of support" in found.message
    assert found.line == 1


def test_every_fault_is_found_in_one_run(tmp_path: Path) -> None:
    """The model stops at the first fault; a report must not."""
    space = workspace(
        tmp_path,
        {
            "mwaa.yaml": "Nme: x\nMaxWorkers: 99\nSchedulers: many\nLocal:\n  Engin: x\n  Ports: {Web: 0}\n"
            "AirflowConfigurationOptions:\n  core.multi_team: 'True'\n  Core.Y: '1'\n  celery.worker_concurrency: '4'\n"
        },
        "",
    )
    assert [(issue.kind, issue.line) for issue in space.definition.issues] == [
        ("unknown", 1),
        ("count", 2),
        ("value", 3),
        ("unknown", 5),
        ("value", 6),
        ("locked", 8),
        ("value", 9),
    ]
    assert len(hits("DEF007", space)) == 1  # the good part is still read
