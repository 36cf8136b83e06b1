"""From an environment to the processes that make it up."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mwaa_local import model
from mwaa_local.catalog import version_names
from mwaa_local.engines import replicas, resources
from mwaa_local.engines.desired import least_workers
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.names import AIRFLOW, bucket_name, kind
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.process import plan as process_plan
from mwaa_local.engines.process import postgres
from mwaa_local.engines.process.plan import Parts
from mwaa_local.model import Environment
from mwaa_local.model.cache import cache_folder

SECRETS = model.Secrets(fernet_key="f" * 44, web_secret="web-secret", database_password="database-secret")
AWS = "http://127.0.0.1:4566"
HOST = {"PATH": "/bin", "HOME": "/home/me", "AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_PROFILE": "work", "HTTPS_PROXY": "p"}


def parts(folder: Path, yaml: str = "", **more: Any) -> Parts:
    folder.mkdir(exist_ok=True)
    (folder / "mwaa.yaml").write_text(yaml)
    environment = model.load(folder, flags={}, variables={})
    workers = least(environment)
    ports = {wish.name: 20000 + number for number, wish in enumerate(process_plan.wishes(environment, workers))}
    given: dict[str, Any] = {
        "environment": environment,
        "layout": Layout(environment.state),
        "cache": Path("/cache"),
        "base_set": Path("/base"),
        "secrets": SECRETS,
        "ports": ports,
        "aws": AWS,
        "workers": workers,
        "digests": {},
        "host": HOST,
        "nonces": {},
        "cluster": postgres.Cluster(environment.state / "postgres" / "data", "same", Path("/pg/bin")),
    }
    return Parts(**{**given, **more})


def least(environment: Environment) -> list[str]:
    return replicas.workers(least_workers(environment), [], set)


def build(folder: Path, yaml: str = "", **more: Any) -> Plan:
    return process_plan.build(parts(folder, yaml, **more))


@pytest.mark.parametrize("version", version_names())
def test_every_version_has_the_same_components(tmp_path: Path, version: str) -> None:
    made = build(tmp_path, f"AirflowVersion: {version}\n")
    assert {item.name for item in made.components} == {
        "postgres", "aws", "migrate-db", "webserver", "scheduler", "worker", "guardian",
    }  # fmt: skip
    names = {item.name for item in made.components}
    for item in made.components:
        assert set(item.needs) <= names, "a need that nobody fulfils would wait for ever"
    assert made.facts["airflow_version"] == version


def test_workers_have_names_ports_folders_and_hosts_of_their_own(tmp_path: Path) -> None:
    made = build(tmp_path, "MinWorkers: 3\nMaxWorkers: 5\n")
    workers = [item for item in made.components if kind(item.name) == "worker"]
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
    for name in AIRFLOW:
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


# By hand: who needs whom, who is asked how, who ends when and may take how long, whose start waits for a core.
TABLE = {
    "postgres": ("service", (), "postgres", 50, 30.0, 0),
    "aws": ("outside", (), "aws", 40, 10.0, 0),
    "migrate-db": ("job", ("postgres",), "none", 0, 60.0, 0),
    "webserver": ("service", ("postgres", "migrate-db"), "runtime", 20, 120.0, 1),
    "worker": ("service", ("postgres", "migrate-db"), "runtime", 10, 120.0, 2),
    "scheduler": ("service", ("postgres", "migrate-db"), "runtime", 10, 120.0, 3),
    "worker-2": ("service", ("postgres", "migrate-db"), "runtime", 10, 120.0, 4),
    "guardian": ("service", ("postgres", "aws"), "http", 30, 10.0, 0),
}


def test_the_life_of_each_component(tmp_path: Path) -> None:
    """120 s are MWAA's 90 s of patience, which the runtime keeps itself, and 30 s for what it then kills."""
    made = build(tmp_path, "MinWorkers: 2\nMaxWorkers: 2\n")
    found = {
        item.name: (item.kind, item.needs, item.probe["kind"], item.stop_rank, item.stop_seconds, item.heavy)
        for item in made.components
    }
    assert found == TABLE
    with_script = build(tmp_path, "MinWorkers: 2\nMaxWorkers: 2\n", digests={"startup script": "x"})
    assert {item.heavy for item in with_script.components} == {0}, "scripts mostly wait, and would for each other"
    signals = {item.name: int(item.stop_signal) for item in made.components if item.stop_signal != 15}
    assert signals == {"postgres": 2}, "which rolls back what is open and ends cleanly"


def test_the_words_and_probes_of_each_component(tmp_path: Path) -> None:
    given = parts(tmp_path, "Name: e\nLocal: {Region: eu-west-1}\n")
    made = process_plan.build(given)
    state, port = given.layout.state, given.ports
    words = {item.name: " ".join(item.argv).partition(" -m ")[2] for item in made.components}
    loopback = "--host 127.0.0.1 --port"
    assert words == {
        "postgres": "",
        "aws": "",
        "migrate-db": "mwaa_local.runtime migrate-db",
        "webserver": "mwaa_local.runtime webserver",
        "scheduler": "mwaa_local.runtime scheduler",
        "worker": "mwaa_local.runtime worker",
        "guardian": f"mwaa_local.guardian.server {loopback} {port['guardian']} --die-with-parent",
    }
    database = {"port": port["postgres"], "password": "database-secret"}
    probes = {item.name: dict(item.probe) for item in made.components}
    assert probes["postgres"] == {"kind": "postgres", **database}
    assert probes["guardian"]["url"] == f"http://127.0.0.1:{port['guardian']}/health"
    assert probes["worker"]["run_dir"] == made.component("worker").run_dir == f"{state}/run/worker"  # type: ignore[union-attr]
    assert probes["aws"]["url"] == AWS
    assert probes["aws"]["region"] == "eu-west-1"
    assert probes["aws"]["provision"]["queue"] == f"airflow-celery-{given.environment.id}"
    assert probes["aws"]["provision"]["bucket"] == made.facts["bucket"]
    heads = dict(given.environment.version.schema_heads)
    assert made.component("migrate-db").skip == {"kind": "schema", **database, "heads": heads}  # type: ignore[union-attr]
    folders = {item.name: item.cwd for item in made.components if item.cwd != "/"}
    assert folders == dict.fromkeys(("migrate-db", "webserver", "scheduler", "worker"), str(state))


def test_the_guardian_is_told_where_everything_is(tmp_path: Path) -> None:
    given = parts(tmp_path, "Name: e\nLocal: {Region: eu-west-1}\n")
    aws = AWS
    guardian = process_plan.build(given).component("guardian")
    assert guardian is not None
    assert dict(guardian.env) == {
        "MWAA_LOCAL__DATABASE_DSN": f"host=127.0.0.1 port={given.ports['postgres']} dbname=AirflowMetadata "
        "user=adminuser password=database-secret",
        "MWAA_LOCAL__AWS_ENDPOINT": aws,
        "MWAA__SQS__QUEUE_URL": f"{aws}/000000000000/airflow-celery-{given.environment.id}",
        "AWS_REGION": "eu-west-1",
    }


def test_a_component_is_told_where_everything_is(tmp_path: Path) -> None:
    given = parts(tmp_path, "Name: e\nLocal: {Region: eu-west-1}\n")
    made = process_plan.build(given)
    env = dict(made.component("worker").env)  # type: ignore[union-attr]
    port, state = given.ports, given.layout.state
    web, aws = f"http://127.0.0.1:{port['web']}", AWS
    by_hand = {
        "AIRFLOW_VERSION": "3.2.1", "AIRFLOW_ENV_NAME": "e", "AIRFLOW_ENV_ID": given.environment.id,
        "CUSTOMER_ACCOUNT_ID": "000000000000", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1",
        "MWAA__CORE__EXECUTOR_TYPE": "CeleryExecutor", "MWAA__CORE__AUTH_TYPE": "none",
        "MWAA__CORE__FERNET_KEY": json.dumps({"FernetKey": SECRETS.fernet_key}),
        "MWAA__WEBSERVER__SECRET": '{"secret_key": "web-secret"}', "MWAA__CORE__API_SERVER_URL": web,
        "MWAA__CORE__REQUIREMENTS_PATH": "/usr/local/airflow/requirements/requirements.txt",
        "MWAA__CORE__STARTUP_SCRIPT_PATH": "/usr/local/airflow/startup/startup.sh",
        "MWAA__DB__POSTGRES_HOST": "127.0.0.1", "MWAA__DB__POSTGRES_PORT": str(port["postgres"]),
        "MWAA__DB__POSTGRES_DB": "AirflowMetadata", "MWAA__DB__POSTGRES_SSLMODE": "prefer",
        "MWAA__DB__CREDENTIALS": '{"username": "adminuser", "password": "database-secret"}',
        "MWAA__SQS__QUEUE_URL": f"{aws}/000000000000/airflow-celery-{given.environment.id}",
        "MWAA__SQS__CUSTOM_ENDPOINT": aws, "MWAA__SQS__USE_SSL": "false", "MWAA__SQS__CREATE_QUEUE": "false",
        "MWAA_LOCAL_RUNNER": "true", "MWAA_LOCAL__AWS_ENDPOINT": aws, "MWAA_LOCAL__AWS": "local",
        "MWAA_LOCAL__AWS_ACCESS_KEY_ID": "test", "MWAA_LOCAL__AWS_SECRET_ACCESS_KEY": "test",
        "MWAA_LOCAL__HOME": f"{state}/home/worker", "MWAA_LOCAL__RUN_DIR": f"{state}/run/worker",
        "MWAA_LOCAL__CACHE_DIR": "/cache", "MWAA_LOCAL__BASE_SET": "/base", "MWAA_LOCAL__ENVIRONMENT_CLASS": "mw1.small",
        "MWAA_LOCAL__PARALLELISM": str(given.environment.spec.parallelism),
        "MWAA_LOCAL__PARSING_PROCESSES": str(given.environment.spec.parsing_processes), "MWAA_LOCAL__RESOLVER": "uv",
        "MWAA_LOCAL__DAG_SYNC": "workspace", "MWAA_LOCAL__MAX_PLUGINS_BYTES": "1073741824",
        "MWAA_LOCAL__ALLOW_FAILED_REQUIREMENTS": "false", "MWAA_LOCAL__WEB_PORT": str(port["web"]),
        "MWAA_LOCAL__WEB_URL": web, "MWAA_LOCAL__COMPONENT": "worker", "MWAA_LOCAL__DIE_WITH_PARENT": "true",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(port["worker-logs"]),
        "AIRFLOW__API__HOST": "127.0.0.1", "AIRFLOW__API__PORT": str(port["web"]),
        "MWAA__LOGGING__AIRFLOW_TRIGGERER_LOG_GROUP_ARN": "arn:aws:logs:eu-west-1:000000000000:log-group:airflow-e-Scheduler",
        "MWAA__LOGGING__AIRFLOW_TASK_LOGS_ENABLED": "true", "MWAA__LOGGING__AIRFLOW_TASK_LOG_LEVEL": "INFO",
    }  # fmt: skip
    assert {name: env.get(name) for name in by_hand} == by_hand
    assert json.loads(env["MWAA_LOCAL__WORKFLOW"]) == {
        "dags": str(tmp_path / "dags"), "plugins": str(tmp_path / "plugins"),
        "requirements": str(tmp_path / "requirements" / "requirements.txt"),
        "startup_script": str(tmp_path / "startup" / "startup.sh"),
    }  # fmt: skip
    namespace = json.loads(env["MWAA_LOCAL__NAMESPACE"])
    assert namespace == {"hostname": env["MWAA_LOCAL__HOSTNAME"], "home": "/usr/local/airflow"}
    scheduler = dict(made.component("scheduler").env)  # type: ignore[union-attr]
    assert scheduler["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] == str(port["triggerer-logs"])
    assert "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT" not in scheduler
    assert dict(made.component("migrate-db").env)["MWAA_LOCAL__WEB_URL"] == ""  # type: ignore[union-attr]
    older = build(tmp_path, "AirflowVersion: 2.10.3\n").component("webserver")
    assert older is not None
    assert older.env["AIRFLOW__WEBSERVER__WEB_SERVER_HOST"] == "127.0.0.1"
    assert "AIRFLOW__API__HOST" not in older.env


def test_the_ports_that_are_wanted_and_where_each_is_set(tmp_path: Path) -> None:
    plain = process_plan.wishes(parts(tmp_path).environment, ["worker", "worker-2"])
    assert [(wish.name, wish.port, wish.explicit) for wish in plain] == [
        ("web", 8080, False), ("postgres", None, False), ("guardian", None, False),
        ("triggerer-logs", None, False), ("worker-logs", None, False), ("worker-2-logs", None, False),
    ]  # fmt: skip
    yaml = "Local: {Ports: {Web: 1, Aws: 2, Postgres: 3}}\n"
    environment = parts(tmp_path, yaml).environment
    web, postgres_ = process_plan.wishes(environment, [])[:2]
    asked = [web, resources.wish(environment), postgres_]
    assert [(wish.port, wish.explicit, wish.field) for wish in asked] == [
        (1, True, "Local.Ports.Web"), (2, True, "Local.Ports.Aws"), (3, True, "Local.Ports.Postgres"),
    ]  # fmt: skip


def test_hosts_are_told_apart_by_their_last_number(tmp_path: Path) -> None:
    environment = parts(tmp_path).environment
    names = ("scheduler", "webserver", "migrate-db", "worker", "worker-2", "worker-25")
    hosts = [process_plan.hostname(environment, name) for name in names]
    assert [host.rpartition("-")[2] for host in hosts] == ["1", "2", "3", "11", "12", "35"]
    assert len({host.rpartition("-")[0] for host in hosts}) == 1


def test_of_the_users_variables_only_the_way_to_the_outside_passes(tmp_path: Path) -> None:
    host = {
        "PATH": "/bin", "HOME": "/home/me", "LANG": "C", "HTTPS_PROXY": "p", "MWAA_CONSTRAINTS_DIR": "/c", "EDITOR": "vi",
        "PYTHONPATH": "/x", "AWS_PROFILE": "work", "NO_PROXY": "",
    }  # fmt: skip
    base = {"PYTHONUNBUFFERED": "1", "SPT_NOENV": "1"}
    assert process_plan.base_env(host, parts(tmp_path).environment) == {
        "PATH": "/bin", "LANG": "C", "HTTPS_PROXY": "p", "MWAA_CONSTRAINTS_DIR": "/c", **base,
    }  # fmt: skip
    dev = parts(tmp_path, "Local: {Aws: dev}\n").environment
    found = process_plan.base_env({"HOME": "/home/me", "AWS_CONFIG_FILE": "/a"}, dev)
    assert found == {
        "AWS_PROFILE": "dev", "AWS_CONFIG_FILE": "/a", "AWS_SHARED_CREDENTIALS_FILE": "/home/me/.aws/credentials", **base,
    }  # fmt: skip


def test_options_that_the_migration_obeys(tmp_path: Path) -> None:
    yaml = "AirflowConfigurationOptions: {core.parallelism: '7', database.max_db_retries: '9'}\n"
    from mwaa_local.catalog import migrate_db_options

    found = process_plan.migration_options(parts(tmp_path, yaml).environment)
    assert set(found) <= set(migrate_db_options())
    assert "AIRFLOW__CORE__PARALLELISM" not in found


def test_a_bucket_has_a_name_that_s3_accepts(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    long = parts(tmp_path / "a", f"Name: {'Long_Name_' * 7}x\n").environment
    name = bucket_name(long)
    assert re.fullmatch(r"mwaa-local-[a-z0-9-]+[a-z0-9]", name) and len(name) <= 63


def test_wished_restarts_are_remembered(tmp_path: Path) -> None:
    made = build(tmp_path, nonces={"worker": 3})
    assert {item.name: item.nonce for item in made.components if item.nonce} == {"worker": 3}
