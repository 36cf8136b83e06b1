"""Every field that an environment has: its default, written by hand, and that what is given arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mwaa_local import model
from mwaa_local.errors import DefinitionError
from mwaa_local.model.spec import NetworkConfiguration

ROLE = "arn:aws:iam::123456789012:role/service-role/mine"
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
NETWORK = "{SubnetIds: [subnet-1, subnet-2], SecurityGroupIds: [sg-1]}"
# Attribute, default, line of mwaa.yaml, the value it gives. Ours but for those of spec/01 section 2 and spec/04 section 1.
FIELDS: list[tuple[str, Any, str, Any]] = [
    ("name", "local", "Name: other", "other"),
    ("version.airflow", "3.2.1", "AirflowVersion: 2.10.3", "2.10.3"),
    ("environment_class.name", "mw1.small", "EnvironmentClass: mw1.large", "mw1.large"),
    ("spec.min_workers", 1, "MinWorkers: 3", 3),
    ("spec.max_workers", 10, "MaxWorkers: 4", 4),
    ("spec.schedulers", 2, "Schedulers: 3", 3),
    ("spec.min_webservers", 2, "MinWebservers: 3", 3),
    ("spec.max_webservers", 5, "MaxWebservers: 4", 4),
    ("spec.webserver_access_mode", "PRIVATE_ONLY", "WebserverAccessMode: PUBLIC_ONLY", "PUBLIC_ONLY"),
    ("spec.endpoint_management", "SERVICE", "EndpointManagement: CUSTOMER", "CUSTOMER"),
    ("spec.weekly_maintenance_window_start", None, "WeeklyMaintenanceWindowStart: 'SUN:03:30'", "SUN:03:30"),
    ("spec.worker_replacement_strategy", None, "WorkerReplacementStrategy: GRACEFUL", "GRACEFUL"),
    ("spec.execution_role_arn", None, f"ExecutionRoleArn: {ROLE}", ROLE),
    ("spec.source_bucket_arn", None, "SourceBucketArn: 'arn:aws:s3:::mine'", "arn:aws:s3:::mine"),
    ("spec.kms_key", None, f"KmsKey: {KEY}", KEY),
    ("spec.dag_s3_path", None, "DagS3Path: my/dags", "my/dags"),
    ("spec.plugins_s3_path", None, "PluginsS3Path: p.zip", "p.zip"),
    ("spec.plugins_s3_object_version", None, "PluginsS3ObjectVersion: v1", "v1"),
    ("spec.requirements_s3_path", None, "RequirementsS3Path: r.txt", "r.txt"),
    ("spec.requirements_s3_object_version", None, "RequirementsS3ObjectVersion: v2", "v2"),
    ("spec.startup_script_s3_path", None, "StartupScriptS3Path: s.sh", "s.sh"),
    ("spec.startup_script_s3_object_version", None, "StartupScriptS3ObjectVersion: v3", "v3"),
    (
        "spec.network_configuration",
        None,
        f"NetworkConfiguration: {NETWORK}",
        NetworkConfiguration(("subnet-1", "subnet-2"), ("sg-1",)),
    ),
    ("spec.tags", {}, "Tags: {Team: data}", {"Team": "data"}),
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
    ("local.allow_unsupported", False, "Local: {AllowUnsupported: true}", True),
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
        "spec.min_webservers",
        "spec.max_webservers",
        "spec.max_workers",
        "spec.schedulers",
    }
    for other, given, _text, _value in FIELDS:
        if other != path and not {other, path} <= follows:
            assert at(after, other) == given, f"{text} changed {other}"


def test_every_log_type_is_on_at_info_unless_told_otherwise(tmp_path: Path) -> None:
    before = model.load(tmp_path, variables={})
    assert {name: (log.enabled, log.level) for name, log in before.spec.logging.items()} == dict.fromkeys(
        LOGS, (True, "INFO")
    )
    (tmp_path / "mwaa.yaml").write_text(
        "LoggingConfiguration: {TaskLogs: {Enabled: false, LogLevel: ERROR}, WorkerLogs: {Enabled: true, LogLevel: DEBUG}}"
    )
    after = model.load(tmp_path, variables={})
    assert (after.spec.logging["TaskLogs"].enabled, after.spec.logging["TaskLogs"].level) == (False, "ERROR")
    assert (after.spec.logging["WorkerLogs"].enabled, after.spec.logging["WorkerLogs"].level) == (True, "DEBUG")
    assert (after.spec.logging["SchedulerLogs"].enabled, after.spec.logging["SchedulerLogs"].level) == (True, "INFO")


def test_only_a_document_that_is_nothing_else_is_a_pasted_environment(tmp_path: Path) -> None:
    path = tmp_path / "mwaa.yaml"
    path.write_text("Environment: {Name: pasted}\n")
    assert model.load(tmp_path, variables={}).name == "pasted"
    path.write_text("Environment: {Name: pasted}\nMinWorkers: 2\n")
    with pytest.raises(DefinitionError, match="unknown field Environment"):
        model.load(tmp_path, variables={})
