"""Every field that an environment has: its default, written by hand, and that what is given arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mwaa_local import model
from mwaa_local.errors import DefinitionError

# Attribute, default, line of mwaa.yaml, the value it gives. Ours but for those of spec/01 section 2 and spec/04 section 1.
FIELDS: list[tuple[str, Any, str, Any]] = [
    ("name", "local", "Name: other", "other"),
    ("version.airflow", "3.2.1", "AirflowVersion: 2.10.3", "2.10.3"),
    ("environment_class.name", "mw1.small", "EnvironmentClass: mw1.large", "mw1.large"),
    ("min_workers", 1, "MinWorkers: 3", 3),
    ("max_workers", 10, "MaxWorkers: 4", 4),
    ("schedulers", 2, "Schedulers: 3", 3),
    ("min_webservers", 2, "MinWebservers: 3", 3),
    ("max_webservers", 5, "MaxWebservers: 4", 4),
    ("local.engine", "auto", "Local: {Engine: docker}", "docker"),
    ("local.base", "al2023", "Local: {Base: debian}", "debian"),
    ("local.image", None, "Local: {Image: 'mine:1'}", "mine:1"),
    ("local.aws", "local", "Local: {Aws: profile}", "profile"),
    ("local.aws_services", (), "Local: {AwsServices: [athena, acm]}", ("athena", "acm")),
    ("local.aws_containers", False, "Local: {AwsContainers: true}", True),
    ("local.region", "us-east-1", "Local: {Region: eu-west-1}", "eu-west-1"),
    ("local.resolver", "uv", "Local: {Resolver: pip}", "pip"),
    ("local.resource_factor", 1.0, "Local: {ResourceFactor: 2.5}", 2.5),
    ("local.max_plugins_bytes", 1 << 30, "Local: {MaxPluginsBytes: 77}", 77),
    ("local.allow_failed_requirements", False, "Local: {AllowFailedRequirements: true}", True),
    ("local.dag_sync", "workspace", "Local: {DagSync: mwaa}", "mwaa"),
    ("local.ports.web", 8080, "Local: {Ports: {Web: 9001}}", 9001),
    ("local.ports.aws", 4566, "Local: {Ports: {Aws: 9002}}", 9002),
    ("local.ports.postgres", None, "Local: {Ports: {Postgres: 9003}}", 9003),
    ("local.ports.explicit", frozenset(), "Local: {Ports: {Aws: 9002, Web: 1}}", frozenset({"web", "aws"})),
    ("local.smoke.dags", (), "Local: {Smoke: {Dags: [a, b]}}", ("a", "b")),
    ("local.smoke.tag", "smoke", "Local: {Smoke: {Tag: quick}}", "quick"),
    ("local.smoke.timeout_seconds", 600, "Local: {Smoke: {TimeoutSeconds: 5}}", 5),
    ("workflow.dags.name", "dags", "Local: {Paths: {Dags: other}}", "other"),
    ("workflow.plugins.name", "plugins", "Local: {Paths: {Plugins: other}}", "other"),
    ("workflow.requirements.name", "requirements.txt", "Local: {Paths: {Requirements: other.txt}}", "other.txt"),
    ("workflow.startup_script.name", "startup.sh", "Local: {Paths: {StartupScript: other.sh}}", "other.sh"),
]
LOGS = ("DagProcessingLogs", "SchedulerLogs", "TaskLogs", "WebserverLogs", "WorkerLogs")


def at(environment: Any, path: str) -> Any:
    for name in path.split("."):
        environment = getattr(environment, name)
    return environment


@pytest.mark.parametrize(("path", "default", "text", "value"), FIELDS, ids=[row[0] for row in FIELDS])
def test_a_field_has_its_default_and_what_is_given_arrives_there_alone(
    path: str, default: Any, text: str, value: Any, tmp_path: Path
) -> None:
    before = model.load(tmp_path, variables={})
    assert at(before, path) == default
    (tmp_path / "mwaa.yaml").write_text(text)
    after = model.load(tmp_path, variables={})
    assert at(after, path) == value
    follows = {"local.ports.explicit", "local.ports.web", "local.ports.aws", "local.ports.postgres"}
    follows |= {
        "environment_class.name",
        "version.airflow",
        "min_webservers",
        "max_webservers",
        "max_workers",
        "schedulers",
    }
    for other, given, _text, _value in FIELDS:
        if other != path and not {other, path} <= follows:
            assert at(after, other) == given, f"{text} changed {other}"


def test_every_log_type_is_on_at_info_unless_told_otherwise(tmp_path: Path) -> None:
    before = model.load(tmp_path, variables={})
    assert {name: (log.enabled, log.level) for name, log in before.logging.items()} == dict.fromkeys(
        LOGS, (True, "INFO")
    )
    (tmp_path / "mwaa.yaml").write_text(
        "LoggingConfiguration: {TaskLogs: {Enabled: false, LogLevel: ERROR}, WorkerLogs: {Enabled: true, LogLevel: DEBUG}}"
    )
    after = model.load(tmp_path, variables={})
    assert (after.logging["TaskLogs"].enabled, after.logging["TaskLogs"].level) == (False, "ERROR")
    assert (after.logging["WorkerLogs"].enabled, after.logging["WorkerLogs"].level) == (True, "DEBUG")
    assert (after.logging["SchedulerLogs"].enabled, after.logging["SchedulerLogs"].level) == (True, "INFO")


def test_only_a_document_that_is_nothing_else_is_a_pasted_environment(tmp_path: Path) -> None:
    path = tmp_path / "mwaa.yaml"
    path.write_text("Environment: {Name: pasted}\n")
    assert model.load(tmp_path, variables={}).name == "pasted"
    path.write_text("Environment: {Name: pasted}\nMinWorkers: 2\n")
    with pytest.raises(DefinitionError, match="unknown field Environment"):
        model.load(tmp_path, variables={})
