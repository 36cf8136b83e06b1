"""From an environment to the processes that make it up."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mwaa_local import model
from mwaa_local.catalog import version_names
from mwaa_local.engines import postgres, process_plan
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.process_plan import Parts
from mwaa_local.model.cache import cache_folder

SECRETS = model.Secrets(fernet_key="f" * 44, web_secret="web-secret", database_password="database-secret")
HOST = {"PATH": "/bin", "HOME": "/home/me", "AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_PROFILE": "work", "HTTPS_PROXY": "p"}


def parts(folder: Path, yaml: str = "", **more: Any) -> Parts:
    folder.mkdir(exist_ok=True)
    (folder / "mwaa.yaml").write_text(yaml)
    environment = model.load(folder, flags={}, variables={})
    ports = {wish.name: 20000 + number for number, wish in enumerate(process_plan.wishes(environment))}
    given: dict[str, Any] = {
        "environment": environment,
        "layout": Layout(environment.state),
        "cache": Path("/cache"),
        "base_set": Path("/base"),
        "secrets": SECRETS,
        "ports": ports,
        "digests": {},
        "host": HOST,
        "nonces": {},
        "cluster": postgres.Cluster(environment.state / "postgres" / "data", "same", Path("/pg/bin")),
    }
    return Parts(**{**given, **more})


def build(folder: Path, yaml: str = "", **more: Any) -> Plan:
    return process_plan.build(parts(folder, yaml, **more))


@pytest.mark.parametrize("version", version_names())
def test_every_version_has_the_same_components(tmp_path: Path, version: str) -> None:
    made = build(tmp_path, f"AirflowVersion: {version}\n")
    assert {item.name for item in made.components} == {
        "postgres", "aws", "migrate-db", "webserver", "scheduler", "worker", "control",
    }  # fmt: skip
    names = {item.name for item in made.components}
    for item in made.components:
        assert set(item.needs) <= names, "a need that nobody fulfils would wait for ever"
    assert made.facts["airflow_version"] == version


def test_workers_have_names_ports_folders_and_hosts_of_their_own(tmp_path: Path) -> None:
    made = build(tmp_path, "MinWorkers: 3\nMaxWorkers: 5\n")
    workers = [item for item in made.components if process_plan.kind(item.name) == "worker"]
    assert [item.name for item in workers] == ["worker", "worker-2", "worker-3"]
    for name in ("AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT", "MWAA_LOCAL__HOME", "MWAA_LOCAL__RUN_DIR"):
        assert len({item.env[name] for item in workers}) == 3, name
    hosts = {json.loads(item.env["MWAA_LOCAL__NAMESPACE"])["hostname"] for item in made.components if item.run_dir}
    assert len(hosts) == 6, "three workers, scheduler, web server, migration"
    assert all(re.fullmatch(r"ip-127-\d{1,3}-\d{1,3}-\d{1,3}", host) for host in hosts)


def test_two_projects_share_no_host_queue_or_bucket(tmp_path: Path) -> None:
    one, two = build(tmp_path / "a"), build(tmp_path / "b")
    for name in ("MWAA_LOCAL__NAMESPACE", "MWAA__SQS__QUEUE_URL"):
        assert one.component("worker").env[name] != two.component("worker").env[name]  # type: ignore[union-attr]
    assert one.facts["bucket"] != two.facts["bucket"]
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", one.facts["bucket"])


def test_the_users_credentials_reach_no_process(tmp_path: Path) -> None:
    made = build(tmp_path)
    text = json.dumps([dict(made.base_env), *(dict(item.env) for item in made.components)])
    assert "AKIAREAL" not in text
    assert made.base_env["HTTPS_PROXY"] == "p", "the way to the outside does"


def test_no_secret_is_a_word_of_a_command(tmp_path: Path) -> None:
    for item in build(tmp_path).components:
        words = " ".join(item.argv)
        assert not any(
            secret in words for secret in (SECRETS.fernet_key, SECRETS.web_secret, SECRETS.database_password)
        )


def test_only_a_startup_script_makes_components_wait_for_the_aws_endpoint(tmp_path: Path) -> None:
    without, with_script = build(tmp_path), build(tmp_path, digests={"startup script": "x"})
    for name in process_plan.AIRFLOW:
        assert "aws" not in without.component(name).needs  # type: ignore[union-attr]
        assert "aws" in with_script.component(name).needs  # type: ignore[union-attr]


def test_tasks_outlive_the_scheduler_and_the_services_outlive_the_tasks(tmp_path: Path) -> None:
    rank = {item.name: item.stop_rank for item in build(tmp_path).components}
    # On Airflow 3 a draining task still calls the web server; its message and its state need queue and database.
    assert rank["scheduler"] <= rank["worker"] < rank["webserver"] < rank["aws"] < rank["postgres"]


def test_the_queue_is_made_for_twelve_hour_tasks_and_only_enabled_groups_are_made(tmp_path: Path) -> None:
    yaml = "Name: e\nLoggingConfiguration:\n  WorkerLogs: {Enabled: false, LogLevel: INFO}\n  TaskLogs: {Enabled: true, LogLevel: INFO}\n"
    wanted = build(tmp_path, yaml).component("aws").probe["provision"]  # type: ignore[union-attr]
    assert wanted["visibility_timeout_s"] == 43200
    assert "airflow-e-Task" in wanted["log_groups"]
    assert "airflow-e-Worker" not in wanted["log_groups"]


def test_the_cache_is_where_the_user_says() -> None:
    assert cache_folder({"MWAA_LOCAL_CACHE_DIR": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"}) == Path("/c")
    assert cache_folder({"XDG_CACHE_HOME": "/x", "HOME": "/h"}) == Path("/x/mwaa-local")
    assert cache_folder({"HOME": "/h"}) == Path("/h/.cache/mwaa-local")


def test_the_aws_endpoint_is_told_what_it_may_pretend(tmp_path: Path) -> None:
    plain = build(tmp_path / "plain").component("aws").argv  # type: ignore[union-attr]
    assert "--service" not in plain and "--containers" not in plain
    asked = "Local: {AwsServices: [eks, ec2], AwsContainers: true}\n"
    words = build(tmp_path / "asked", asked).component("aws").argv  # type: ignore[union-attr]
    assert " ".join(words).endswith(
        "--service eks --service ec2 --containers --state " + " ".join(words).split("--state ")[1]
    )
