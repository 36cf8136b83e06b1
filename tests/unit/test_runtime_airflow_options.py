"""A component's options as Airflow reads them: under which name, expanded, replaced (the real Airflow: tests/contract)."""

from __future__ import annotations

import pytest
from runtime_support import inputs

from mwaa_local import catalog
from mwaa_local.catalog.airflow_names import option_names, variable_of
from mwaa_local.runtime import environment
from mwaa_local.runtime.airflow_options import as_airflow_reads, as_one_option

OLD_NAMES = [
    ("2.10.3", "core.dag_concurrency", "core.max_active_tasks_per_dag"),
    ("2.10.3", "scheduler.max_threads", "scheduler.parsing_processes"),
    ("3.2.1", "triggerer.default_capacity", "triggerer.capacity"),
    ("3.2.1", "scheduler.dag_dir_list_interval", "dag_processor.refresh_interval"),
    ("3.2.1", "webserver.workers", "api.workers"),
]


@pytest.mark.parametrize(("version", "old", "new"), OLD_NAMES)
def test_an_options_old_name_beats_what_the_service_sets(version: str, old: str, new: str) -> None:
    """Airflow reads an old name only while the new one is not set, so ours must not be."""
    plain = environment.effective(inputs(version=version)).values
    assert plain[variable_of(new)].layer == "container"
    assert variable_of(old) not in plain
    merged = environment.effective(inputs(version=version, options={variable_of(old): "77"})).values
    assert variable_of(new) not in merged
    read = as_airflow_reads(merged, version)[variable_of(new)]
    assert (read.value, read.layer, read.overrode[-1].layer) == ("77", "options", "container")
    assert f"set under its old name {old}" in read.reason
    again = as_airflow_reads(merged, version)[variable_of(old)]
    assert (again.value, again.reason) == ("77", f"the old name of {new}")


def test_a_scripts_old_name_beats_what_the_service_sets_too() -> None:
    given = inputs(version="3.2.1")
    exports = {**environment.script_environment(given), "AIRFLOW__TRIGGERER__DEFAULT_CAPACITY": "9"}
    merged = environment.effective(given, exports).values
    assert as_airflow_reads(merged, "3.2.1")["AIRFLOW__TRIGGERER__CAPACITY"].value == "9"


def test_both_names_given_the_new_one_is_read() -> None:
    options = {"AIRFLOW__TRIGGERER__DEFAULT_CAPACITY": "1", "AIRFLOW__TRIGGERER__CAPACITY": "2"}
    read = as_airflow_reads(environment.effective(inputs(options=options)).values, "3.2.1")
    assert read["AIRFLOW__TRIGGERER__CAPACITY"].value == read["AIRFLOW__TRIGGERER__DEFAULT_CAPACITY"].value == "2"


@pytest.mark.parametrize(
    ("version", "old", "new"),
    [
        ("3.2.1", "webserver.secret_key", "api.secret_key"),
        ("3.2.1", "core.sql_alchemy_conn", "database.sql_alchemy_conn"),
        ("2.10.3", "celery.default_queue", "operators.default_queue"),
        ("2.10.3", "admin.sensitive_variable_fields", "core.sensitive_var_conn_names"),
    ],
)
def test_what_mwaas_image_sets_beats_an_old_name(version: str, old: str, new: str) -> None:
    plain = environment.effective(inputs(version=version)).values[variable_of(new)].value
    merged = environment.effective(inputs(version=version, options={variable_of(old): "mine"})).values
    assert as_airflow_reads(merged, version)[variable_of(new)].value == plain


def test_values_are_expanded_and_replaced_as_airflow_does() -> None:
    options = {
        "AIRFLOW__SMTP__SMTP_USER": "$FOO-${FOO}-$NOWHERE",
        "FOO": "~/x",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": "~/logs",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket:getfqdn",
        "AIRFLOW__CORE__LOOP": "x$AIRFLOW__CORE__LOOP",
    }
    read = as_airflow_reads(environment.effective(inputs(version="2.10.3", options=options)).values, "2.10.3")
    assert read["AIRFLOW__SMTP__SMTP_USER"].value == "/usr/local/airflow/x-~/x-$NOWHERE"
    assert read["AIRFLOW__LOGGING__BASE_LOG_FOLDER"].value == "/usr/local/airflow/logs"
    assert read["AIRFLOW__CORE__HOSTNAME_CALLABLE"].value == "socket.getfqdn"
    assert read["FOO"].value == "~/x"


@pytest.mark.parametrize("version", catalog.version_names())
def test_a_name_leads_to_the_one_that_counts(version: str) -> None:
    names = option_names(version)
    assert len(set(names.renamed.values())) == len(names.renamed), "an old name has one new one"
    for new, old in names.renamed.items():
        assert names.names(old) == (new, old)
    assert names.names("foo.bar") == ("foo.bar",)


def test_a_renamed_section_counts_for_all_of_its_options() -> None:
    options = {"AIRFLOW__KUBERNETES__NAMESPACE": "mine"}
    merged = environment.effective(inputs(version="2.10.3", options=options)).values
    found = as_one_option("AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE", merged, "2.10.3")
    assert found is not None
    assert (found.value, found.reason) == ("mine", "set under its old name kubernetes.namespace")


def test_an_option_that_is_not_set_is_known_under_its_old_name_too() -> None:
    merged = environment.effective(inputs(version="3.2.1")).values
    found = as_one_option("AIRFLOW__WEBSERVER__EXPOSE_CONFIG", merged, "3.2.1")
    assert found is not None
    assert (found.name, found.value, found.layer) == ("AIRFLOW__WEBSERVER__EXPOSE_CONFIG", "False", "airflow")
    assert as_one_option("AIRFLOW__CORE__NOTHING", merged, "3.2.1") is None


def test_a_command_or_a_secret_stands_for_a_sensitive_option() -> None:
    options = {"AIRFLOW__SENTRY__SENTRY_DSN_CMD": "echo x", "AIRFLOW__CORE__PARALLELISM_CMD": "echo 3"}
    merged = environment.effective(inputs(version="2.10.3", options=options)).values
    read = as_airflow_reads(merged, "2.10.3")
    assert read["AIRFLOW__SENTRY__SENTRY_DSN"].value == "(what the command prints)"
    assert read["AIRFLOW__CORE__PARALLELISM"].layer == "container", "only what Airflow calls sensitive has a command"
