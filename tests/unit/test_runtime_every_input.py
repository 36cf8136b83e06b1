"""Every variable that a component is started with arrives in its own place, and has its default where it is not set."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runtime_support import GROUPS, inputs, variables

from mwaa_local.model import definition
from mwaa_local.model.secrets import Secrets
from mwaa_local.runtime import environment as layers
from mwaa_local.runtime.inputs import LogTarget, Wiring, host_variables, variables_for
from mwaa_local.runtime.reading import read_inputs

# Each variable, a value that is not its default, the fields it may change and what they are then. A default by hand.
EVERY: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("AIRFLOW_ENV_NAME", "other", {"environment_name": "other"}, {"environment_name": "Unknown"}),
    ("MWAA__CORE__EXECUTOR_TYPE", "localexecutor", {"executor": "LocalExecutor"}, {"executor": "CeleryExecutor"}),
    ("MWAA__CORE__AUTH_TYPE", "MWAA-IAM", {"auth_type": "mwaa-iam"}, {"auth_type": ""}),
    ("MWAA__CORE__API_SERVER_URL", "http://other", {"api_server_url": "http://other"}, {"api_server_url": None}),
    ("MWAA__CORE__REQUIREMENTS_PATH", "/r", {"requirements_path": Path("/r")}, {"requirements_path": None}),
    ("MWAA__CORE__STARTUP_SCRIPT_PATH", "/s", {"startup_path": Path("/s")}, {"startup_path": None}),
    ("MWAA__CORE__FERNET_KEY", '{"FernetKey": "k"}', {"fernet_key": "k", "fernet_secret": '{"FernetKey": "k"}'}, {"fernet_key": None, "fernet_secret": None}),
    ("MWAA__WEBSERVER__SECRET", '{"secret_key": "w"}', {"web_secret": "w"}, {"web_secret": None}),
    ("MWAA__SQS__CUSTOM_ENDPOINT", "http://e", {"queue_endpoint": "http://e"}, {"queue_endpoint": ""}),
    ("MWAA__SQS__USE_SSL", "TRUE", {"use_ssl": True}, {"use_ssl": True}),
    ("AWS_REGION", "eu-west-1", {"region": "eu-west-1"}, {}),
    ("MWAA__CLOUDWATCH_METRICS_INTEGRATION__ENABLED", "true", {"metrics": True}, {"metrics": False}),
    ("MWAA__CLOUDWATCH_METRICS_INTEGRATION__CUSTOMER_CONFIG_PATH", "/m", {"metrics_folder": Path("/m")}, {"metrics_folder": None}),
    ("MWAA_LOCAL__AWS_ENDPOINT", "http://a", {"aws_endpoint": "http://a"}, {"aws_endpoint": ""}),
    ("MWAA_LOCAL__AWS_ACCESS_KEY_ID", "id", {"aws_access_key": "id"}, {"aws_access_key": "test"}),
    ("MWAA_LOCAL__AWS_SECRET_ACCESS_KEY", "key", {"aws_secret_key": "key"}, {"aws_secret_key": "test"}),
    ("MWAA_LOCAL__AWS", "profile", {"dags_use_endpoint": False}, {"dags_use_endpoint": True}),
    ("MWAA_LOCAL__HOME", "/h", {"home": Path("/h"), "visible_home": Path("/h")}, {"home": Path("/usr/local/airflow")}),
    ("MWAA_LOCAL__RUN_DIR", "/run", {"run_dir": Path("/run")}, {"run_dir": Path("/usr/local/mwaa/run")}),
    ("MWAA_LOCAL__CACHE_DIR", "/c", {"cache_dir": Path("/c")}, {"cache_dir": Path("/usr/local/mwaa/cache")}),
    ("MWAA_LOCAL__BASE_SET", "/b", {"base_set": Path("/b")}, {"base_set": Path("/opt/mwaa/base")}),
    ("MWAA_LOCAL__NAMESPACE", "{}", {"namespace": "{}"}, {"namespace": ""}),
    ("MWAA_LOCAL__WORKFLOW", '{"dags": "/d"}', {"workflow": {"dags": Path("/d")}, "in_image": False, "placement": "folder", "python_folder": Path("/usr/local/mwaa/run/python")}, {"in_image": True, "placement": "image", "python_folder": Path("/python"), "workflow": {}}),
    ("MWAA_LOCAL__PLUGINS_ZIP", "/p.zip", {"plugins_zip": Path("/p.zip")}, {"plugins_zip": None}),
    ("MWAA_LOCAL__MAX_PLUGINS_BYTES", "7", {"max_plugins_bytes": 7}, {"max_plugins_bytes": 1 << 30}),
    ("MWAA_LOCAL__ALLOW_FAILED_REQUIREMENTS", "true", {"allow_failed_requirements": True}, {"allow_failed_requirements": False}),
    ("MWAA_LOCAL__RESOLVER", "pip", {"resolver": "pip"}, {"resolver": "uv"}),
    ("MWAA_LOCAL__DAG_SYNC", "bucket", {"workspace": False}, {"workspace": True}),
    ("MWAA_LOCAL__WEB_PORT", "9090", {"web_port": 9090}, {"web_port": 8080}),
    ("MWAA_LOCAL__WEB_URL", "http://w:1/", {"web_url": "http://w:1"}, {"web_url": ""}),
    ("MWAA_LOCAL__HOSTNAME", "ip-1", {"hostname": "ip-1"}, {"hostname": ""}),
    ("MWAA_LOCAL__DRAIN_SECONDS", "7", {"drain_seconds": 7.0}, {"drain_seconds": 90.0}),
    ("MWAA_LOCAL__DIE_WITH_PARENT", "true", {"die_with_parent": True}, {"die_with_parent": False}),
    ("MWAA_LOCAL__LAUNCHER", "false", {"use_launcher": False}, {"use_launcher": True}),
    ("MWAA_LOCAL__CONSOLE_PREFIX", "true", {"console_prefix": True}, {"console_prefix": False}),
    ("MWAA_LOCAL__PARALLELISM", "5", {"class_values": {"class_parallelism": "5"}}, {"class_values": {}}),
    ("MWAA_LOCAL__PARSING_PROCESSES", "3", {"class_values": {"class_parsing_processes": "3"}}, {"class_values": {}}),
    ("MWAA_LOCAL__ENVIRONMENT_CLASS", "mw1.large", {"class_values": {"class_worker_autoscale": "20,0", "class_triggers": "250", "class_api_workers": "2"}}, {"class_values": {}}),
    ("MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS", '{"a": "b"}', {"options": {"a": "b"}}, {"options": {}}),
]  # fmt: skip
NEEDED = {name: value for name, value in variables().items() if name in {
    "PATH", "AIRFLOW_VERSION", "AWS_REGION", "MWAA__SQS__QUEUE_URL"} or name.endswith("_LOG_LEVEL")}  # fmt: skip


def fields(given: dict[str, str]) -> dict[str, Any]:
    read = read_inputs("worker", given)
    return {one.name: getattr(read, one.name) for one in dataclasses.fields(read) if one.name != "container"}


@pytest.mark.parametrize(("name", "value", "set_", "default"), EVERY, ids=[row[0] for row in EVERY])
def test_a_variable_changes_its_own_field_and_no_other(
    name: str, value: str, set_: dict[str, Any], default: dict[str, Any]
) -> None:
    bare, given = fields(NEEDED), fields({**NEEDED, name: value})
    assert {key: bare[key] for key in default} == default
    assert {key: given[key] for key in set_} == set_
    assert {key for key in bare if bare[key] != given[key]} <= set(set_)
    assert given["warnings"] == ()


@pytest.mark.parametrize("source", GROUPS)
def test_each_source_of_logs_has_its_own_target(source: str) -> None:
    prefix = f"MWAA__LOGGING__AIRFLOW_{source}_LOG"
    given = {**NEEDED, f"{prefix}_GROUP_ARN": "arn", f"{prefix}S_ENABLED": "True", f"{prefix}_LEVEL": "error"}
    found = fields(given)["logs"]
    off = LogTarget("", False, "INFO")
    assert found == {name: LogTarget("arn", True, "ERROR") if name == source else off for name in GROUPS}


def test_a_region_has_two_names_and_the_first_counts() -> None:
    without = {name: value for name, value in NEEDED.items() if name != "AWS_REGION"}
    assert fields({**without, "AWS_DEFAULT_REGION": "eu-west-2"})["region"] == "eu-west-2"
    assert fields({**NEEDED, "AWS_DEFAULT_REGION": "eu-west-2"})["region"] == "us-east-1"


@pytest.mark.parametrize(
    ("domain", "url"),
    [
        ("", "http://w"),
        ("dags.example.com", "https://dags.example.com"),
        ("http://dags.example.com/", "http://dags.example.com"),
        (" https://dags.example.com/x/ ", "https://dags.example.com/x"),
    ],
)
def test_a_custom_domain_with_and_without_its_scheme(domain: str, url: str) -> None:
    given = inputs(options={"AIRFLOW__WEBSERVER__BASE_URL": domain}, MWAA_LOCAL__WEB_URL="http://w")
    assert given.base_url == url


def test_what_passes_from_the_users_own_environment() -> None:
    """By hand: how the outside is reached, and who is trusted; never who the user is."""
    names = [
        "PATH",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "TMPDIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "FTP_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "ftp_proxy",
        "all_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "AWS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "GIT_SSL_CAINFO",
        "PIP_CERT",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_TRUSTED_HOST",
        "PIP_CONFIG_FILE",
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_NATIVE_TLS",
        "UV_SYSTEM_CERTS",
        "UV_INSECURE_HOST",
        "UV_CONFIG_FILE",
        "UV_PYTHON_INSTALL_DIR",
        "UV_OFFLINE",
        "UV_KEYRING_PROVIDER",
    ]
    own = ["HOME", "USER", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SSH_AUTH_SOCK",
           "AWS_ENDPOINT_URL", "PYTHONPATH", "VIRTUAL_ENV", "AIRFLOW_HOME", "GITHUB_TOKEN", "UV_PUBLISH_TOKEN"]  # fmt: skip
    given = {name: f"of {name}" for name in [*names, *own]}
    assert host_variables(given) == {name: f"of {name}" for name in names}
    assert host_variables(dict.fromkeys(names, "")) == {}, "an empty one is none"


def test_a_profile_of_the_user_is_passed_with_its_files_when_it_is_asked_for() -> None:
    assert host_variables({"HOME": "/home/u"}, "work") == {
        "AWS_PROFILE": "work",
        "AWS_CONFIG_FILE": "/home/u/.aws/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/home/u/.aws/credentials",
    }
    given = {"HOME": "/home/u", "AWS_CONFIG_FILE": "/c", "AWS_SHARED_CREDENTIALS_FILE": "/s", "AWS_PROFILE": "other"}
    assert host_variables(given, "work") == {
        "AWS_PROFILE": "work", "AWS_CONFIG_FILE": "/c", "AWS_SHARED_CREDENTIALS_FILE": "/s",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ("celery", {}, {"MWAA__CORE__EXECUTOR_TYPE": "LocalExecutor"}),
        ("metrics", {"MWAA__CLOUDWATCH_METRICS_INTEGRATION__ENABLED": "true"}, {}),
        ("mwaa_iam", {"MWAA__CORE__AUTH_TYPE": "mwaa-iam"}, {"MWAA__CORE__AUTH_TYPE": "none"}),
        ("not_mwaa_iam", {"MWAA__CORE__AUTH_TYPE": "none"}, {"MWAA__CORE__AUTH_TYPE": "mwaa-iam"}),
        ("auth_none", {"MWAA__CORE__AUTH_TYPE": "none"}, {}),
        ("workspace", {}, {"MWAA_LOCAL__DAG_SYNC": "bucket"}),
        ("task_logs", {}, {"MWAA__LOGGING__AIRFLOW_TASK_LOGS_ENABLED": "false"}),
        ("links", {"MWAA_LOCAL__WEB_URL": "http://127.0.0.1:8080"}, None),
        ("", {}, None),
    ],
)
def test_the_conditions_of_the_catalogs_rows(
    condition: str, holds: dict[str, str], fails: dict[str, str] | None
) -> None:
    assert layers.condition_holds(condition, inputs(**holds)) is True
    if fails is not None:
        assert layers.condition_holds(condition, inputs(**fails)) is False


@pytest.mark.parametrize(("host", "linked"), [("127.0.0.1", False), ("localhost", False), ("dev.example.com", True)])  # fmt: skip
def test_a_web_server_behind_another_name_links_to_it(host: str, linked: bool) -> None:
    given = inputs("webserver", MWAA_LOCAL__WEB_URL=f"http://{host}:8080")
    assert layers.condition_holds("links", given) is linked


# -- from the definition to the component ------------------------------------------------------------------------------


def started(folder: Path, text: str, component: str = "worker", **wired: Any) -> dict[str, str]:
    (folder / "mwaa.yaml").write_text(text, encoding="utf-8")
    wiring = SimpleNamespace(**{
        "extra": {}, "secrets": Secrets("fernet", "web", "database"), "api_server_url": "http://api", "database_host": "db",
        "database_port": 5433, "database_name": "name", "database_user": "user", "queue_url": "http://q/1/airflow-celery",
        "aws_endpoint": "http://aws", "home": Path("/h"), "run_dir": Path("/run"), "cache_dir": Path("/c"),
        "base_set": Path("/b"), "web_port": 8081, "web_url": "http://web", "hostname": "here", "workflow": True,
        "namespace": None, **wired,
    })  # fmt: skip
    return variables_for(definition.load(folder, variables={}), component, Wiring(**vars(wiring)))


DEFINITION = """
Name: mine
AirflowVersion: 2.10.3
EnvironmentClass: mw1.medium
AirflowConfigurationOptions: {core.parallelism: "9"}
LoggingConfiguration: {WorkerLogs: {Enabled: true, LogLevel: ERROR}}
Local: {Region: eu-west-1, Aws: work, Resolver: pip, MaxPluginsBytes: 77, AllowFailedRequirements: true}
"""


def test_a_definition_arrives_in_the_component(tmp_path: Path) -> None:
    read = read_inputs("worker", started(tmp_path, DEFINITION))
    assert read.database is not None
    assert vars(read.database) == {
        "host": "db", "port": 5433, "name": "name", "user": "user", "password": "database", "sslmode": "prefer",
    }  # fmt: skip
    found = {key: getattr(read, key) for key in (
        "environment_name", "executor", "auth_type", "fernet_key", "web_secret", "api_server_url", "queue_url",
        "queue_endpoint", "use_ssl", "region", "aws_endpoint", "dags_use_endpoint", "home", "run_dir", "cache_dir", "base_set",
        "max_plugins_bytes", "allow_failed_requirements", "resolver", "workspace", "web_port", "web_url", "hostname",
        "options", "class_values", "metrics", "namespace",
    )}  # fmt: skip
    assert found == {
        "environment_name": "mine", "executor": "CeleryExecutor", "auth_type": "none", "fernet_key": "fernet",
        "web_secret": "web", "api_server_url": "http://api", "queue_url": "http://q/1/airflow-celery",
        "queue_endpoint": "http://aws", "use_ssl": False, "region": "eu-west-1", "aws_endpoint": "http://aws",
        "dags_use_endpoint": False, "home": Path("/h"), "run_dir": Path("/run"), "cache_dir": Path("/c"),
        "base_set": Path("/b"), "max_plugins_bytes": 77, "allow_failed_requirements": True, "resolver": "pip",
        "workspace": True, "web_port": 8081, "web_url": "http://web", "hostname": "here",
        "options": {"AIRFLOW__CORE__PARALLELISM": "9"},
        "class_values": {"class_worker_autoscale": "10,0", "class_triggers": "125", "class_api_workers": "1",
                         "class_parallelism": "150", "class_parsing_processes": "3"},
        "metrics": False, "namespace": "",
    }  # fmt: skip
    arn = "arn:aws:logs:eu-west-1:000000000000:log-group:airflow-mine-{}"
    assert read.logs["WORKER"] == LogTarget(arn.format("Worker"), True, "ERROR")
    assert read.logs["TRIGGERER"].arn == read.logs["SCHEDULER"].arn == arn.format("Scheduler")
    assert read.version.airflow == "2.10.3"


def test_each_kind_of_log_follows_its_own_setting(tmp_path: Path) -> None:
    kinds = {"DagProcessing": "DAGPROCESSOR", "Scheduler": "SCHEDULER", "Task": "TASK", "Webserver": "WEBSERVER", "Worker": "WORKER"}  # fmt: skip
    for key, source in kinds.items():
        text = f"LoggingConfiguration: {{{key}Logs: {{Enabled: false, LogLevel: CRITICAL}}}}\n"
        logs = read_inputs("worker", started(tmp_path, text)).logs
        told = {name for name, target in logs.items() if (target.enabled, target.level) == (False, "CRITICAL")}
        assert told == {source, *(["TRIGGERER"] if source == "SCHEDULER" else [])}


def test_what_differs_between_components_and_engines(tmp_path: Path) -> None:
    given = started(tmp_path, "{}\n", extra={"PATH": "/x", "AWS_REGION": "lost"})
    assert (given["PATH"], given["AWS_REGION"]) == ("/x", "us-east-1")
    assert (given["MWAA_LOCAL__COMPONENT"], given["MWAA_LOCAL__WEB_URL"]) == ("worker", "http://web")
    assert started(tmp_path, "{}\n", "migrate-db")["MWAA_LOCAL__WEB_URL"] == ""
    assert json.loads(given["MWAA_LOCAL__WORKFLOW"]) == {
        "dags": str(tmp_path / "dags"), "plugins": str(tmp_path / "plugins"),
        "requirements": str(tmp_path / "requirements/requirements.txt"),
        "startup_script": str(tmp_path / "startup/startup.sh"),
    }  # fmt: skip
    assert (given["AIRFLOW__API__HOST"], given["AIRFLOW__API__PORT"]) == ("127.0.0.1", "8081")
    old = started(tmp_path, "AirflowVersion: 2.10.3\n")
    assert old["AIRFLOW__WEBSERVER__WEB_SERVER_HOST"] == "127.0.0.1"
    assert old["AIRFLOW__WEBSERVER__WEB_SERVER_PORT"] == "8081"
    image = started(tmp_path, "{}\n", workflow=False, aws_endpoint="https://aws", namespace="{}")
    assert not {"MWAA_LOCAL__WORKFLOW", "AIRFLOW__API__HOST", "AIRFLOW__API__PORT"} & set(image)
    assert (image["MWAA__SQS__USE_SSL"], image["MWAA_LOCAL__NAMESPACE"]) == ("true", "{}")
    assert (image["MWAA__SQS__CREATE_QUEUE"], image["MWAA_LOCAL_RUNNER"]) == ("false", "true")
