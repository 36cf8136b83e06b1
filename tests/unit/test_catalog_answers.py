"""What the catalog answers when asked, against rows written here by hand: a table's file and its reader are two things."""

from __future__ import annotations

import pytest

from mwaa_local import catalog
from mwaa_local.catalog import (
    _data,
    airflow_names,
    aws_services,
    image_tools,
    images,
    packaging_facts,
    parsing,
    system_libraries,
    upgrade,
)
from mwaa_local.catalog.airflow_defaults import airflow_defaults
from mwaa_local.errors import DefinitionError

# -- versions ----------------------------------------------------------------------------------------------------------


def test_the_newest_version_is_the_default_and_names_come_newest_first() -> None:
    names = catalog.version_names()
    assert (catalog.default_version(), names[0]) == ("3.2.1", "3.3.1")
    assert names.index("2.11.0") < names.index("2.10.3"), "by number and not by text"


@pytest.mark.parametrize("name", ["2.1", "v3.2.1", "", "9.9.9"])
def test_an_unknown_version_names_the_known_ones(name: str) -> None:
    with pytest.raises(DefinitionError, match="is not known") as caught:
        catalog.version(name)
    assert "3.2.1" in caught.value.why and "mwaa-local versions" in caught.value.hint


def test_a_version_knows_itself() -> None:
    one = catalog.version("2.10.3")
    assert (one.airflow, one.series, one.digits, one.python) == ("2.10.3", "2", "2103", "3.11")
    assert catalog.version("3.2.1").series == "3"
    assert one.matches("<3") and one.matches("") and not one.matches(">=3") and not one.matches(">2.10.3")
    assert (
        _data.applies("", "2.10.3") and _data.applies("==2.10.3", "2.10.3") and not _data.applies("!=2.10.3", "2.10.3")
    )


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "major", "found"),
    [
        ("core.check_slas", 3, ("core.check_slas", "", False)),
        ("core.dag_file_processor_timeout", 3, ("core.dag_file_processor_timeout", "dag_processor.dag_file_processor_timeout", True)),
        ("core.dataset_manager_class", 3, ("core.dataset_manager_class", "core.asset_manager_class", False)),
        ("core.check_slas", 4, ("core.check_slas", "", False)),
        ("core.check_slas", 2, None),
        ("api.base_url", 2, ("api.base_url", "webserver.base_url", False)),
        ("api.base_url", 3, None),
        ("api.base_url", 1, None),
        ("core.parallelism", 2, None),
        ("core.parallelism", 3, None),
    ],
)  # fmt: skip
def test_options_of_the_other_major(name: str, major: int, found: tuple[str, str, bool] | None) -> None:
    change = upgrade.foreign_option(name, f"{major}.1.0")
    assert (change and (change.name, change.other, change.still_read)) == found


@pytest.mark.parametrize(
    ("version", "option", "names"),
    [
        ("3.2.1", "api.base_url", ("api.base_url", "webserver.base_url")),
        ("3.2.1", "webserver.base_url", ("api.base_url", "webserver.base_url")),
        ("3.2.1", "core.parallelism", ("core.parallelism",)),
        ("2.10.3", "core.dag_concurrency", ("core.max_active_tasks_per_dag", "core.dag_concurrency")),
        ("2.10.3", "core.max_active_tasks_per_dag", ("core.max_active_tasks_per_dag", "core.dag_concurrency")),
    ],
)
def test_under_which_names_an_option_is_looked_up(version: str, option: str, names: tuple[str, ...]) -> None:
    assert airflow_names.option_names(version).names(option) == names


def test_a_renamed_section_leads_both_ways() -> None:
    names = airflow_names.OptionNames({}, {"metrics": "scheduler"}, {}, frozenset())
    assert names.names("metrics.statsd_on") == ("metrics.statsd_on", "scheduler.statsd_on")
    assert names.names("scheduler.statsd_on") == ("metrics.statsd_on", "scheduler.statsd_on")


@pytest.mark.parametrize(
    ("option", "variable"),
    [
        ("core.parallelism", "AIRFLOW__CORE__PARALLELISM"),
        ("common.io.xcom_objectstorage_path", "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH"),
        ("aws_batch_executor.region_name", "AIRFLOW__AWS_BATCH_EXECUTOR__REGION_NAME"),
    ],
)
def test_options_and_variables(option: str, variable: str) -> None:
    assert airflow_names.variable_of(option) == variable
    assert airflow_names.option_of(variable) == option
    assert airflow_names.variable_of("PATH") == "PATH" == airflow_names.option_of("PATH")
    assert airflow_names.option_of("AIRFLOW__CORE") == "core"


def test_secrets_may_come_from_a_command() -> None:
    sensitive = airflow_names.option_names("2.10.3").sensitive
    assert {"core.fernet_key", "celery.broker_url", "smtp.smtp_password"} <= sensitive
    assert "core.parallelism" not in sensitive


def test_airflows_own_defaults() -> None:
    assert airflow_defaults("3.2.1")["core.parallelism"] == "32" == airflow_defaults("2.10.3")["core.parallelism"]
    assert airflow_defaults("3.2.1")["core.fernet_key"] == "", "made up anew in each process"
    assert "webserver.web_server_port" in airflow_defaults("2.10.3")
    assert "webserver.web_server_port" not in airflow_defaults("3.2.1")


# -- code --------------------------------------------------------------------------------------------------------------


def test_what_is_gone_from_airflow_3() -> None:
    assert upgrade.removed_dag_arguments()["schedule_interval"] == "schedule"
    assert upgrade.removed_operator_arguments()["task_concurrency"] == "max_active_tis_per_dag"
    assert upgrade.idle_arguments()["sla"] == "deadline alerts"
    assert upgrade.removed_context_keys()["execution_date"] == "logical_date"
    assert upgrade.database_calls()["DagRun.find"] == "the REST API"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("airflow.utils.dates.days_ago", ("airflow.utils.dates.days_ago", "a fixed start_date: datetime(2024, 1, 1)")),
        ("airflow.operators.bash_operator", ("airflow.operators.bash_operator", "airflow.providers.standard.operators.bash")),
        ("airflow.operators.bash_operator.BashOperator", ("airflow.operators.bash_operator", "airflow.providers.standard.operators.bash")),
        ("airflow.contrib.hooks.x.Y", ("airflow.contrib", "the matching provider package")),
        ("airflow.operators", None),
        ("airflow", None),
        ("airflow.models.DAG", None),
        ("os.path", None),
    ],
)  # fmt: skip
def test_imports_that_are_gone(name: str, found: tuple[str, str] | None) -> None:
    assert upgrade.removed_import(name) == found


def test_plugin_attributes() -> None:
    assert upgrade.plugin_attributes("gone") == {"operators", "hooks", "sensors", "executors", "ti_deps"}
    assert upgrade.plugin_attributes("v2_gone") == {"operators", "sensors"}
    assert upgrade.plugin_attributes("dropped") == {"admin_views", "menu_links"}


# -- packages and images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("airflow", "first", "last"),
    [("2.8.1", "3.8", "3.11"), ("2.9.0", "3.8", "3.12"), ("2.11.0", "3.9", "3.12"), ("3.1.0", "3.10", "3.13"), ("3.2.1", "3.10", "3.14")],
)  # fmt: skip
def test_pythons_of_airflow(airflow: str, first: str, last: str) -> None:
    found = packaging_facts.supported_pythons(airflow)
    assert (found[0], found[-1]) == (first, last)


def test_where_the_images_constraints_differ_from_airflows() -> None:
    """spec/10 section 4.5."""
    assert packaging_facts.constraint_edits("3.2.1") == {"apache-airflow-providers-openlineage": "2.16.0"}
    assert packaging_facts.constraint_edits("2.10.3") == {}
    facts = packaging_facts.packaging_facts()
    assert "linux" in facts.target_platform and facts.constraints_file and facts.essential_file


def test_images() -> None:
    assert images.base_image("al2023", catalog.version("3.2.1")) == "amazonlinux:2023"
    patch = catalog.version("2.10.3").python_patch
    assert images.base_image("debian", catalog.version("2.10.3")) == f"python:{patch}-slim-bookworm"
    assert images.postgres_image().startswith("postgres:15.")


@pytest.mark.parametrize(
    ("command", "words", "fetches"),
    [
        ("yum", ["install", "x"], True), ("yum", ["list"], False), ("pip", ["install", "x"], True), ("pip", ["list"], False),
        ("curl", [], True), ("curl", ["--version"], True), ("git", ["status"], False), ("git", ["clone", "x"], True),
        ("echo", ["install"], False), ("aws", ["s3", "ls"], True),
    ],
)  # fmt: skip
def test_commands_that_fetch(command: str, words: list[str], fetches: bool) -> None:
    assert image_tools.needs_network(command, words) is fetches


def test_commands_of_the_image() -> None:
    """spec/10 section 5.4."""
    assert {"tar", "wget", "xz", "which"} <= image_tools.absent_tools().keys()
    one = image_tools.absent_tools()["wget"]
    assert (one.command, one.package) == ("wget", "wget") and "curl" in one.hint
    assert not set(image_tools.present_tools()) & image_tools.absent_tools().keys()


def test_needs_of_packages() -> None:
    needs = system_libraries.system_needs()
    assert (needs["psycopg2"].package, needs["psycopg2"].needs, needs["psycopg2"].when, needs["psycopg2"].present) == (
        "psycopg2", "libpq headers", "build", True,
    )  # fmt: skip
    assert {item.when for item in needs.values()} == {"build", "run"}
    assert any(not item.present for item in needs.values())


# -- services ----------------------------------------------------------------------------------------------------------


def test_services_by_what_may_be_asked_of_them() -> None:
    found = aws_services.aws_services()
    kinds = {name: found[name].kind for name in ("s3", "acm", "codebuild", "airflow")}
    assert kinds == {"s3": "works", "acm": "pretended", "codebuild": "containers", "airflow": "masked"}
    asked = {name: found[name].may_be_asked_for for name in ("s3", "sqs", "acm", "codebuild", "airflow", "ec2", "glue")}
    assert asked == {
        "s3": False, "sqs": False, "acm": True, "codebuild": True, "airflow": False, "ec2": True, "glue": True,
    }  # fmt: skip
    assert found["ec2"].refused_actions["RunInstances"] == "starts no machine"
    assert found["s3"].refused_actions == {}
    assert list(found) == sorted(
        found, key=lambda name: (["works", "pretended", "containers", "masked"].index(found[name].kind), name)
    )
    gateway, interface = aws_services.vpc_endpoint_services()
    assert "s3" in gateway and "sqs" in interface


@pytest.mark.parametrize(("major", "engine", "syntax"), [(2, "re2", "regexp"), (3, "re", "glob"), (4, "re", "glob")])
def test_how_ignore_files_are_read(major: int, engine: str, syntax: str) -> None:
    found = parsing.parsing(f"{major}.1.0")
    assert (found.ignore_engine, found.ignore_syntax) == (engine, syntax)
    assert (found.dagbag_import_timeout, found.dag_file_processor_timeout) == (30, 50)
