"""What Compose is given for an environment, and what makes which service anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from engines_docker_support import project

from mwaa_local import model
from mwaa_local.engines import docker_image, docker_mounts, docker_plan
from mwaa_local.engines import inputs as workflow
from mwaa_local.engines.docker_plan import Made, Parts
from mwaa_local.errors import DefinitionError
from mwaa_local.model import Secrets

SECRETS = Secrets("fernet-topsecret", "web-topsecret", "password-topsecret")


class _Loader(yaml.SafeLoader):
    """Reads Compose's tags as plain values."""


_Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))
_Loader.add_constructor("!reset", lambda loader, node: "reset")


def make(folder: Path, text: str = "", *, host: dict[str, str] | None = None, cpus: int = 8, **ports: int) -> Made:
    environment = project(folder, text)
    names = docker_image.wanted(environment)
    return docker_plan.build(
        Parts(
            environment=environment,
            assets=docker_image.assets(),
            wanted=names,
            images={names.tool: "sha256:1", names.postgres: "sha256:2"},
            secrets=SECRETS,
            ports={"web": 18080, "aws": 14566, **ports},
            digests=workflow.workflow_digests(environment, environment.state / "digests.json"),
            cpus=cpus,
            host=host or {},
            folder=environment.state / "docker",
        )
    )


def services(made: Made) -> dict[str, Any]:
    loaded = yaml.load(made.overlay, Loader=_Loader)
    return dict(loaded["services"])


def changed(before: Made, after: Made) -> set[str]:
    """Services whose description differs: those that Compose makes anew."""
    first, second = services(before), services(after)
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}


def test_a_saved_dag_restarts_nothing(tmp_path: Path) -> None:
    before = make(tmp_path)
    (tmp_path / "dags" / "new.py").write_text("x = 1")
    assert make(tmp_path).digest == before.digest


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("requirements/requirements.txt", "requirements.txt"),
        ("plugins/p.py", "plugins"),
        ("startup/startup.sh", "startup script"),
    ],
)
def test_another_workflow_file_restarts_the_three_components(tmp_path: Path, path: str, label: str) -> None:
    before = make(tmp_path)
    (tmp_path / path).write_text("# other\n")
    after = make(tmp_path)
    assert changed(before, after) == {"scheduler", "worker", "webserver"}
    assert docker_plan.changes(before.plan, after.plan, {"scheduler", "worker", "webserver"}) == [
        f"{label} changed: restarted webserver, scheduler, worker"
    ]


def test_the_web_port_restarts_what_makes_links_and_no_other(tmp_path: Path) -> None:
    before, after = make(tmp_path), make(tmp_path, web=18081)
    assert changed(before, after) == {"webserver", "scheduler", "worker"}
    assert docker_plan.changes(before.plan, after.plan, {"webserver"}) == ["ports changed: restarted webserver"]


def test_an_option_restarts_airflow_and_is_named_by_its_name_only(tmp_path: Path) -> None:
    before = make(tmp_path)
    after = make(tmp_path, 'AirflowConfigurationOptions: {core.default_task_retries: "7"}\n')
    assert changed(before, after) == {"scheduler", "worker", "webserver", "migrate-db"}
    lines = docker_plan.changes(before.plan, after.plan, {"scheduler", "worker", "webserver"})
    assert lines == ["AIRFLOW__CORE__DEFAULT_TASK_RETRIES changed: restarted webserver, scheduler, worker"]


def test_allowing_failed_requirements_restarts_nothing(tmp_path: Path) -> None:
    assert make(tmp_path).digest == make(tmp_path, "Local: {AllowFailedRequirements: true}\n").digest


def test_more_workers_leave_the_first_one_alone(tmp_path: Path) -> None:
    before, after = make(tmp_path, "MaxWorkers: 4\n"), make(tmp_path, "MinWorkers: 3\nMaxWorkers: 4\n")
    assert (before.workers, after.workers) == (1, 3)
    assert changed(before, after) == set()
    assert after.names == ["postgres", "aws", "webserver", "scheduler", "worker", "worker-2", "worker-3", "control"]
    assert docker_plan.changes(before.plan, after.plan, set()) == ["started worker-2, worker-3"]
    assert services(after)["worker"]["hostname"] == "reset", "three workers cannot share one host name"


def test_a_changed_compose_file_is_told_too(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert docker_plan.changes(made.plan, made.plan, {"aws"}) == ["compose.yaml or the tool changed: restarted aws"]


@pytest.mark.parametrize(
    ("text", "cpus", "memory", "cpu"),
    [
        ("EnvironmentClass: mw1.small\n", 8, "2048m", 1.0),
        ("EnvironmentClass: mw1.small\nLocal: {ResourceFactor: 0.5}\n", 8, "1024m", 0.5),
        ("EnvironmentClass: mw1.large\n", 8, "8192m", 4.0),
        ("EnvironmentClass: mw1.large\n", 2, "8192m", 2.0),  # Docker refuses more CPUs than the machine has
    ],
)
def test_limits_are_the_classes_times_the_factor(tmp_path: Path, text: str, cpus: int, memory: str, cpu: float) -> None:
    worker = services(make(tmp_path, text, cpus=cpus))["worker"]
    assert (worker["mem_limit"], worker["cpus"]) == (memory, cpu)


def test_ports_are_loopback_only(tmp_path: Path) -> None:
    found = services(make(tmp_path, postgres=15432))
    published = {name: service["ports"] for name, service in found.items() if "ports" in service}
    assert published == {
        "webserver": ["127.0.0.1:18080:8080"],
        "aws": ["127.0.0.1:14566:4566"],
        "postgres": ["127.0.0.1:15432:5432"],
    }
    assert "ports" not in services(make(tmp_path))["postgres"]


def test_values_are_not_interpolated(tmp_path: Path) -> None:
    made = make(tmp_path, "AirflowConfigurationOptions: {custom.text: 'a$b${HOME}'}\n")
    given = services(made)["worker"]["environment"]["MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS"]
    assert json.loads(given.replace("$$", "$")) == {"AIRFLOW__CUSTOM__TEXT": "a$b${HOME}"}
    assert given.count("$$") == 2


def test_secrets_stand_in_the_overlay_only(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert "password-topsecret" in made.overlay and "fernet-topsecret" in made.overlay
    assert "topsecret" not in repr(made) and "topsecret" not in json.dumps(dict(made.variables))


def test_another_image_takes_the_components_place_and_no_other(tmp_path: Path) -> None:
    found = services(make(tmp_path, "Local: {Image: 'corporate/mwaa:3.2.1'}\n"))
    images = {name: service["image"] for name, service in found.items()}
    assert {images[name] for name in ("scheduler", "worker", "webserver", "migrate-db")} == {"corporate/mwaa:3.2.1"}
    assert images["aws"] == images["control"] == "mwaa-local:3.2.1-al2023"


def _volumes(made: Made) -> dict[str, dict[str, Any]]:
    return {volume["target"]: volume for volume in services(made)["worker"]["volumes"]}


def test_workflow_folders_are_mounted_read_only_under_mwaas_names(tmp_path: Path) -> None:
    found = _volumes(make(tmp_path))
    for name in ("dags", "plugins", "requirements", "startup"):
        volume = found[f"/usr/local/airflow/{name}"]
        assert (volume["type"], volume["source"], volume["read_only"]) == ("bind", str(tmp_path / name), True)


def test_missing_folders_are_not_made_in_the_project(tmp_path: Path) -> None:
    bare = model.load(tmp_path, flags={}, variables={})
    mounted, _ = docker_mounts.mounts(bare, bare.state / "docker", {})
    assert len(mounted) == 4
    for volume in mounted:
        assert Path(volume["source"]).is_dir() and Path(volume["source"]).is_relative_to(bare.state)
    assert not (tmp_path / "dags").exists()


def test_a_file_under_another_name_is_copied_to_mwaas(tmp_path: Path) -> None:
    text = "Local: {Paths: {Requirements: deps/prod.txt}}\n"
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps" / "prod.txt").write_text("-r common.txt\n")
    (tmp_path / "deps" / "common.txt").write_text("humanize\n")
    made = make(tmp_path, text)
    folder = Path(_volumes(made)["/usr/local/airflow/requirements"]["source"])
    assert (folder / "requirements.txt").read_text() == "-r common.txt\n"
    assert (folder / "common.txt").read_text() == "humanize\n"


def test_proxies_and_indexes_pass_where_a_container_can_reach_them() -> None:
    found = docker_mounts.outside(
        {
            "HTTPS_PROXY": "http://proxy.example:3128",
            "http_proxy": "http://localhost:3128",
            "NO_PROXY": ".corp.example",
            "PIP_INDEX_URL": "https://index.example/simple",
            "PIP_FIND_LINKS": "/opt/wheels",
            "AWS_SECRET_ACCESS_KEY": "never",
        }
    )
    assert found["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert found["PIP_INDEX_URL"] == "https://index.example/simple"
    assert {".corp.example", "aws", "postgres", "webserver"} <= set(found["NO_PROXY"].split(","))
    assert not {"http_proxy", "PIP_FIND_LINKS", "AWS_SECRET_ACCESS_KEY"} & found.keys()
    assert docker_mounts.outside({}) == {}


def test_aws_files_enter_only_when_a_profile_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "credentials").write_text("[dev]\n")
    host = {"HOME": str(home), "AWS_PROFILE": "other"}
    assert not [target for target in _volumes(make(tmp_path / "a", host=host)) if "aws" in target]
    made = make(tmp_path / "b", "Local: {Aws: dev}\n", host=host)
    given = services(made)["worker"]["environment"]
    assert given["AWS_PROFILE"] == "dev"
    assert _volumes(made)[given["AWS_SHARED_CREDENTIALS_FILE"]]["source"] == str(home / ".aws" / "credentials")


def test_a_foreign_image_gets_what_mwaas_service_would_inject(tmp_path: Path) -> None:
    ours = services(make(tmp_path / "a"))["worker"]["environment"]
    text = "EnvironmentClass: mw1.medium\nLocal: {Image: amazon-mwaa:3.2.1}\n"
    given = services(make(tmp_path / "b", text))
    assert given["worker"]["image"] == "amazon-mwaa:3.2.1"
    theirs = given["worker"]["environment"]
    wanted = {
        "AIRFLOW__CELERY__WORKER_AUTOSCALE": "10,0",
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AWS_ENDPOINT_URL": "http://aws:4566",
        "AWS_ACCESS_KEY_ID": "test",
    }
    assert {name: theirs[name] for name in wanted} == wanted
    assert not wanted.keys() & ours.keys(), "our own runtime works them out"
    assert given["aws"]["image"].startswith("mwaa-local:")


def test_the_aws_endpoint_is_told_what_it_may_pretend(tmp_path: Path) -> None:
    words = services(make(tmp_path, "Local: {AwsServices: [eks]}\n"))["aws"]["command"]
    assert words[-2:] == ["--service", "eks"]
    with pytest.raises(DefinitionError, match="AwsContainers needs the process engine"):
        make(tmp_path, "Local: {AwsContainers: true}\n")
