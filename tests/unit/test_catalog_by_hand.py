"""The catalog's figures, written a second time by hand from the spec: a changed figure must be changed in two places."""

from __future__ import annotations

import pytest
from runtime_support import inputs

from mwaa_local import catalog
from mwaa_local.catalog import is_protected, locked_options, protected_variables, reserved_variables
from mwaa_local.preflight import registry
from mwaa_local.runtime import environment

VERSIONS = ("3.2.1", "2.11.0", "2.10.3")

# spec/04 sections 1.1 and 1.2, spec/02 section 10.2: capacity, tasks, autoscale, triggers; vCPU and GB of web server, worker,
# scheduler and database.
CLASSES = {
    "mw1.micro": (25, 3, "3,0", 60, (1, 3), (1, 3), (1, 3), (2, 4)),
    "mw1.small": (50, 5, "5,0", 60, (1, 2), (1, 2), (1, 2), (2, 4)),
    "mw1.medium": (250, 10, "10,0", 125, (1, 2), (2, 4), (2, 4), (2, 8)),
    "mw1.large": (1000, 20, "20,0", 250, (2, 4), (4, 8), (4, 8), (2, 8)),
    "mw1.xlarge": (2000, 40, "40,0", 500, (4, 12), (8, 24), (8, 24), (4, 32)),
    "mw1.2xlarge": (4000, 80, "80,0", 1000, (8, 24), (16, 48), (16, 48), (8, 64)),
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_class(name: str) -> None:
    found = catalog.environment_class(name)
    sizes = [(size.vcpu, size.memory_gb) for size in (found.webserver, found.worker, found.scheduler, found.database)]
    assert (found.dag_capacity, found.tasks_per_worker, found.worker_autoscale, found.triggers, *sizes) == CLASSES[name]
    micro = name == "mw1.micro"
    counts = found.schedulers, found.webservers, found.workers
    # default minimum, default maximum, minimum, maximum
    assert [(c.default_minimum, c.default_maximum, c.minimum, c.maximum) for c in counts] == (
        [(1, 1, 1, 1)] * 3 if micro else [(2, 2, 2, 5), (2, 5, 2, 5), (1, 10, 1, 25)]
    )
    assert (found.autoscaling, found.shared_worker_scheduler) == (not micro, micro)


def test_there_are_six_classes() -> None:
    assert list(catalog.environment_classes()) == list(CLASSES)


def test_limits() -> None:
    found = catalog.limits()
    assert (found.startup_script_seconds, found.startup_script_patience_seconds) == (300, 5)  # spec/04 8.4, spec/10 3.1
    assert found.requirements_seconds == 540  # spec/10 section 4.1
    assert found.patience_seconds == 90  # spec/10 section 1.4
    assert found.visibility_timeout_seconds == 12 * 3600  # spec/10 section 6.1
    assert found.database_connect_timeout_seconds == 15  # spec/10 section 6.5
    assert found.max_workers_quota == 25  # spec/02 section 11.2
    assert found.plugins_zip_bytes == 1024**3  # spec/04 section 11.1
    assert found.custom_domain_characters == 255  # spec/01 section 9
    assert found.constraint_injected_from == "2.7.2"  # spec/04 section 12.1
    assert (found.home, found.python_path("3.12")) == ("/usr/local/airflow", "/usr/local/bin/python3.12")
    assert found.path == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # spec/10 section 2.5
    assert found.queue_prefix == "airflow-celery-"


def test_log_groups() -> None:
    """spec/08 section 3.1, spec/10 sections 2.1 and 7.1."""
    assert {kind.key: (kind.group("demo"), kind.source, kind.component) for kind in catalog.log_types()} == {
        "DagProcessingLogs": ("airflow-demo-DAGProcessing", "DAGPROCESSOR", "scheduler"),
        "SchedulerLogs": ("airflow-demo-Scheduler", "SCHEDULER", "scheduler"),
        "TaskLogs": ("airflow-demo-Task", "TASK", "worker"),
        "WebserverLogs": ("airflow-demo-WebServer", "WEBSERVER", "webserver"),
        "WorkerLogs": ("airflow-demo-Worker", "WORKER", "worker"),
    }


# spec/10 section 2.6.
PROTECTED = {
    "AIRFLOW_ENV_ID",
    "AIRFLOW_ENV_NAME",
    "AIRFLOW_HOME",
    "AIRFLOW_TASK_REVISION_ID",
    "AIRFLOW_VERSION",
    "AIRFLOW__AWS_MWAA__REDIRECT_URL",
    "JWT_PUBLIC_KEY",
    "AIRFLOW__WEBSERVER__BASE_URL",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "CUSTOMER_ACCOUNT_ID",
    "ECS_AGENT_URI",
    "ECS_CONTAINER_METADATA_URI",
    "ECS_CONTAINER_METADATA_URI_V4",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_EXECUTION_ENV",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "WATCHTOWER_VERSION",
    "USE_NON_CRITICAL_LOGGING",
}
PROTECTED_3 = {"AIRFLOW__API__BASE_URL", "AIRFLOW__CORE__DATABASE_ACCESS_ISOLATION"}
# The same section: what a script may change.
FREE = [
    "PATH",
    "LD_LIBRARY_PATH",
    "HOME",
    "AIRFLOW_CONSOLE_LOG_LEVEL",
    "MWAA_ESSENTIAL_CONSTRAINTS_FILE",
    "PIP_INDEX_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MWAA_LOCAL_RUNNER",
    "USE_IAM_CREDENTIALS",
    "AWS_TASK_EXEC_CREDENTIALS_RELATIVE_URI",
    "MWAA_DB_RETRY_COUNT",
]


@pytest.mark.parametrize("version", VERSIONS)
def test_protected_variables(version: str) -> None:
    expected = PROTECTED | (PROTECTED_3 if version.startswith("3") else set())
    assert set(protected_variables(version)) == expected
    assert all(is_protected(name, version) for name in (*expected, "MWAA__X", "MWAA_LOCAL__X"))
    assert [name for name in FREE if is_protected(name, version)] == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "name", sorted(PROTECTED | PROTECTED_3 | {"MWAA__CORE__AUTH_TYPE", "MWAA_LOCAL__AWS_ENDPOINT"})
)
def test_a_protected_variable_that_the_container_has_is_its_own_in_effect(version: str, name: str) -> None:
    """Neither a script nor an option changes it; 2.x does not protect what only 3.x knows."""
    has_one = name in ("AWS_EXECUTION_ENV", "AIRFLOW_VERSION")
    given = inputs("worker", version, **({} if has_one else {name: "the container's"}))
    before = environment.effective(given).variables
    exports = {**environment.script_environment(given), name: "mine"}
    after = environment.effective(given, exports).variables[name]
    if name in PROTECTED_3 and not version.startswith("3"):
        assert after == "mine"
    else:
        assert before[name] == after != "mine"


@pytest.mark.parametrize("name", FREE)
def test_what_is_not_protected_is_the_scripts(name: str) -> None:
    given = inputs("worker", "3.2.1", **{name: "the container's"})
    exports = {**environment.script_environment(given), name: "mine"}
    assert environment.effective(given, exports).variables[name] == "mine"


# spec/04 section 9.1, the 34 rows, with the spelling that Airflow reads beside a misprint.
RESERVED = {
    "MWAA_AIRFLOW_COMPONENT",
    "MWAA__AIRFLOW__COMPONENT",
    "AIRFLOW__WEBSERVER__SECRET_KEY",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW_HOME",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__CORE__LOAD_EXAMPLES",
    "AIRFLOW__METRICS__METRICS_BLOCK_LIST",
    "SQL_ALCHEMY_CONN",
    "AIRFLOW__CORE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__CELERY__DEFAULT_QUEUE",
    "AIRFLOW__OPERATORS__DEFAULT_QUEUE",
    "AIRFLOW_VERSION",
    "AIRFLOW_CONN_AWS_DEFAULT",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "PYTHONUNBUFFERED",
    "AIRFLOW__METRICS__STATSD_ALLOW_LIST",
    "AIRFLOW__METRICS__STATSD_ON",
    "AIRFLOW__METRICS__STATSD_HOST",
    "AIRFLOW__METRICS__STATSD_PORT",
    "AIRFLOW__METRICS__STATSD_PREFIX",
    "AIRFLOW__CELERY__WORKER_AUTOSCALE",
    "AIRFLOW__CORE__DAG_CONCURRENCY",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG",
    "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__SCHEDULER__PARSING_PROCESSES",
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT",
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__REGION",
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES",
    "AIRFLOW_SCHEDULER_ALLOWED_RUN_ID_PATTERN",
    "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN",
    "AIRFLOW__WEBSERVER__BASE_URL",
    "PYTHONPATH",
}
# The last paragraph of the same section: rows 9, 24 to 28 and 33 may be set through an option.
BY_OPTION = {
    "AIRFLOW__METRICS__METRICS_BLOCK_LIST": "metrics.metrics_block_list",
    "AIRFLOW__CELERY__WORKER_AUTOSCALE": "celery.worker_autoscale",
    "AIRFLOW__CORE__DAG_CONCURRENCY": "core.dag_concurrency",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "core.max_active_tasks_per_dag",
    "AIRFLOW__CORE__PARALLELISM": "core.parallelism",
    "AIRFLOW__SCHEDULER__PARSING_PROCESSES": "scheduler.parsing_processes",
    "AIRFLOW__WEBSERVER__BASE_URL": "webserver.base_url",
}


@pytest.mark.parametrize("version", VERSIONS)
def test_reserved_variables(version: str) -> None:
    found = reserved_variables(version)
    assert {variable.name for variable in found} == RESERVED
    assert {variable.name: variable.via_option for variable in found if variable.via_option} == BY_OPTION


def test_locked_options() -> None:
    """spec/04 section 5.4."""
    assert {(option.name, option.value) for option in locked_options("3.2.1")} == {
        ("core.multi_team", "False"),
        ("triggerer.queue_enabled", "False"),
        ("triggerer.queues_enabled", "False"),
    }
    assert locked_options("2.11.0") == locked_options("2.10.3") == ()


# A warning is what MWAA takes and what hurts later; an error is what MWAA refuses or what cannot work there.
SEVERITIES = {
    "INFO": "DAG019 REQ005 REQ019 REQ021",
    "WARNING": "DAG003 DAG006 DAG007 DAG010 DAG011 DAG012 DAG013 DAG014 DAG015 DAG020 DAG021 DAG022 DAG025 DEF007 DEF008"
    " DEF011 DEF013 DEF014 DEF016 DEF017 PLG004 PLG005 PLG006 PLG007 PLG011 PLG013 PLG017 REQ006 REQ007 REQ008 REQ009 REQ010"
    " REQ011 REQ012 REQ013 REQ014 REQ016 REQ018 REQ020 SUP003 SUP005 SUP008 SUP012 SUP013 SUP014 SUP016 SUP017 SUP019",
    "ERROR": "DAG001 DAG002 DAG004 DAG005 DAG008 DAG009 DAG016 DAG017 DAG018 DAG026 DEF001 DEF002 DEF003 DEF004 DEF005 DEF006"
    " DEF009 DEF010 DEF012 DEF015 DEF018 PLG001 PLG002 PLG003 PLG008 PLG009 PLG010 PLG012 PLG014 PLG015 PLG016 REQ001 REQ002"
    " REQ003 REQ004 REQ015 REQ017 SUP001 SUP002 SUP004 SUP006 SUP007 SUP009 SUP010 SUP011 SUP015 SUP018",
}


def test_severities_of_the_rules() -> None:
    found: dict[str, set[str]] = {}
    for rule in registry.rules():
        found.setdefault(rule.severity.name, set()).add(rule.id)
    assert found == {severity: set(ids.split()) for severity, ids in SEVERITIES.items()}
