"""The parts of Airflow's side that need no Airflow: variables, broker options, what may be imported where."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from mwaa_airflow import celery_options, environment, preload

SOURCES = Path(__file__).parents[2] / "src"
FILES = sorted([*(SOURCES / "mwaa_airflow").rglob("*.py"), *(SOURCES / "mwaa").rglob("*.py")])
ARN = "arn:aws:logs:us-east-1:000000000000:log-group:airflow-local-Task"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_every_file_has_the_syntax_of_python_3_7(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))


def test_the_syntax_check_would_notice_something_newer() -> None:
    with pytest.raises(SyntaxError):
        ast.parse("if (n := 1): pass", feature_version=(3, 7))


@pytest.mark.parametrize(
    "module", ["environment", "celery_options", "aws_client", "preload", "launcher", "database", "local_settings"]
)
def test_importing_the_light_modules_brings_in_nothing_heavy(module: str) -> None:
    heavy = (
        "[name for name in ('airflow', 'boto3', 'botocore', 'celery', 'kombu', 'watchtower') if name in sys.modules]"
    )
    code = f"import sys, mwaa_airflow.{module}; print({heavy})"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCES)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arn", "enabled", "group", "publishes"),
    [
        (ARN, "true", "airflow-local-Task", True),
        (ARN + ":*", "True", "airflow-local-Task", True),
        (ARN, "false", "airflow-local-Task", False),
        (ARN, "", "airflow-local-Task", False),
        ("", "true", "", False),
        ("not-an-arn", "true", "", False),
    ],
)
def test_a_log_source_publishes_only_with_a_group_and_the_switch(
    monkeypatch: pytest.MonkeyPatch, arn: str, enabled: str, group: str, publishes: bool
) -> None:
    monkeypatch.setenv("MWAA__LOGGING__AIRFLOW_TASK_LOG_GROUP_ARN", arn)
    monkeypatch.setenv("MWAA__LOGGING__AIRFLOW_TASK_LOGS_ENABLED", enabled)
    source = environment.LogSource("TASK")
    assert (source.group, source.publishes) == (group, publishes)


@pytest.mark.parametrize(("text", "level"), [("ERROR", 40), ("warning", 30), ("", 20), ("LOUD", 20), ("CRITICAL", 50)])
def test_levels_by_name_default_to_info(monkeypatch: pytest.MonkeyPatch, text: str, level: int) -> None:
    monkeypatch.setenv("MWAA__LOGGING__AIRFLOW_TASK_LOG_LEVEL", text)
    assert environment.LogSource("TASK").level == level


def test_without_a_region_the_message_is_mwaas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(RuntimeError, match=r"^Region must be specified\.$"):
        environment.region()


def test_credentials_are_explicit_with_a_local_endpoint_and_the_chains_own_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv("MWAA_LOCAL__" + name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-users")
    assert environment.aws_credentials() == (None, None)
    monkeypatch.setenv("MWAA_LOCAL__AWS_ENDPOINT", "http://127.0.0.1:4566")
    assert environment.aws_credentials() == ("test", "test")
    monkeypatch.setenv("MWAA_LOCAL__AWS_ACCESS_KEY_ID", "inner")
    assert environment.aws_credentials() == ("inner", "test")


@pytest.mark.parametrize(
    ("version", "queues", "visibility"),
    [
        ((2, 10, 3), ["airflow-celery-7"], None),
        ((3, 0, 6), ["airflow-celery-7", "default"], None),
        ((3, 2, 1), ["airflow-celery-7", "default"], 43200),
    ],
)
def test_broker_options_by_version(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], queues: list[str], visibility: int | None
) -> None:
    url = "http://127.0.0.1:4566/000000000000/airflow-celery-7"
    monkeypatch.setenv("MWAA__SQS__QUEUE_URL", url)
    monkeypatch.setenv("MWAA__SQS__USE_SSL", "false")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    options = celery_options.broker_options(version)
    assert options["predefined_queues"] == {name: {"url": url} for name in queues}
    assert (options["is_secure"], options["region"]) == (False, "eu-west-1")
    assert options.get("visibility_timeout") == visibility
    assert celery_options.extra_celery_config(version)["broker_transport_options"] == options


@pytest.mark.parametrize("url", ["", "sqs://host/queue", "http://", "airflow-celery-7"])
def test_a_queue_url_without_a_name_is_refused(url: str) -> None:
    with pytest.raises(RuntimeError, match="MWAA__SQS__QUEUE_URL"):
        celery_options.queue_name(url)


@pytest.mark.parametrize(
    ("text", "version"), [("3.2.1", (3, 2, 1)), ("2.10.3", (2, 10, 3)), ("3.3.0rc1", (3, 3, 1)), ("3", (3,))]
)
def test_airflows_version_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str, version: tuple[int, ...]
) -> None:
    monkeypatch.setenv("AIRFLOW_VERSION", text)
    found = environment.airflow_version()
    assert found == version


def test_processes_that_share_only_the_common_part_are_forked_first() -> None:
    steps = preload.stages(3, ["scheduler", "dag-processor", "triggerer", "api-server"])
    assert [indexes for _, indexes in steps] == [[3], [0, 1, 2]]
    assert "airflow" in steps[0][0] and "airflow.jobs.scheduler_job_runner" in steps[1][0]


def test_a_component_of_its_own_kind_is_one_step() -> None:
    assert [indexes for _, indexes in preload.stages(2, ["scheduler", "triggerer"])] == [[], [0, 1]]


def test_a_missing_module_is_reported_and_not_fatal() -> None:
    ((name, reason),) = preload.load(["json", "no_such_module_at_all"])
    assert name == "no_such_module_at_all" and "no_such_module_at_all" in reason
