"""A whole environment in the Docker engine: up, changes, commands, kills, down and up again, reset.

One environment serves all tests of this file, in their order; it is removed by its own Compose project at the end.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from engines_support import Quiet
from image_support import Run
from patience import Stopwatch, until

from mwaa_local import model
from mwaa_local.engines import lifecycle
from mwaa_local.engines.docker import image as docker_image
from mwaa_local.engines.docker import site as docker_site
from mwaa_local.engines.docker.engine import DockerEngine, why_unusable
from mwaa_local.engines.docker.plan import project_name
from mwaa_local.engines.ports import any_free
from mwaa_local.engines.protocol import UpResult
from mwaa_local.errors import MachineError, MwaaLocalError, RequirementsError, StartupScriptError

UP_SECONDS = 600.0  # machines of tests are busy; figures are the bench's
AIRFLOW = {"scheduler", "worker", "webserver"}
SERVICES = {*AIRFLOW, "postgres", "aws", "guardian"}
DAG = """
import pendulum
from airflow.sdk import dag, task

@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1))
def hello():
    @task
    def say():
        return "hello"
    say()

hello()
"""


class Project:
    """A project folder and the engine for what stands in it now."""

    def __init__(self, folder: Path, docker: Run) -> None:
        self.folder, self.docker = folder, docker
        self.web = any_free()
        self.aws = any_free([self.web])
        for name in ("dags", "plugins", "requirements", "startup"):
            (folder / name).mkdir(parents=True)
        (folder / "dags" / "hello.py").write_text(DAG)
        (folder / "startup" / "startup.sh").write_text("export GREETING=hi\n")
        (folder / "requirements" / "requirements.txt").write_text("# nothing yet\n")
        (folder / "mwaa.yaml").write_text(
            f"Name: enginetest\nLocal:\n  Engine: docker\n  Ports: {{Web: {self.web}, Aws: {self.aws}}}\n"
        )

    @property
    def engine(self) -> DockerEngine:
        variables = {**os.environ, "MWAA_LOCAL_CACHE_DIR": str(self.folder.parent / "cache")}
        return DockerEngine(model.load(self.folder, flags={}, variables={}), variables)

    @property
    def name(self) -> str:
        """The Compose project."""
        return project_name(model.load(self.folder, flags={}, variables={}))

    def up(self) -> UpResult:
        engine = self.engine
        environment = model.load(self.folder, flags={}, variables={})
        engine.prepare(environment, Quiet())
        return lifecycle.up(engine, environment, Quiet(), timeout_s=UP_SECONDS)

    def containers(self) -> dict[str, str]:
        """Component name to container id, of those that run, the site's included."""
        form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
        found: dict[str, str] = {}
        for project in (self.name, docker_site.project_of(self.environment)):
            words = ["ps", "--filter", f"label=com.docker.compose.project={project}", "--format", form]
            found |= dict(line.split() for line in self.docker(*words).stdout.splitlines())
        return found

    @property
    def environment(self) -> model.Environment:
        return model.load(self.folder, flags={}, variables={})

    def states(self) -> dict[str, str]:
        return {item.name: item.state for item in self.engine.components()}


@pytest.fixture(scope="module")
def project(docker: Run, bases: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("docker-engine") / "project", docker)
    environment = model.load(made.folder, flags={}, variables={})
    assert why_unusable(environment, os.environ) is None
    try:
        yield made
    finally:
        made.engine.reset()


@pytest.fixture(scope="module")
def running(project: Project) -> Project:
    """The environment, healthy."""
    project.up()
    return project


@pytest.mark.first_look
@pytest.mark.timeout(2400)
def test_up_makes_every_service_healthy(running: Project) -> None:
    assert set(running.states()) == SERVICES
    assert set(running.states().values()) == {"healthy"}
    assert running.docker("compose", "--project-name", running.name, "ps", "--format", "{{.Service}} {{.Health}}")
    addresses = running.engine.addresses()
    assert addresses is not None and addresses.web == f"http://127.0.0.1:{running.web}"
    assert all(item.memory_bytes and item.started_at and item.pid for item in running.engine.components())


@pytest.mark.timeout(900)
def test_docker_compose_ps_shows_them_healthy(running: Project) -> None:
    """As a person would after `eval "$(mwaa-local env)"`, with or without a compose.yaml in the folder."""
    addresses = running.engine.addresses()
    assert addresses is not None
    for folder in (running.folder, Path(__file__).parents[2]):
        done = subprocess.run(
            ["docker", "compose", "ps", "--format", "{{.Service}} {{.Health}}"],
            cwd=folder,
            env={**os.environ, **addresses.variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        shown = dict(line.split() for line in done.stdout.splitlines())
        assert shown == dict.fromkeys(SERVICES - {"aws"}, "healthy"), "the endpoint is the site's"


@pytest.mark.first_look
def test_up_again_changes_nothing(running: Project) -> None:
    before = running.containers()
    watch = Stopwatch()
    result = running.up()
    assert result.changes == []
    assert running.containers() == before
    assert watch.given() < 60


@pytest.mark.timeout(600)
def test_commands_keep_their_exit_code_and_have_the_components_environment(
    running: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = running.engine
    assert engine.run("worker", ["bash", "-c", "exit 7"], interactive=False) == 7
    assert engine.run("worker", ["bash", "-c", "echo $GREETING $MWAA_AIRFLOW_COMPONENT; pwd"], interactive=False) == 0
    assert capfd.readouterr().out.split() == ["hi", "worker", "/usr/local/airflow"]
    given = running.folder.parent / "input"
    given.write_text("from a file")
    assert engine.run("scheduler", ["cat"], interactive=False, stdin=given) == 0
    assert "from a file" in capfd.readouterr().out
    assert engine.exports("worker") == {"GREETING": "hi"}
    assert any("Starting" in line or line for line in engine.logs("scheduler", follow=False, lines=20))


@pytest.mark.timeout(1200)
def test_a_requirement_restarts_airflow_alone(running: Project, capfd: pytest.CaptureFixture[str]) -> None:
    before = running.containers()
    (running.folder / "dags" / "another.py").write_text(DAG.replace("hello", "another"))
    (running.folder / "requirements" / "requirements.txt").write_text("cowsay==6.1\n")
    result = running.up()
    after = running.containers()
    assert {name for name in SERVICES if before[name] != after[name]} == AIRFLOW
    assert result.changes == ["requirements.txt changed: restarted webserver, scheduler, worker"]
    assert not result.verdicts
    told = [(item.status or {}).get("requirements") for item in result.components if item.name in AIRFLOW]
    assert [(one["verdict"], one["installed"]) for one in told if one] == [("ok", False)] * 3, "made ahead, found made"
    (running.folder / "requirements" / "requirements.txt").write_text("cowsay==6.1\ncowsay==6.0\n")
    with pytest.raises(RequirementsError, match="cowsay") as caught:
        running.up()
    assert "what runs goes on" in caught.value.why and running.containers() == after
    (running.folder / "requirements" / "requirements.txt").write_text("cowsay==6.1\n")
    assert running.up().changes == []
    capfd.readouterr()
    words = ["python3", "-c", "import cowsay; print(cowsay.__version__)"]
    assert running.engine.run("worker", words, interactive=False) == 0
    assert "6.1" in capfd.readouterr().out


@pytest.mark.timeout(900)
@pytest.mark.parametrize("component", ["worker", "aws", "postgres"])
def test_a_killed_component_comes_back(running: Project, component: str) -> None:
    def restarts() -> int:
        return next(item.restarts for item in running.engine.components() if item.name == component)

    before = restarts()
    # Everything in the container but its init: as the kernel would under memory pressure. The shell may be hit as well.
    words = ["docker", "exec", "--user", "root", running.containers()[component], "sh", "-c", "kill -9 -1"]
    subprocess.run(words, capture_output=True, timeout=60, check=False)
    until(lambda: restarts() > before, 60, every=1.0)
    calm: list[set[tuple[str, str, int]]] = []

    def settled() -> bool:
        """All are well, and none has died of it for a while: those that lost the database end a few seconds later."""
        found = {(item.name, item.state, item.restarts) for item in running.engine.components()}
        if any(state != "healthy" for _, state, _ in found) or (calm and calm[-1] != found):
            calm.clear()
        calm.append(found)
        return len(calm) > 10

    until(settled, 300, every=1.0)


@pytest.mark.timeout(1800)
def test_down_and_up_keep_the_data(running: Project, capfd: pytest.CaptureFixture[str]) -> None:
    engine = running.engine
    assert engine.run("scheduler", ["airflow", "variables", "set", "kept", "yes"], interactive=False) == 0
    addresses = engine.addresses()
    assert addresses is not None

    def store() -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=addresses.aws, **keys)

    store().put_object(Bucket=addresses.bucket, Key="kept", Body=b"yes")
    engine.down(timeout_s=60)
    assert running.containers() == {}
    assert engine.addresses() is None
    assert set(running.states().values()) == {"stopped"}
    result = running.up()
    assert result.changes == []
    capfd.readouterr()
    assert running.engine.run("scheduler", ["airflow", "variables", "get", "kept"], interactive=False) == 0
    assert "yes" in capfd.readouterr().out
    assert store().get_object(Bucket=addresses.bucket, Key="kept")["Body"].read() == b"yes"


@pytest.mark.timeout(1800)
def test_a_second_environment_of_the_project_shares_the_endpoint(running: Project) -> None:
    """`mwaa-local up --name other`: its own database, queue and names on the site's network."""
    environment = model.load(
        running.folder, flags={"Name": "other", "Local.Ports.Web": any_free([running.web])}, variables={}
    )
    engine = DockerEngine(environment, running.engine._host)
    before = running.containers()
    try:
        engine.prepare(environment, Quiet())
        result = lifecycle.up(engine, environment, Quiet(), timeout_s=UP_SECONDS)
        mine = running.engine.addresses()
        assert mine is not None
        assert result.addresses.aws == mine.aws and result.addresses.bucket != mine.bucket
        assert running.containers() == before, "the first goes on as it was"
        assert {item.state for item in result.components} == {"healthy"}
        assert [item.name for item in result.components if item.site] == ["aws"]
        for one, name in ((engine, "theirs"), (running.engine, "ours")):
            assert one.run("scheduler", ["airflow", "variables", "set", "whose", name], interactive=False) == 0
        shown = subprocess.run(
            ["docker", "exec", running.containers()["postgres"], "psql", "-U", "adminuser", "-d", "AirflowMetadata", "-tAc",
             "select count(*) from variable where key = 'whose'"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert shown.stdout.strip() == "1"
        engine.down(timeout_s=60)
        assert running.containers() == before, "the site stays while one environment runs"
    finally:
        engine.reset()
    assert set(running.states().values()) == {"healthy"}
    listed = running.docker("volume", "ls", "--quiet").stdout.split()
    assert not [name for name in listed if name.startswith(project_name(environment))]


@pytest.mark.timeout(1800)
def test_the_volume_of_an_environment_of_0_1_becomes_the_sites(running: Project) -> None:
    """Then each environment had the endpoint among its services, and its volume bore the environment's name."""
    engine = running.engine
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    addresses = engine.addresses()
    assert addresses is not None
    boto3.client("s3", endpoint_url=addresses.aws, **keys).put_object(Bucket=addresses.bucket, Key="old", Body=b"yes")
    engine.down(timeout_s=60)
    image = docker_image.wanted(running.environment).tool
    old, new = f"{running.name}_aws", f"{docker_site.project_of(running.environment)}_aws"
    copy = [
        "run",
        "--rm",
        "--user",
        "root",
        "--volume",
        f"{new}:/new",
        "--volume",
        f"{old}:/old",
        "--entrypoint",
        "/bin/sh",
        image,
    ]
    label = f"com.docker.compose.project={running.name}"
    running.docker("volume", "create", "--label", label, "--label", "com.docker.compose.volume=aws", old)
    running.docker(*copy, "-c", "cp -a /new/. /old/")
    running.docker("volume", "rm", new)
    (running.environment.site / "_site/docker/kept.json").unlink()
    (running.environment.state / "docker/kept.json").write_text('{"volumes": ["aws", "database-3"]}')
    result = running.up()
    assert f"the AWS data of this environment are its site's now: volume {old}" in result.changes
    assert new not in running.docker("volume", "ls", "--quiet").stdout.split()
    store = boto3.client("s3", endpoint_url=result.addresses.aws, **keys)
    assert store.get_object(Bucket=result.addresses.bucket, Key="old")["Body"].read() == b"yes"
    assert running.up().changes == []
    running.engine.down(timeout_s=60)
    running.docker("volume", "create", new)
    running.docker(*copy, "-c", "cp -a /old/. /new/")
    running.docker("volume", "rm", old)
    (running.environment.site / "_site/docker/kept.json").unlink()
    running.up()


@pytest.mark.timeout(1800)
def test_damage_in_the_endpoints_volume_is_named_and_repaired(running: Project) -> None:
    engine = running.engine
    engine.down(timeout_s=60)
    image = docker_image.wanted(model.load(running.folder, flags={}, variables={})).tool
    volume = f"{docker_site.project_of(running.environment)}_aws:/usr/local/mwaa/aws"

    def shell(script: str) -> None:
        running.docker("run", "--rm", "--volume", volume, "--entrypoint", "/bin/sh", image, "-c", script)

    sound = engine.endpoint_state(repair=False)
    assert sound["damage"] == []
    assert {"s3", "sqs"} <= set(sound["kept"])
    place = "/usr/local/mwaa/aws/services/s3.json"
    shell(f"printf '{{' > {place}")
    with pytest.raises(MwaaLocalError) as caught:
        running.up()
    assert place in str(caught.value) and "doctor --state" in str(caught.value)
    engine.down(timeout_s=60)
    assert [one["path"] for one in engine.endpoint_state(repair=False)["damage"]] == [place]
    mended = engine.endpoint_state(repair=True)
    assert mended["damage"] == [] and mended["copy"] and mended["repaired"]
    running.up()
    assert set(running.states().values()) == {"healthy"}


@pytest.mark.timeout(1800)
def test_another_major_version_has_its_own_database(running: Project) -> None:
    engine, definition = running.engine, running.folder / "mwaa.yaml"
    before = definition.read_text()
    assert engine.run("scheduler", ["airflow", "variables", "set", "mine", "3"], interactive=False) == 0
    definition.write_text(before + "AirflowVersion: 2.10.3\n")
    try:
        assert any("made an empty database of Airflow 2.10.3" in line for line in running.up().changes)
        assert running.engine.run("scheduler", ["airflow", "variables", "get", "mine"], interactive=False) == 1
    finally:
        definition.write_text(before)
    assert any("back on the database of Airflow 3.2.1" in line for line in running.up().changes)
    assert running.engine.run("scheduler", ["airflow", "variables", "get", "mine"], interactive=False) == 0


@pytest.mark.timeout(1200)
def test_a_startup_script_that_loses_its_environment_is_told_at_once(running: Project) -> None:
    script = running.folder / "startup" / "startup.sh"
    good = script.read_text()
    script.write_text("set -e\nfalse\n")
    watch = Stopwatch()
    with pytest.raises(StartupScriptError, match="the startup script ended in a way"):
        running.up()
    assert watch.given() < 300
    script.write_text(good)
    result = running.up()
    assert {item.state for item in result.components} == {"healthy"}


@pytest.mark.timeout(600)
def test_a_taken_port_is_named(project: Project, docker: Run) -> None:
    """Another project that asks for the very same port, in the open, gets an error and starts nothing."""
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        second = Project(project.folder.parent / "second", docker)
        text = (second.folder / "mwaa.yaml").read_text().replace(f"Web: {second.web}", f"Web: {port}")
        (second.folder / "mwaa.yaml").write_text(text)
        with pytest.raises(MachineError, match=f"port {port} is taken"):
            second.up()
        assert second.containers() == {}


@pytest.mark.timeout(600)
def test_reset_wipes_the_data(project: Project, docker: Run) -> None:
    project.engine.reset()
    label = f"label=com.docker.compose.project={project.name}"
    for kind in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        assert docker(*kind, "--quiet", "--filter", label).stdout == ""
    assert project.engine.components() == []
    with pytest.raises(MwaaLocalError, match="no component"):
        project.engine.run("worker", ["true"], interactive=False)
