"""What Compose is given for an environment, and what makes which service anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from engines_docker_support import project

from mwaa_local import model
from mwaa_local.engines import replicas, resources
from mwaa_local.engines.desired import least_workers
from mwaa_local.engines.docker import image as docker_image
from mwaa_local.engines.docker import mounts as docker_mounts
from mwaa_local.engines.docker import plan as docker_plan
from mwaa_local.engines.docker import site as docker_site
from mwaa_local.engines.docker.plan import Made, Parts
from mwaa_local.errors import DefinitionError
from mwaa_local.model import Secrets
from mwaa_local.workflow import revision as workflow

SECRETS = Secrets("fernet-topsecret", "web-topsecret", "password-topsecret")


class _Loader(yaml.SafeLoader):
    """Reads Compose's tags as plain values."""


def _override(loader: Any, node: yaml.Node) -> Any:
    is_list = isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node, deep=True) if is_list else loader.construct_mapping(node, deep=True)


_Loader.add_constructor("!override", _override)
_Loader.add_constructor("!reset", lambda loader, node: "reset")


def make(folder: Path, text: str = "", *, host: dict[str, str] | None = None, cpus: int = 8, **ports: int) -> Made:
    environment = project(folder, text)
    names = docker_image.wanted(environment)
    return docker_plan.build(
        Parts(
            environment=environment,
            wanted=names,
            images={names.tool: "sha256:1", names.postgres: "sha256:2"},
            secrets=SECRETS,
            ports={"web": 18080, **ports},
            aws="http://127.0.0.1:14566",
            network="net",
            shared="mwaa-site-1_aws",
            workers=replicas.workers(least_workers(environment), [], set),
            digests=workflow.of_workspace(environment, environment.state / "digests.json").digests,
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
    assert after.names == ["postgres", "webserver", "scheduler", "worker", "worker-2", "worker-3", "guardian"]
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
    assert images["guardian"] == "mwaa-local:3.2.1-al2023"


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
        },
        ["aws", "postgres", "webserver"],
    )
    assert found["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert found["PIP_INDEX_URL"] == "https://index.example/simple"
    assert {".corp.example", "aws", "postgres", "webserver"} <= set(found["NO_PROXY"].split(","))
    assert not {"http_proxy", "PIP_FIND_LINKS", "AWS_SECRET_ACCESS_KEY"} & found.keys()
    assert docker_mounts.outside({}, []) == {}


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
    assert given["guardian"]["image"].startswith("mwaa-local:")


def test_the_aws_endpoint_is_told_what_it_may_pretend(tmp_path: Path) -> None:
    assert docker_site.asked_services(project(tmp_path, "Local: {AwsServices: [eks]}\n")) == ["--service", "eks"]
    with pytest.raises(DefinitionError, match="AwsContainers needs the process engine"):
        docker_site.asked_services(project(tmp_path, "Local: {AwsContainers: true}\n"))


def test_an_archive_of_plugins_is_mounted_for_the_runtime_to_unpack(tmp_path: Path) -> None:
    archive = tmp_path / "p.zip"
    archive.parent.mkdir(exist_ok=True)
    archive.write_bytes(b"zip")
    made = make(tmp_path, "Local: {Paths: {Plugins: p.zip}}\n")
    found = _volumes(made)
    mounted = found["/usr/local/mwaa/plugins.zip"]
    assert (mounted["source"], mounted["read_only"]) == (str(archive), True)
    assert found["/usr/local/airflow/plugins"] == {"type": "volume", "target": "/usr/local/airflow/plugins"}
    assert services(made)["worker"]["environment"]["MWAA_LOCAL__PLUGINS_ZIP"] == "/usr/local/mwaa/plugins.zip"
    assert "MWAA_LOCAL__PLUGINS_ZIP" not in services(make(tmp_path / "b"))["worker"]["environment"]


def test_the_users_constraints_are_mounted(tmp_path: Path) -> None:
    (tmp_path / "constraints").mkdir()
    made = make(tmp_path / "a", host={"MWAA_CONSTRAINTS_DIR": str(tmp_path / "constraints")})
    mounted = _volumes(made)["/usr/local/mwaa/constraints"]
    assert (mounted["source"], mounted["read_only"]) == (str(tmp_path / "constraints"), True)
    assert services(made)["worker"]["environment"]["MWAA_CONSTRAINTS_DIR"] == "/usr/local/mwaa/constraints"
    bare = make(tmp_path / "b", host={"MWAA_CONSTRAINTS_DIR": str(tmp_path / "none")})
    assert "MWAA_CONSTRAINTS_DIR" not in services(bare)["worker"]["environment"]


def test_files_beside_the_definition_are_copied_so_that_nothing_else_of_it_is_seen(tmp_path: Path) -> None:
    tmp_path.joinpath("requirements.txt").write_text("six\n")
    tmp_path.joinpath("startup.sh").write_text("true\n")
    text = "Local: {Paths: {Requirements: requirements.txt, StartupScript: startup.sh}}\n"
    found = _volumes(make(tmp_path, text))
    for target, name in (("requirements", "requirements.txt"), ("startup", "startup.sh")):
        folder = Path(found[f"/usr/local/airflow/{target}"]["source"])
        assert folder != tmp_path
        assert [path.name for path in folder.iterdir()] == [name]
    (tmp_path / "startup.sh").unlink()
    found = _volumes(make(tmp_path, text))
    assert list(Path(found["/usr/local/airflow/startup"]["source"]).iterdir()) == [], "a file that went, goes"


def test_a_dollar_in_a_path_is_not_interpolated(tmp_path: Path) -> None:
    found = _volumes(make(tmp_path / "a$b"))
    assert found["/usr/local/airflow/dags"]["source"] == str(tmp_path / "a$$b" / "dags")


def test_the_guardian_is_told_what_it_makes_and_connects_to(tmp_path: Path) -> None:
    given = services(make(tmp_path))["guardian"]["environment"]
    postgres = f"postgres-{model.load(tmp_path, flags={}, variables={}).id[-8:]}"
    by_hand = {
        "AIRFLOW_VERSION": "3.2.1", "AWS_REGION": "us-east-1", "MWAA_LOCAL__AWS_ENDPOINT": "http://aws:4566",
        "MWAA_LOCAL__DATABASE_DSN": f"postgresql://adminuser:password-topsecret@{postgres}:5432/AirflowMetadata",
        "MWAA__CORE__FERNET_KEY": '{"FernetKey": "fernet-topsecret"}',
        "MWAA__LOGGING__AIRFLOW_TASK_LOG_GROUP_ARN": "arn:aws:logs:us-east-1:000000000000:log-group:airflow-fake-Task",
        "MWAA__DB__POSTGRES_HOST": postgres,
    }  # fmt: skip
    assert {name: given.get(name) for name in by_hand} == by_hand
    assert given["MWAA__SQS__QUEUE_URL"].startswith("http://aws:4566/000000000000/airflow-celery-fake-")
    assert given["MWAA_LOCAL__BUCKET"].startswith("mwaa-local-fake-")
    assert not [
        name for name in given if name.startswith(("MWAA__CORE__CUSTOM", "MWAA__WEBSERVER", "MWAA_LOCAL__HOME"))
    ]


def test_a_component_is_told_where_everything_is(tmp_path: Path) -> None:
    given = services(make(tmp_path))["worker"]["environment"]
    digits = model.load(tmp_path, flags={}, variables={}).id[-8:]
    postgres = f"postgres-{digits}"
    by_hand = {
        "MWAA__DB__POSTGRES_HOST": postgres, "MWAA__DB__POSTGRES_PORT": "5432", "MWAA__DB__POSTGRES_DB": "AirflowMetadata",
        "MWAA__DB__CREDENTIALS": '{"username": "adminuser", "password": "password-topsecret"}',
        "MWAA__SQS__CUSTOM_ENDPOINT": "http://aws:4566", "MWAA__CORE__API_SERVER_URL": f"http://webserver-{digits}:8080",
        "MWAA_LOCAL__WEB_URL": "http://127.0.0.1:18080", "MWAA_LOCAL__WEB_PORT": "8080",
        "MWAA_LOCAL__HOME": "/usr/local/airflow", "MWAA_LOCAL__RUN_DIR": "/usr/local/mwaa/run",
        "MWAA_LOCAL__CACHE_DIR": "/usr/local/mwaa/cache", "MWAA_LOCAL__BASE_SET": "/opt/mwaa/base",
        "MWAA_LOCAL__ALLOW_FAILED_REQUIREMENTS": "false",
    }  # fmt: skip
    assert {name: given.get(name) for name in by_hand} == by_hand
    assert not {"MWAA_LOCAL__HOSTNAME", "MWAA_LOCAL__WORKFLOW", "MWAA_LOCAL__NAMESPACE"} & given.keys()
    assert "AIRFLOW__API__PORT" not in given, "in an image the web server keeps MWAA's port"


def test_services_carry_what_makes_them_anew(tmp_path: Path) -> None:
    found = services(make(tmp_path, "AirflowVersion: 2.10.3\nLocal: {Region: eu-west-1}\n"))
    assert found["postgres"]["labels"]["io.mwaa-local.database"].endswith("_database-2")
    assert found["postgres"]["environment"] == {"POSTGRES_PASSWORD": "password-topsecret"}
    inputs = {found[name]["labels"]["io.mwaa-local.inputs"] for name in ("scheduler", "worker", "webserver")}
    assert len(inputs) == 1
    assert "labels" not in found["migrate-db"]
    assert {found[name]["pull_policy"] for name in ("scheduler", "worker", "webserver", "migrate-db")} == {"never"}
    assert "aws" not in found, "that is the site's"
    assert found["worker"]["networks"] == "reset"


def test_a_ca_bundle_adds_the_file_that_trust_needs(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    plain, trusting = make(tmp_path / "a"), make(tmp_path / "a", host={"SSL_CERT_FILE": str(bundle)})
    assert [path.name for path in plain.files] == ["compose.yaml", "compose.overlay.yaml"]
    assert [path.name for path in trusting.files] == ["compose.yaml", "compose.ca.yaml", "compose.overlay.yaml"]
    assert (dict(plain.variables), dict(trusting.variables)) == ({}, {"MWAA_LOCAL_CA_BUNDLE": str(bundle)})
    assert plain.base != trusting.base and plain.digest != trusting.digest


def test_the_ports_that_are_wanted(tmp_path: Path) -> None:
    plain = docker_plan.wishes(project(tmp_path / "a"))
    assert [(wish.name, wish.port, wish.explicit) for wish in plain] == [("web", 8080, False)]
    given = project(tmp_path / "b", "Local: {Ports: {Web: 1, Aws: 2, Postgres: 3}}\n")
    web, database = docker_plan.wishes(given)
    asked = [web, resources.wish(given), database]
    assert [(wish.name, wish.port, wish.explicit, wish.field) for wish in asked] == [
        ("web", 1, True, "Local.Ports.Web"), ("aws", 2, True, "Local.Ports.Aws"), ("postgres", 3, True, "Local.Ports.Postgres"),
    ]  # fmt: skip


def test_an_image_made_anew_is_a_change(tmp_path: Path) -> None:
    first = make(tmp_path)
    text = first.overlay
    with pytest.MonkeyPatch.context() as patch:
        original = Parts.__init__

        def another(self: Parts, **given: Any) -> None:
            original(self, **{**given, "images": {name: f"{value}9" for name, value in given["images"].items()}})

        patch.setattr(Parts, "__init__", another)
        second = make(tmp_path)
    assert second.overlay == text
    assert second.digest != first.digest
    names = set(first.names)
    assert [line.partition(":")[0] for line in docker_plan.changes(first.plan, second.plan, names)] == ["image changed"]


def test_environments_of_one_site_are_on_its_network_under_names_of_their_own(tmp_path: Path) -> None:
    made = [make(tmp_path / name) for name in ("a", "b")]
    for one in made:
        assert yaml.load(one.overlay, Loader=_Loader)["networks"] == {"default": {"name": "net", "external": True}}
    names: list[set[str]] = []
    for one in made:
        found = services(one)
        hosts = {found[name]["hostname"] for name in ("scheduler", "webserver")}
        aliases = {
            alias
            for name in ("scheduler", "webserver", "postgres")
            for alias in found[name]["networks"]["default"]["aliases"]
        }
        assert hosts <= aliases and len(aliases) == 5
        told = found["worker"]["environment"]
        assert told["MWAA__DB__POSTGRES_HOST"] in aliases
        assert told["MWAA__CORE__API_SERVER_URL"].removeprefix("http://").removesuffix(":8080") in aliases
        names.append(aliases)
    assert names[0].isdisjoint(names[1])


def test_no_proxy_stands_between_the_components(tmp_path: Path) -> None:
    made = make(tmp_path, host={"HTTPS_PROXY": "http://proxy.example:3128"})
    told = services(made)["worker"]["environment"]
    direct = told["NO_PROXY"].split(",")
    for address in (told["MWAA__DB__POSTGRES_HOST"], told["MWAA__CORE__API_SERVER_URL"][7:-5], "aws"):
        assert address in direct
    assert services(made)["scheduler"]["hostname"] in direct, "its log server"
