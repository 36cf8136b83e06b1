"""The layers of a component's environment, against the tables of spec/10 section 2."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runtime_support import ENDPOINT, QUEUE, inputs, variables

from mwaa_local.catalog import reserved_variables
from mwaa_local.catalog.airflow_defaults import airflow_defaults
from mwaa_local.catalog.airflow_names import option_of, variable_of
from mwaa_local.errors import DefinitionError
from mwaa_local.runtime import environment
from mwaa_local.runtime.airflow_options import as_airflow_reads
from mwaa_local.runtime.inputs import RuntimeInputs
from mwaa_local.runtime.reading import read_inputs

VERSIONS = ("3.2.1", "2.10.3")
ROWS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "runtime_data" / "configuration_rows.toml").read_text(encoding="utf-8")
)["row"]
CASES = [(version, row) for row in ROWS for version in row.get("versions", VERSIONS)]
LAYER = {"2.3": environment.ESSENTIAL, "2.4": environment.OPINIONATED}


def _case(version: str, row: dict[str, Any], **more: Any) -> RuntimeInputs:
    when = row.get("when", "")
    given = {
        "mwaa-iam": {"MWAA__CORE__AUTH_TYPE": "mwaa-iam"},
        "none": {"MWAA__CORE__AUTH_TYPE": "none"},
        "metrics": {"MWAA__CLOUDWATCH_METRICS_INTEGRATION__ENABLED": "true"},
        "": {},
    }[when]
    return inputs("worker", version, **given, **more)


@pytest.mark.parametrize(("version", "row"), CASES, ids=lambda case: case if isinstance(case, str) else case["name"])
def test_every_row_of_the_tables_is_effective(version: str, row: dict[str, Any]) -> None:
    merged = environment.effective(_case(version, row))
    value = merged.values[row["name"]]
    if "json" in row:
        assert json.loads(value.value) == row["json"]
    else:
        assert value.value == row.get("by_version", {}).get(version, row.get("value"))
    assert value.layer == LAYER.get(row["section"], value.layer)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_row_beyond_the_tables(version: str) -> None:
    """What MWAA forces or prefers is exactly what the tables list, so a row too many is found as well."""
    expected = {name for given, row in CASES if given == version for name in [row["name"]]}
    expected |= {variable_of(name) for name in airflow_defaults(version) if name.startswith("metrics.")}
    found = set()
    for when in ({}, {"MWAA__CORE__AUTH_TYPE": "mwaa-iam"}, {"MWAA__CORE__AUTH_TYPE": "none"}):
        merged = environment.effective(
            inputs("worker", version, **when, MWAA__CLOUDWATCH_METRICS_INTEGRATION__ENABLED="true")
        )
        found |= {
            value.name
            for value in merged.values.values()
            if value.layer in (environment.ESSENTIAL, environment.OPINIONATED)
        }
    assert found <= expected


@pytest.mark.parametrize(("version", "row"), [case for case in CASES if case[1]["section"] == "2.3"], ids=str)
def test_essential_rows_cannot_be_overridden(version: str, row: dict[str, Any]) -> None:
    name = row["name"]
    given = _case(version, row)
    before = environment.effective(given).values[name].value
    tried = replace(given, options={name: "mine"} if name != "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG" else {name: "{}"})
    exports = {**environment.script_environment(tried), name: "scripted"}
    assert environment.effective(tried, exports).values[name].value == before


@pytest.mark.parametrize(("version", "row"), [case for case in CASES if case[1]["section"] == "2.4"], ids=str)
def test_opinionated_rows_give_way_to_script_and_option(version: str, row: dict[str, Any]) -> None:
    name = row["name"]
    given = _case(version, row)
    exports = {**environment.script_environment(given), name: "scripted"}
    assert environment.effective(given, exports).values[name].value == "scripted"
    optioned = replace(given, options={name: "optioned"})
    value = environment.effective(optioned, exports).values[name]
    assert value.value == "optioned"
    assert [lost.layer for lost in value.overrode] == ["opinionated", "startup"]


def test_precedence_with_one_probe_per_layer() -> None:
    """spec/10 section 2.2: each layer beats the one below it."""
    given = inputs(
        options={"OPTION_BEATS_SCRIPT": "option", "AWS_REGION": "option", "AIRFLOW__CORE__EXECUTOR": "option"},
        PLAIN="container",
        AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES="container",
        SCRIPT_BEATS="container",
    )
    exports = {
        **environment.script_environment(given),
        "SCRIPT_BEATS": "script",
        "OPTION_BEATS_SCRIPT": "script",
        "NEW": "script",
    }
    del exports["PLAIN"]  # unset has no effect
    found = environment.effective(given, exports).values
    assert found["PLAIN"].value == "container"
    assert found["AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES"].value == "proxy,proxies"
    assert (found["SCRIPT_BEATS"].value, found["SCRIPT_BEATS"].layer) == ("script", "startup")
    assert found["NEW"].value == "script"
    assert (found["OPTION_BEATS_SCRIPT"].value, found["OPTION_BEATS_SCRIPT"].layer) == ("option", "options")
    assert (found["AWS_REGION"].value, found["AWS_REGION"].layer) == ("us-east-1", "protected")
    assert (found["AIRFLOW__CORE__EXECUTOR"].value, found["AIRFLOW__CORE__EXECUTOR"].layer) == (
        "CeleryExecutor",
        "essential",
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_every_reserved_variable_is_put_back(version: str) -> None:
    """spec/04 section 9.1: no error, MWAA's own value, or none where MWAA has none."""
    given = inputs("scheduler", version)
    before = environment.effective(given).variables
    names = {variable.name for variable in reserved_variables(version)}
    exports = {**environment.script_environment(given), **dict.fromkeys(names, "mine"), "ENVIRONMENT_STAGE": "dev"}
    after = environment.effective(given, exports)
    assert {name: after.variables.get(name) for name in names} == {name: before.get(name) for name in names}
    assert set(after.restored) == names
    assert after.variables["ENVIRONMENT_STAGE"] == "dev"


def test_an_option_may_set_what_a_script_may_not() -> None:
    given = inputs(options={"AIRFLOW__CORE__PARALLELISM": "7"})
    exports = {**environment.script_environment(given), "AIRFLOW__CORE__PARALLELISM": "99"}
    merged = environment.effective(given, exports)
    assert merged.values["AIRFLOW__CORE__PARALLELISM"].value == "7"
    assert merged.values["AIRFLOW__CORE__PARALLELISM"].overrode[0].value == "38"


def test_the_script_sees_options_and_secrets() -> None:
    seen = environment.script_environment(inputs(options={"AIRFLOW__FOO__USER": "bob"}))
    assert seen["AIRFLOW__FOO__USER"] == "bob"
    assert seen["AIRFLOW__CORE__FERNET_KEY"] == "fernet"
    assert seen["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("postgresql+psycopg2://airflow:pass@")
    assert seen["MWAA_AIRFLOW_COMPONENT"] == "worker"


def test_migrate_db_drops_all_options_but_one() -> None:
    options = {"AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": "9", "AIRFLOW__CORE__PARALLELISM": "9"}
    found = environment.effective(inputs("migrate-db", options=options)).variables
    assert found["AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT"] == "9"
    assert found["AIRFLOW__CORE__PARALLELISM"] == "38"


def test_the_captured_environment_as_a_whole_changes_nothing_by_itself() -> None:
    given = inputs()
    exports = {**environment.script_environment(given), "SHLVL": "1", "_": "/usr/bin/env"}
    assert environment.effective(given, exports) == environment.effective(given)


def test_protected_names_the_container_lacks_may_be_introduced() -> None:
    given = inputs(options={"WATCHTOWER_VERSION": "9"})
    assert environment.effective(given).variables["WATCHTOWER_VERSION"] == "9"


def test_extra_celery_config_keeps_the_users_other_keys() -> None:
    """spec/10 section 6.2."""
    name = "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"
    mine = json.dumps({"task_soft_time_limit": 5, "broker_transport_options": {"region": "mars"}})
    given = inputs(options={name: mine}, **{name: '{"worker_max_tasks_per_child": 3, "task_soft_time_limit": 1}'})
    found = json.loads(environment.effective(given).variables[name])
    assert found["task_soft_time_limit"] == 5
    assert found["worker_max_tasks_per_child"] == 3
    assert found["broker_transport_options"]["region"] == "us-east-1"
    broken = replace(given, options={name: "not json"})
    assert json.loads(environment.effective(broken).variables[name])["worker_max_tasks_per_child"] == 3


def test_extra_celery_config_equals_what_airflows_side_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sides that may not import each other must agree."""
    from mwaa_airflow import celery_options

    for key, value in {"AIRFLOW_VERSION": "3.2.1", "MWAA__SQS__QUEUE_URL": QUEUE, "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("MWAA__SQS__USE_SSL", "false")
    ours = json.loads(environment.effective(inputs()).variables["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])
    assert ours == celery_options.extra_celery_config((3, 2, 1))


@pytest.mark.parametrize("version", VERSIONS)
def test_locked_options_stay_false(version: str) -> None:
    options = {"AIRFLOW__CORE__MULTI_TEAM": "True", "AIRFLOW__TRIGGERER__QUEUES_ENABLED": "True"}
    found = environment.effective(inputs(version=version, options=options)).variables
    for name in options:
        assert found[name] == ("False" if version == "3.2.1" else "True")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("integration", ["true", "false"])
def test_the_whole_metrics_section_is_forced(version: str, integration: str) -> None:
    """spec/10 sections 2.3 and 7.8: the user's metric options go to files for the bridge, not to Airflow."""
    names = [variable_of(name) for name in airflow_defaults(version) if name.startswith("metrics.")]
    old = {"AIRFLOW__SCHEDULER__STATSD_HOST": "old", "AIRFLOW__METRICS__STATSD_ALLOW_LIST": "old"}
    given = inputs(
        version=version,
        options=dict.fromkeys(names, "mine") | old | {"AIRFLOW__METRICS__METRICS_BLOCK_LIST": "dag."},
        MWAA__CLOUDWATCH_METRICS_INTEGRATION__ENABLED=integration,
    )
    exports = {**environment.script_environment(given), **dict.fromkeys(names, "scripted")}
    merged = environment.effective(given, exports).values
    read = as_airflow_reads(merged, version)
    on = {"AIRFLOW__METRICS__STATSD_ON": "True"} if integration == "true" else {}
    assert {name: merged[name].value for name in names} == {
        **{name: airflow_defaults(version)[option_of(name)] for name in names},
        **on,
    }
    assert {read[name].layer for name in names} == {"essential"}
    assert [(lost.layer, lost.value) for lost in read["AIRFLOW__METRICS__STATSD_HOST"].overrode][-1] == (
        "options",
        "mine",
    )
    files = environment.metrics_files(given)
    assert files == {"statsd_on.txt": "mine", "metrics_block_list.txt": "dag.", "metrics_allow_list.txt": "mine"}


def test_class_values_are_container_values() -> None:
    found = environment.effective(inputs()).values
    assert (found["AIRFLOW__CELERY__WORKER_AUTOSCALE"].value, found["AIRFLOW__CELERY__WORKER_AUTOSCALE"].layer) == (
        "5,0",
        "container",
    )
    assert found["AIRFLOW__TRIGGERER__CAPACITY"].value == "60"
    unknown = environment.effective(inputs(MWAA_LOCAL__ENVIRONMENT_CLASS="", MWAA_LOCAL__PARALLELISM="")).values
    assert "AIRFLOW__CELERY__WORKER_AUTOSCALE" not in unknown
    assert "AIRFLOW__CORE__PARALLELISM" not in unknown


def test_the_environments_name_is_there_and_may_be_replaced() -> None:
    """spec/06 E4: the guide's sample fails without MWAA_ENV_NAME."""
    given = inputs()
    assert environment.effective(given).values["MWAA_ENV_NAME"].value == "local"
    exports = {**environment.script_environment(given), "MWAA_ENV_NAME": "mine"}
    assert environment.effective(given, exports).values["MWAA_ENV_NAME"].value == "mine"
    assert environment.service_variables(given)["MWAA_ENV_NAME"] == "local"


def test_another_image_is_given_what_the_service_injects() -> None:
    """With them as plain variables, the effective values are the same."""
    given = inputs()
    injected = environment.service_variables(given)
    assert injected["AIRFLOW__CELERY__WORKER_AUTOSCALE"] == "5,0"
    assert injected["AIRFLOW__LOGGING__REMOTE_LOGGING"] == "True"
    assert injected["AWS_ENDPOINT_URL"] == ENDPOINT
    again = read_inputs("worker", {**variables(), **injected, "MWAA_LOCAL__ENVIRONMENT_CLASS": ""})
    assert environment.effective(again).variables | {"MWAA_LOCAL__ENVIRONMENT_CLASS": ""} == {
        **environment.effective(given).variables,
        "MWAA_LOCAL__ENVIRONMENT_CLASS": "",
    }


def test_dag_code_reaches_the_endpoint_without_naming_it() -> None:
    found = environment.effective(inputs()).variables
    assert found["AWS_ENDPOINT_URL"] == ENDPOINT
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == ("test", "test")
    assert (found["AWS_REGION"], found["AWS_DEFAULT_REGION"]) == ("us-east-1", "us-east-1")
    real = environment.effective(inputs(MWAA_LOCAL__AWS="my-profile", AWS_PROFILE="my-profile")).variables
    assert "AWS_ENDPOINT_URL" not in real
    assert real["AWS_PROFILE"] == "my-profile"


@pytest.mark.parametrize(
    "name", ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DISABLE_HOST_PREFIX_INJECTION"]
)
def test_the_users_own_address_and_keys_win_each_by_itself(name: str) -> None:
    before = environment.effective(inputs()).variables
    found = environment.effective(inputs(**{name: "the user's"})).variables
    assert found[name] == "the user's"
    others = {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DISABLE_HOST_PREFIX_INJECTION"}
    assert {other: found[other] for other in others - {name}} == {other: before[other] for other in others - {name}}


def test_local_addresses_are_not_behind_the_users_proxy() -> None:
    found = environment.effective(inputs(HTTPS_PROXY="http://proxy:3128", NO_PROXY="corp.example")).variables
    assert found["HTTPS_PROXY"] == "http://proxy:3128"
    assert found["NO_PROXY"] == found["no_proxy"] == "corp.example,localhost,127.0.0.1"
    assert "NO_PROXY" not in environment.effective(inputs()).variables


def test_task_logs_are_read_back_only_when_they_are_published() -> None:
    assert environment.effective(inputs()).variables["AIRFLOW__LOGGING__REMOTE_LOGGING"] == "True"
    off = environment.effective(inputs(MWAA__LOGGING__AIRFLOW_TASK_LOGS_ENABLED="false")).variables
    assert "AIRFLOW__LOGGING__REMOTE_LOGGING" not in off


def test_secrets_are_known_by_name() -> None:
    values = environment.effective(inputs()).values
    secret = {name for name, value in values.items() if value.secret}
    assert {
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__CELERY__RESULT_BACKEND",
        "MWAA__DB__CREDENTIALS",
        "MWAA__CORE__FERNET_KEY",
        "MWAA__WEBSERVER__SECRET",
    } <= secret
    assert "AIRFLOW__SECRETS__BACKEND_KWARGS" not in secret
    assert "airflow:pass@" not in repr(environment.effective(inputs()))


def test_a_missing_fernet_key_leaves_its_rows_out() -> None:
    found = environment.effective(inputs(MWAA__CORE__FERNET_KEY="")).variables
    assert "AIRFLOW__CORE__FERNET_KEY" not in found
    assert "AIRFLOW__API_AUTH__JWT_SECRET" not in found


class TestInputs:
    """spec/10 section 2.1."""

    def test_secrets_file_stands_in(self, tmp_path: Path) -> None:
        kept = {"fernet_key": "k", "web_secret": "w", "database_password": "p"}
        (tmp_path / "secrets.json").write_text(json.dumps(kept), encoding="utf-8")
        given = variables(MWAA_LOCAL__SECRETS_FILE=str(tmp_path / "secrets.json"))
        given |= {"MWAA__CORE__FERNET_KEY": "", "MWAA__WEBSERVER__SECRET": "", "MWAA__DB__CREDENTIALS": ""}
        found = read_inputs("worker", {**given, "MWAA__DB__POSTGRES_USER": "u"})
        assert (found.fernet_key, found.web_secret) == ("k", "w")
        assert found.database is not None
        assert (found.database.user, found.database.password) == ("u", "p")

    def test_given_secrets_win_over_the_file(self) -> None:
        found = inputs(MWAA_LOCAL__SECRETS_FILE="/does/not/exist")
        assert found.fernet_key == "fernet"

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"MWAA__CORE__EXECUTOR_TYPE": "SequentialExecutor"}, "Executor type SequentialExecutor is not supported."),
            ({"MWAA__SQS__QUEUE_URL": "sqs://x"}, "MWAA__SQS__QUEUE_URL must be the http(s) URL"),
            ({"AWS_REGION": ""}, "Region must be specified."),
            ({"AIRFLOW_VERSION": ""}, "AIRFLOW_VERSION is not set"),
            ({"AIRFLOW_VERSION": "1.0"}, "is not known"),
            ({"MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS": '{"AIRFLOW__CORE__PARALLELISM": 32}'}, "is not a text"),
        ],
    )
    def test_what_keeps_a_container_from_starting(self, change: dict[str, str], words: str) -> None:
        with pytest.raises(DefinitionError, match=words.replace("(", r"\(").replace(")", r"\)")):
            inputs(**change)

    @pytest.mark.parametrize("component", ["scheduler", "worker", "webserver"])
    def test_a_component_does_not_start_without_its_own_log_level(self, component: str) -> None:
        """spec/10 section 1.3 step 4; the levels of the other sources are INFO where they are missing."""
        given = variables()
        levels = {name for name in given if name.endswith("_LOG_LEVEL")}
        own = f"MWAA__LOGGING__AIRFLOW_{component.upper()}_LOG_LEVEL"
        with pytest.raises(DefinitionError, match=f"{own} is not set"):
            read_inputs(component, {name: value for name, value in given.items() if name != own})
        left = {name: value for name, value in given.items() if name not in levels or name == own}
        assert {target.level for target in read_inputs(component, left).logs.values()} == {"INFO"}
        bare = {name: value for name, value in given.items() if name not in levels}
        assert read_inputs("migrate-db", bare).component == "migrate-db"

    def test_unreadable_json_is_ignored_with_a_warning(self) -> None:
        found = inputs(MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS="{", MWAA__WEBSERVER__SECRET="{}")
        assert found.options == {}
        assert found.web_secret is None
        assert len(found.warnings) == 2

    def test_sslmode_defaults_to_require(self) -> None:
        found = inputs(MWAA__DB__POSTGRES_SSLMODE="")
        assert found.database is not None
        assert found.database.url.endswith("?sslmode=require")

    def test_an_api_address_without_scheme_is_https(self) -> None:
        found = environment.effective(inputs(MWAA__CORE__API_SERVER_URL="web.example:8443")).variables
        assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "https://web.example:8443/execution"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("web.example:8443", "https://web.example:8443/execution"),
        ("https://web.example/", "https://web.example/execution"),
        ("http://127.0.0.1:8080//", "http://127.0.0.1:8080/execution"),
    ],
)
def test_the_execution_api_is_one_path_below_the_servers_address(given: str, wanted: str) -> None:
    made = inputs("worker", MWAA__CORE__API_SERVER_URL=given)
    variables = environment.effective(made, {}).variables
    assert variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == wanted


@pytest.mark.parametrize(
    ("version", "alone", "scripted"),
    [
        ("2.8.1", "{own}", "/mine:/more:{own}"),  # spec/09 section 10: honoured before 2.9.2; ours must stay
        ("2.9.2", "{home}/config:{home}/dags:{own}", "{home}/config:{home}/dags:{own}"),  # spec/10 section 0
        ("2.10.1", "{own}", "{own}"),
        ("3.2.1", "{own}", "{own}"),
    ],
)
def test_a_scripts_python_path_counts_before_2_9_and_never_hides_mwaas_own(
    version: str, alone: str, scripted: str
) -> None:
    given = inputs(version=version)
    names = {"home": given.visible_home, "own": given.python_folder}
    assert environment.effective(given).variables["PYTHONPATH"] == alone.format(**names)
    exports = {**environment.script_environment(given), "PYTHONPATH": "/mine:/more"}
    found = environment.effective(given, exports)
    assert found.variables["PYTHONPATH"] == scripted.format(**names)
    assert ("PYTHONPATH" in found.restored) is (version != "2.8.1")
