"""The catalog's data files are whole and agree with each other."""

from __future__ import annotations

import re

import pytest
from packaging.version import Version as PackageVersion

from mwaa_local import catalog
from mwaa_local.errors import DefinitionError

# Version: essential pins, installed distributions, pins of Airflow's file (spec/10 sections 4.4, 0 and 4.5).
COUNTS = [
    ("2.9.2", 25, 186, 712), ("2.10.1", 25, 187, 716), ("2.10.3", 25, 189, 726), ("2.11.0", 24, 188, 723),
    ("2.11.2", 24, 189, 754), ("3.0.6", 25, 208, 796), ("3.2.1", 24, 211, 678), ("3.3.1", 22, 215, 696),
]  # fmt: skip
CONDITIONS = {"", "celery", "metrics", "mwaa_iam", "not_mwaa_iam", "auth_none", "workspace", "task_logs", "links"}


@pytest.mark.parametrize("name", catalog.version_names())
def test_every_version_is_whole(name: str) -> None:
    version = catalog.version(name)
    assert version.airflow == name
    assert version.packages["apache-airflow"] == name == version.essential["apache-airflow"]
    assert version.packages["watchtower"] == version.watchtower == version.essential["watchtower"]
    dates = [
        version.airflow_release,
        *filter(None, [version.mwaa_release]),
        version.image_built,
        *filter(None, [version.ended]),
    ]
    assert dates == sorted(dates)
    assert (version.ended is not None) == (version.offered == "ended") == (not version.is_supported)
    assert (version.mwaa_release is None) == (version.offered == "image")
    known = catalog.constraint_pins(name)
    assert known is not None
    assert known.python == version.python
    assert len(known.pins) > 300
    assert re.fullmatch("[0-9a-f]{64}", known.sha256)
    assert version.python_patch.startswith(version.python + ".")
    assert version.schema_heads["alembic_version"]
    assert set(version.source_only_packages) <= set(version.packages)
    for pin in (*version.packages.values(), *version.essential.values()):
        PackageVersion(pin)


def test_versions_are_newest_first_and_the_default_is_the_guides_newest() -> None:
    names = catalog.version_names()
    assert list(names) == sorted(names, key=PackageVersion, reverse=True)
    assert names[0] == "3.3.1"
    assert catalog.default_version() == "3.2.1", "the newest that the guide lists"
    with pytest.raises(DefinitionError, match=r"3\.2\.0"):
        catalog.version("3.2.0")


@pytest.mark.parametrize(("name", "essential", "packages", "pins"), COUNTS)
def test_counts_of_the_bill_of_materials(name: str, essential: int, packages: int, pins: int) -> None:
    version = catalog.version(name)
    assert len(version.essential) == essential
    unlisted = {"pip", "setuptools", "wcwidth"}
    assert len(set(version.packages) - unlisted) == packages
    known = catalog.constraint_pins(name)
    assert known is not None
    assert len(known.pins) == pins


@pytest.mark.parametrize(
    ("name", "autoscale", "triggers", "vcpu", "memory"),  # spec/04 section 1.1
    [
        ("mw1.micro", "3,0", 60, 1, 3),
        ("mw1.small", "5,0", 60, 1, 2),
        ("mw1.medium", "10,0", 125, 2, 4),
        ("mw1.large", "20,0", 250, 4, 8),
        ("mw1.xlarge", "40,0", 500, 8, 24),
        ("mw1.2xlarge", "80,0", 1000, 16, 48),
    ],
)
def test_classes(name: str, autoscale: str, triggers: int, vcpu: float, memory: float) -> None:
    found = catalog.environment_class(name)
    assert (found.worker_autoscale, found.triggers, found.worker.vcpu, found.worker.memory_gb) == (
        autoscale,
        triggers,
        vcpu,
        memory,
    )
    assert found.worker_autoscale == f"{found.tasks_per_worker},0"
    assert found.autoscaling == (name != "mw1.micro")


# What the runtime knows to put into a row; a misspelt one would leave the row out without a word.
PLACES = {
    "base_url", "broker_url", "class_api_workers", "class_parallelism", "class_parsing_processes", "class_triggers",
    "class_worker_autoscale", "component", "database_url", "environment_name", "execution_api_url", "executor",
    "extra_celery_config", "fernet_key", "fernet_secret", "python_folder", "queue_name", "task_log_group_arn",
    "version_digits", "visibility_timeout", "web_secret", "webserver_log_level",
}  # fmt: skip


@pytest.mark.parametrize("name", catalog.version_names())
def test_configuration_rows_have_known_layers_conditions_and_one_value_each(name: str) -> None:
    rows = catalog.configuration_rows(name)
    seen: set[tuple[str, str, str]] = set()
    for row in rows:
        assert row.layer in ("container", "opinionated", "essential"), row
        assert row.when in CONDITIONS, row
        assert row.source and row.reason, row
        assert (row.name, row.layer, row.when) not in seen, f"{row.name} twice"
        seen.add((row.name, row.layer, row.when))
        if not row.literal:
            assert set(re.findall(r"\{(\w*)\}", row.value)) <= PLACES, f"{row}: nothing fills this place"
            assert "{" not in re.sub(r"\{\w+\}", "", row.value), row


def test_reserved_variables_follow_the_version() -> None:
    # spec/04 section 9.1: 34 printed names; both spellings where the guide misprints one.
    printed = {variable.as_printed for variable in catalog.reserved_variables("3.2.1")}
    assert (
        len(printed) == 34 + 3
    )  # AIRFLOW__API__SECRET_KEY, DATABASE__SQL_ALCHEMY_CONN, ALLOWED_RUN_ID_PATTERN beside them
    assert "PYTHONPATH" not in {variable.name for variable in catalog.reserved_variables("2.8.1")}
    assert catalog.is_protected("MWAA__ANYTHING", "2.10.3")
    assert catalog.is_protected("AIRFLOW__API__BASE_URL", "3.2.1")
    assert not catalog.is_protected("AIRFLOW__API__BASE_URL", "2.10.3")
    assert not catalog.is_protected("PATH", "3.2.1")


def test_locked_options_exist_from_3_2_on_in_both_spellings() -> None:
    assert {option.name for option in catalog.locked_options("3.2.1")} == {
        "core.multi_team",
        "triggerer.queue_enabled",
        "triggerer.queues_enabled",
    }
    assert catalog.locked_options("2.10.3") == ()


def test_log_groups_carry_the_prefix() -> None:  # spec/08 section 3.1
    assert {kind.group("mine") for kind in catalog.log_types()} == {
        f"airflow-mine-{suffix}" for suffix in ("DAGProcessing", "Scheduler", "Task", "WebServer", "Worker")
    }
