"""Up, looking and down against a fake docker program: which commands it gets, and what its answers become."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from engines_docker_support import FakeDocker, container, image, make, project
from engines_support import Quiet
from patience import Stopwatch

from mwaa_local import model
from mwaa_local.engines import lifecycle, ports
from mwaa_local.engines.databases import Databases
from mwaa_local.engines.docker import engine as docker_engine
from mwaa_local.engines.docker import image as docker_image
from mwaa_local.engines.docker import plan as docker_plan
from mwaa_local.engines.docker import site as docker_site
from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker import waiting as docker_waiting
from mwaa_local.engines.docker.client import Docker, PortTakenError
from mwaa_local.engines.docker.engine import DockerEngine
from mwaa_local.engines.ports import any_free
from mwaa_local.errors import EngineError, MachineError, RequirementsError, StartupScriptError
from mwaa_local.ground import locks, processes
from mwaa_local.model import Environment
from mwaa_local.model.environment import id_of

SERVICES = ("postgres", "aws", "webserver", "scheduler", "worker", "guardian")


def status_file(**values: Any) -> bytes:
    """What ``docker cp ... -`` prints for a ``status.json``."""
    text = json.dumps({"state": "running", "started_epoch": time.time(), "error": None, **values}).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("status.json")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    return packed.getvalue()


def show(fake: FakeDocker, *containers: dict[str, Any]) -> None:
    """Let these containers be what there is; the AWS endpoint's is the site's."""
    is_shared = [item["Config"]["Labels"]["com.docker.compose.service"] == "aws" for item in containers]
    own = [item for item, shared in zip(containers, is_shared, strict=True) if not shared]
    shared = [item for item, shared in zip(containers, is_shared, strict=True) if shared]
    fake.answer("ps --all", "\n".join(item["Id"] for item in own))
    fake.answer("inspect", json.dumps(own))
    words = f"ps --all --quiet --no-trunc --filter label=com.docker.compose.project={docker_site.project_of(project_of(fake))}"
    fake.answer(words, "\n".join(item["Id"] for item in shared))
    if shared:
        fake.answer(" ".join(["inspect --type container", *(item["Id"] for item in shared)]), json.dumps(shared))


def volumes(fake: FakeDocker, listed: str = "", *, shared: bool = True) -> None:
    """Let these volumes of the environment be there, and the site's."""
    fake.answer("volume ls", listed)
    name = f"{docker_site.project_of(project_of(fake))}_aws"
    fake.answer(f"volume ls --quiet --filter name=^{name}$", name if shared else "")


def project_of(fake: FakeDocker) -> Environment:
    return model.load(fake.folder.parent / "project", flags={}, variables={})


@cache
def tools_digest(context: Path, arguments: tuple[tuple[str, str], ...], of: Callable[..., str]) -> str:
    return of(context, dict(arguments))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A daemon with the images and every service healthy."""
    monkeypatch.setattr(docker_waiting, "LOOK_SECONDS", 0.02)
    # The tool's own tree does not change while these run, and reading it all takes longer than most of them.
    of = docker_image.context_digest
    monkeypatch.setattr(
        docker_image,
        "context_digest",
        lambda context, arguments: tools_digest(context, tuple(sorted(arguments.items())), of),
    )
    fake = make(tmp_path / "bin")
    web = any_free()
    environment = project(tmp_path / "project", f"Local: {{Ports: {{Web: {web}, Aws: {any_free([web])}}}}}\n")
    names = docker_image.wanted(environment)
    context = docker_image.assets().context
    assert context is not None
    digest = docker_image.context_digest(context, docker_image.build_arguments(environment))
    fake.answer("image inspect", json.dumps([image(names.tool, digest), image(names.postgres), image(names.base)]))
    volumes(fake)
    fake.answer("network ls")
    fake.answer("ps --quiet", "id-worker-1")
    fake.answer("stats")
    fake.answer("logs", "the last line")
    fake.answer("compose --progress", '{"verdict": "ok"}')
    fake.answer("cp", status_file())
    show(fake, *(container(name) for name in SERVICES))
    return fake


@pytest.fixture
def environment(fake: FakeDocker, tmp_path: Path) -> Environment:
    return model.load(tmp_path / "project", flags={}, variables={})


def up(fake: FakeDocker, environment: Environment, timeout_s: float = 30) -> Any:
    engine = DockerEngine(environment, fake.variables)
    engine.prepare(environment, Quiet())
    return lifecycle.up(engine, environment, Quiet(), timeout_s=timeout_s)


def compose_calls(fake: FakeDocker) -> list[list[str]]:
    """Of the environment; the site has a Compose project of its own."""
    return [words for words in _composed(fake) if not words[4].startswith("mwaa-site-")]


def site_calls(fake: FakeDocker) -> list[list[str]]:
    return [words for words in _composed(fake) if words[4].startswith("mwaa-site-")]


def _composed(fake: FakeDocker) -> list[list[str]]:
    return [words for words in fake.asked if words[:2] == ["compose", "--progress"] and "run" not in words]


def test_first_up_starts_every_service_and_shows_no_secret(fake: FakeDocker, environment: Environment) -> None:
    result = up(fake, environment)
    first, second = compose_calls(fake)
    assert first[first.index("--project-name") + 1] == f"mwaa-{environment.id}"
    assert (
        first[-7:] == ["up", "--detach", "--no-build", "--remove-orphans", "postgres", "guardian", "migrate-db"]
        and "--no-deps" not in first
    )
    (shared,) = site_calls(fake)
    assert shared[-5:] == ["up", "--detach", "--no-build", "--no-deps", "aws"]
    # Always without dependencies: Compose counts those into what a service is.
    assert second[-6:] == ["--no-deps", "--scale", "worker=1", "scheduler", "worker", "webserver"]
    assert {item.name for item in result.components} == set(SERVICES)
    assert all(item.state == "healthy" for item in result.components)
    overlay = environment.state / "docker" / "compose.overlay.yaml"
    assert overlay.stat().st_mode & 0o777 == 0o600
    secrets = json.loads((environment.state / "secrets.json").read_text())
    said = json.dumps(fake.asked)
    assert secrets["database_password"] in overlay.read_text()
    assert (environment.state / "engine").read_text() == "docker\n", "it stays where its data lies"
    assert not [value for value in secrets.values() if value in said], "command lines are for everybody to see"


def test_second_up_changes_nothing_and_asks_compose_nothing(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    volumes(fake, f"mwaa-{environment.id}_database-3\n")
    fake.forget()
    result = up(fake, environment)
    assert result.changes == []
    assert compose_calls(fake) == []


def test_a_database_that_is_gone_is_said_and_none_is_made_in_its_place(
    fake: FakeDocker, environment: Environment
) -> None:
    up(fake, environment)
    volumes(fake, f"mwaa-{environment.id}_database-3\n")
    up(fake, environment)
    volumes(fake)
    fake.forget()
    (environment.state / "docker" / "kept.json").unlink()  # as an earlier version left it
    with pytest.raises(EngineError, match=r"is gone \(Airflow 3\.2\.1 used it\)") as caught:
        up(fake, environment)
    assert caught.value.where == f"volume mwaa-{environment.id}_database-3"
    assert compose_calls(fake) == []


@pytest.mark.parametrize("name", ["database-3", "database-2"])
def test_a_volume_with_data_that_is_gone_is_named(fake: FakeDocker, environment: Environment, name: str) -> None:
    project = f"mwaa-{environment.id}"
    names = ["database-2", "database-3", "packages", "secrets"]
    up(fake, environment)
    volumes(fake, "".join(f"{project}_{one}\n" for one in names))
    up(fake, environment)
    volumes(fake, "".join(f"{project}_{one}\n" for one in names if one not in (name, "packages")))
    fake.forget()
    with pytest.raises(EngineError, match="data are gone") as caught:
        up(fake, environment)
    assert caught.value.where == f"volume {project}_{name}"
    assert compose_calls(fake) == []


def test_an_up_that_was_cut_before_there_was_a_database_is_no_loss(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)  # Compose made no volume
    assert up(fake, environment).changes[0].startswith("made an empty database")
    assert not (environment.state / "databases.json").exists()


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"3": 3}', "{half"])
def test_a_damaged_note_of_the_databases_is_written_anew(text: str, fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    volumes(fake, f"mwaa-{environment.id}_database-3\n")
    (environment.state / "databases.json").write_text(text)
    result = up(fake, environment)
    assert result.changes == ["databases.json: written anew from what the databases say (Airflow 3.2.1)"]
    assert json.loads((environment.state / "databases.json").read_text()) == {"3": "3.2.1"}


def test_a_changed_requirement_leaves_the_neighbours_alone(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    environment.workflow.requirements.write_text("humanize==4.9.0\n")
    fake.forget()
    up(fake, environment)
    (words,) = compose_calls(fake)
    assert words[-6:] == ["--no-deps", "--scale", "worker=1", "scheduler", "worker", "webserver"]


@pytest.mark.parametrize("name", ["postgres", "guardian"])
def test_a_neighbour_that_is_gone_or_unwell_is_brought_up_too(
    fake: FakeDocker, environment: Environment, name: str
) -> None:
    up(fake, environment)
    environment.workflow.requirements.write_text("humanize==4.9.0\n")
    others = [container(other) for other in SERVICES if other != name]
    for there in (others, [*others, container(name, Health={"Status": "unhealthy", "Log": []})]):
        show(fake, *there)
        fake.forget()
        with pytest.raises(EngineError, match=f"{name} did not become healthy"):
            up(fake, environment, timeout_s=0)
        assert compose_calls(fake)[0][-7:] == [
            "up",
            "--detach",
            "--no-build",
            "--remove-orphans",
            "postgres",
            "guardian",
            "migrate-db",
        ]


def test_an_up_that_was_cut_is_finished_by_the_next(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    (environment.state / "docker" / "applied.json").unlink()
    fake.forget()
    up(fake, environment)
    assert len(compose_calls(fake)) == 2


def test_airflow_waits_for_the_migration(fake: FakeDocker, environment: Environment) -> None:
    running = container("migrate-db", Health=None)
    show(fake, *(container(name) for name in SERVICES), running)
    with pytest.raises(EngineError, match="within 2 s"):
        up(fake, environment, timeout_s=2)
    assert [words[-1] for words in compose_calls(fake)] == ["migrate-db"]
    done = container("migrate-db", Status="exited", Health=None, Pid=0)
    show(fake, *(container(name) for name in SERVICES), done)
    fake.forget()
    up(fake, environment)
    assert [words[-1] for words in compose_calls(fake)] == ["migrate-db", "webserver"]


def test_a_component_that_tells_why_it_cannot_boot_ends_the_wait(fake: FakeDocker, environment: Environment) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    starting = {"Status": "starting", "Log": []}
    broken = container("worker", StartedAt=now, Health=starting)
    show(fake, *(container(name) for name in SERVICES if name != "worker"), broken)
    error = {
        "id": "startup-script",
        "what": "the startup script lost it",
        "where": "startup.sh",
        "why": "w",
        "hint": "h",
    }
    told = status_file(state="failed", error=error, started_epoch=time.time() + 600)  # a boot of this very `up`
    fake.answer("cp id-worker-1:/usr/local/mwaa/run/status.json", told)
    watch = Stopwatch()
    with pytest.raises(StartupScriptError, match="worker: the startup script lost it"):
        up(fake, environment, timeout_s=60)
    assert watch.given() < 30


def test_a_failure_from_before_up_does_not_count(fake: FakeDocker, environment: Environment) -> None:
    """A corrected script must not be refused because its old container still tells of the old one."""
    broken = container("worker", Status="restarting", ExitCode=1)
    show(fake, *(container(name) for name in SERVICES if name != "worker"), broken)
    error = {"id": "startup-script", "what": "the startup script lost it", "where": "", "why": "", "hint": ""}
    fake.answer("cp", status_file(state="failed", error=error, started_epoch=time.time() - 5))
    fake.answer("compose --progress", seconds=1.2)
    with pytest.raises(EngineError, match="worker did not become healthy within 2 s"):
        up(fake, environment, timeout_s=2)


def test_nor_when_nothing_else_changed(fake: FakeDocker, environment: Environment) -> None:
    """A file put back to what was applied before: the containers that stumbled over it boot anew by themselves."""
    up(fake, environment)
    broken = container("worker", Status="restarting", ExitCode=1)
    show(fake, *(container(name) for name in SERVICES if name != "worker"), broken)
    error = {"id": "startup-script", "what": "the startup script lost it", "where": "", "why": "", "hint": ""}
    fake.answer("cp", status_file(state="failed", error=error, started_epoch=time.time() - 5))
    with pytest.raises(EngineError, match="worker did not become healthy within 2 s"):
        up(fake, environment, timeout_s=2)


@pytest.mark.parametrize(("restarts", "enough"), [(2, False), (3, True)])
def test_a_component_that_ends_again_and_again_ends_the_wait(
    fake: FakeDocker, environment: Environment, restarts: int, enough: bool
) -> None:
    fake.answer("cp", code=1, err="no such file")
    steady = [container(name) for name in SERVICES if name != "webserver"]

    def webserver(count: int) -> dict[str, Any]:
        return container("webserver", Status="restarting", ExitCode=137, RestartCount=count)

    class Restarting(Quiet):
        """Docker restarts it once it has been seen: what counts is since `up` began."""

        def note(self, text: str) -> None:
            show(fake, *steady, webserver(7 + restarts))

    show(fake, *steady, webserver(7))
    engine = DockerEngine(environment, fake.variables)
    engine.prepare(environment, Quiet())
    with pytest.raises(EngineError) as caught:
        lifecycle.up(engine, environment, Restarting(), timeout_s=3)
    said = f"webserver cannot start: it was ended by signal 9, {restarts} times"
    assert caught.value.what == (said if enough else "webserver did not become healthy within 3 s")
    assert "the last line" in caught.value.why


def test_too_late_names_who_is_and_shows_its_last_lines(fake: FakeDocker, environment: Environment) -> None:
    slow = container("scheduler", Health={"Status": "starting", "Log": [{"Output": "no heartbeat yet\n"}]})
    show(fake, *(container(name) for name in SERVICES if name != "scheduler"), slow)
    with pytest.raises(EngineError, match="scheduler did not become healthy within 1 s") as caught:
        up(fake, environment, timeout_s=1)
    assert "the last line" in caught.value.why


def test_a_failed_migration_is_told_in_its_own_words(fake: FakeDocker, environment: Environment) -> None:
    migration = container("migrate-db", Status="exited", ExitCode=1, Health=None, Pid=0)
    show(fake, container("postgres"), container("aws"), migration)
    error = {"id": "engine", "what": "the migration failed", "where": "", "why": "relation exists", "hint": "h"}
    fake.answer("cp", status_file(state="failed", error=error))
    own = f"compose --progress plain --project-name mwaa-{environment.id}"
    fake.answer(own, "service migrate-db didn't complete successfully: exit 1", code=1)
    with pytest.raises(EngineError, match="migrate-db: the migration failed"):
        up(fake, environment)


def test_a_migration_that_fails_after_compose_was_content_fails_up_and_starts_no_airflow(
    fake: FakeDocker, environment: Environment
) -> None:
    """`compose up` of the first stage ends well when the job has begun; what the job ends with is ours to see."""
    migration = container("migrate-db", Status="exited", ExitCode=3, Health=None, Pid=0)
    show(fake, container("postgres"), container("aws"), container("guardian"), migration)
    fake.answer("cp", code=1, err="no such file")
    with pytest.raises(EngineError, match="migrate-db ended with exit code 3") as caught:
        up(fake, environment, timeout_s=10)
    assert "the last line" in caught.value.why
    assert len(compose_calls(fake)) == 1
    assert not (environment.state / "engine").exists(), "what did not come up is not remembered"


def test_a_taken_port_names_the_container_that_has_it(fake: FakeDocker, environment: Environment) -> None:
    port = environment.local.ports.web
    fake.answer("compose --progress", f"Bind for 127.0.0.1:{port} failed: port is already allocated", code=1)
    fake.answer(f"ps --filter publish={port}", "somebody-else-web-1")
    with pytest.raises(MachineError, match=f"port {port} is taken") as caught:
        up(fake, environment)
    assert caught.value.why == "container somebody-else-web-1 publishes it"


def test_a_database_whose_keys_are_gone_is_not_silently_locked_out(fake: FakeDocker, environment: Environment) -> None:
    volumes(fake, f"mwaa-{environment.id}_database-2\n")
    with pytest.raises(EngineError, match="its keys are gone") as caught:
        up(fake, environment)
    assert "reset" in caught.value.hint


def test_data_of_the_process_engine_is_not_hidden(fake: FakeDocker, environment: Environment) -> None:
    environment.state.mkdir(parents=True)
    (environment.state / "plan.json").write_text("{}")
    with pytest.raises(EngineError, match="started with the process engine"):
        up(fake, environment)


def test_a_database_of_a_version_that_is_not_known_never_goes_back(
    fake: FakeDocker, environment: Environment, tmp_path: Path
) -> None:
    older = project(tmp_path / "project", "AirflowVersion: 2.10.3\n")
    older.state.mkdir(parents=True)
    Databases(older.state).note("2.99.0")
    with pytest.raises(EngineError, match=r"holds an Airflow 2\.99\.0 database"):
        DockerEngine(older, fake.variables).prepare(older, Quiet())
    # One of another major is no hindrance: it stays aside.
    DockerEngine(environment, fake.variables).prepare(environment, Quiet())


def test_another_major_has_its_own_volume(environment: Environment, tmp_path: Path) -> None:
    other = project(tmp_path / "project", "AirflowVersion: 2.10.3\n")
    volumes = {docker_plan.database_volume(one) for one in (environment, other)}
    assert volumes == {f"mwaa-{environment.id}_database-3", f"mwaa-{environment.id}_database-2"}


def test_down_ends_tasks_first_and_keeps_volumes(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    for words in ("stop", "rm", "network rm"):
        fake.answer(words)
    fake.answer("network ls", "net-1")
    fake.forget()
    DockerEngine(environment, fake.variables).down(timeout_s=77)
    stops = [words for words in fake.asked if words[0] == "stop"]
    assert stops[0] == ["stop", "--time", "77", "id-scheduler-1", "id-worker-1"]
    assert [set(words[3:]) for words in stops[1:]] == [
        {"id-webserver-1", "id-guardian-1"},
        {"id-postgres-1"},
        {"id-aws-1"},
    ]
    assert ["network", "rm", "net-1"] in fake.asked
    assert not [words for words in fake.asked if words[:2] == ["volume", "rm"]]


def test_reset_removes_volumes_and_state(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    for words in ("rm", "volume rm"):
        fake.answer(words)
    volumes(fake, "v1\nv2\n")
    fake.answer("network ls")
    DockerEngine(environment, fake.variables).reset()
    assert ["volume", "rm", "v1", "v2"] in fake.asked
    assert not (environment.state / "secrets.json").exists()


def test_looking_when_nothing_was_ever_started_asks_once(fake: FakeDocker, environment: Environment) -> None:
    show(fake)
    engine = DockerEngine(environment, fake.variables)
    assert engine.components() == []
    assert engine.addresses() is None


def test_components_after_down_are_stopped(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    show(fake)
    states = DockerEngine(environment, fake.variables).components()
    assert {(item.name, item.state) for item in states} == {(name, "stopped") for name in SERVICES}


@pytest.mark.parametrize(
    ("given", "state", "detail"),
    [
        ({}, "healthy", ""),
        ({"Health": None}, "healthy", ""),
        ({"Health": {"Status": "starting", "Log": [{"Output": "no heartbeat\n"}]}}, "starting", "no heartbeat"),
        ({"Health": {"Status": "starting", "Log": []}, "RestartCount": 2}, "restarting", ""),
        ({"Health": {"Status": "unhealthy", "Log": [{"Output": "answered 500"}]}}, "unhealthy", "answered 500"),
        ({"Status": "restarting", "ExitCode": 3}, "restarting", "ended with exit code 3; Docker starts it again"),
        ({"Status": "restarting", "ExitCode": 137, "OOMKilled": True}, "restarting", "memory limit"),
        ({"Status": "exited", "ExitCode": 0, "Pid": 0}, "stopped", "exit code 0"),
        ({"Status": "created", "Error": "cannot mount", "Pid": 0}, "failed", "cannot mount"),
        ({"Status": "paused"}, "unhealthy", ""),
    ],
)
def test_what_docker_says_as_states(fake: FakeDocker, given: dict[str, Any], state: str, detail: str) -> None:
    show(fake, container("worker", 2, **given))
    (item,) = docker_state.look(Docker.find(fake.variables), "x")
    described = docker_state.describe(item, None)
    assert (described.name, described.state) == ("worker-2", state)
    assert detail in described.detail


def test_words_of_an_earlier_boot_do_not_count(fake: FakeDocker) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    show(fake, container("worker", StartedAt=now))
    docker = Docker.find(fake.variables)
    there = docker_state.look(docker, "x")
    assert docker_state.statuses(docker, there).keys() == {"worker"}
    fake.answer("cp", status_file(started_epoch=time.time() - 100))
    assert docker_state.statuses(docker, there) == {}


def test_memory_is_dockers_figure_where_processes_are_elsewhere(fake: FakeDocker) -> None:
    fake.answer("stats", "id-worker-1 512.5MiB / 2GiB\nid-postgres-1 1.5GiB / 2GiB\n")
    docker = Docker.find(fake.variables)
    found = docker_state.memory(docker, docker_state.look(docker, "x"))
    assert found == {"worker": int(512.5 * 2**20), "postgres": int(1.5 * 2**30)}


def test_run_keeps_the_exit_code_and_names_who_cannot(fake: FakeDocker, environment: Environment) -> None:
    fake.answer("exec", code=7)
    engine = DockerEngine(environment, fake.variables)
    assert engine.run("worker", ["airflow", "version"], interactive=False) == 7
    words = fake.asked[-1]
    assert words[:2] == ["exec", "--interactive"] and "--tty" not in words
    assert words[-7:] == ["-m", "mwaa_local.runtime", "exec", "worker", "--", "airflow", "version"]
    with pytest.raises(EngineError, match="nothing can be run in 'postgres'"):
        engine.run("postgres", ["true"], interactive=False)
    with pytest.raises(EngineError, match="no component 'nobody'"):
        engine.run("nobody", ["true"], interactive=False)


def test_logs_of_a_component(fake: FakeDocker, environment: Environment) -> None:
    fake.answer("logs --tail 5 id-worker-1", "one\ntwo\n")
    assert list(DockerEngine(environment, fake.variables).logs("worker", follow=False, lines=5)) == ["one", "two"]


# -- the rest of its life ----------------------------------------------------------------------------------------------


def test_no_process_of_the_old_version_meets_the_new_ones_migration(
    fake: FakeDocker, environment: Environment, tmp_path: Path
) -> None:
    """All of the old end, tasks with their time, and are removed before Compose makes anything of the new."""
    older = project(
        tmp_path / "project", f"Local: {{Ports: {{Web: {any_free()}, Aws: {any_free()}}}}}\nAirflowVersion: 2.10.3\n"
    )
    up_of(fake, older)
    for words in ("stop", "rm"):
        fake.answer(words)
    fake.forget()
    newer = project(tmp_path / "project", "AirflowVersion: 2.11.0\n")
    up_of(fake, newer)
    said = [words[0] for words in fake.asked if words[0] in ("stop", "rm", "compose") and words[1:2] != ["version"]]
    assert said == ["compose", "stop", "stop", "stop", "rm", "compose", "compose"], "the site, the old, the new"
    (first, *_) = [words for words in fake.asked if words[0] == "stop"]
    assert first == ["stop", "--time", "100", "id-scheduler-1", "id-worker-1"]
    (removed,) = [words for words in fake.asked if words[0] == "rm"]
    assert removed[1:3] == ["--force", "--volumes"] and len(removed) == 3 + len(SERVICES) - 1


def up_of(fake: FakeDocker, environment: Environment) -> Any:
    names = docker_image.wanted(environment)
    context = docker_image.assets().context
    assert context is not None
    digest = docker_image.context_digest(context, docker_image.build_arguments(environment))
    fake.answer("image inspect", json.dumps([image(names.tool, digest), image(names.postgres), image(names.base)]))
    return up(fake, environment)


def test_down_is_bounded_by_the_time_it_is_told(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    for words in ("stop", "rm"):
        fake.answer(words)
    for timeout_s, expected in (
        (0.2, ["1", "0", "0", "20"]),
        (7, ["7", "7", "7", "20"]),
        (77, ["77", "20", "20", "20"]),
    ):
        fake.forget()
        DockerEngine(environment, fake.variables).down(timeout_s=timeout_s)
        times = [words[2] for words in fake.asked if words[0] == "stop"]
        assert [str(max(1, int(one))) for one in expected] == times


def test_what_cannot_be_removed_is_named_and_what_the_daemon_removed_itself_is_not(
    fake: FakeDocker, environment: Environment
) -> None:
    show(fake, container("worker"))
    fake.answer("stop")
    fake.answer("rm", code=1, err="removal is already in progress")
    with pytest.raises(EngineError, match="worker could not be removed") as caught:
        DockerEngine(environment, fake.variables).down(timeout_s=1)
    assert caught.value.why == "removal is already in progress"


def test_a_command_on_an_environment_that_never_was_makes_no_folder(fake: FakeDocker, environment: Environment) -> None:
    show(fake)
    engine = DockerEngine(environment, fake.variables)
    engine.down(timeout_s=1)
    engine.reset()
    assert not environment.state.exists()


def test_reset_wipes_all_but_its_lock(fake: FakeDocker, environment: Environment, tmp_path: Path) -> None:
    up(fake, environment)
    fake.answer("rm")
    outside = tmp_path / "outside"
    outside.mkdir()
    (environment.state / "link").symlink_to(outside)
    fake.answer("volume rm")
    label = f"label=com.docker.compose.project={docker_site.project_of(environment)}"
    fake.answer(f"volume ls --quiet --filter {label}", "mwaa-site-packages")
    fake.forget()
    DockerEngine(environment, fake.variables).reset()
    assert [path.name for path in environment.state.iterdir()] == ["up.lock"]
    assert outside.exists()
    assert not [words for words in fake.asked if words[0] == "stop"], "it asks nobody to end"
    site = docker_site.project_of(environment)
    removed = [words[2:] for words in fake.asked if words[:2] == ["volume", "rm"]]
    assert removed == [[f"{site}_aws", "mwaa-site-packages"]], "the last environment takes the site with it"
    assert not (environment.site / "_site/docker").exists()


def test_a_restart_stops_starts_and_waits(fake: FakeDocker, environment: Environment) -> None:
    for words in ("stop", "start"):
        fake.answer(words)
    engine = DockerEngine(environment, fake.variables)
    engine.restart("worker", Quiet())
    assert [words for words in fake.asked if words[0] in ("stop", "start")] == [
        ["stop", "id-worker-1"],
        ["start", "id-worker-1"],
    ]
    fake.answer("start", code=1, err="no such image")
    with pytest.raises(EngineError, match="docker start worker failed"):
        engine.restart("worker", Quiet())
    with pytest.raises(EngineError, match="no component 'nobody'") as caught:
        engine.restart("nobody", Quiet())
    assert caught.value.why == "components: postgres, webserver, scheduler, worker, guardian, aws"


def packed(name: str, value: Any) -> bytes:
    text = json.dumps(value).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    return out.getvalue()


def test_exports_and_variables_of_a_running_component(fake: FakeDocker, environment: Environment) -> None:
    engine = DockerEngine(environment, fake.variables)
    run = "cp id-worker-1:/usr/local/mwaa/run"
    fake.answer(f"{run}/status.json", status_file(startup_script={"variables": ["A", "GONE"]}))
    fake.answer(f"{run}/environment.json", packed("environment.json", {"variables": {"A": "1", "B": "2"}}))
    assert engine.exports("worker") == {"A": "1"}
    assert engine.variables("worker") == {"A": "1", "B": "2"}
    assert engine.exports("nobody") is None and engine.variables("nobody") is None
    fake.answer(f"{run}/environment.json", code=1)
    assert engine.exports("worker") == {}
    assert engine.variables("worker") is None, "AWS's own image keeps none"
    show(fake, container("worker", Status="exited", Pid=0))
    assert engine.exports("worker") is None and engine.variables("worker") is None


def test_a_command_needs_a_component_that_runs(fake: FakeDocker, environment: Environment) -> None:
    fake.answer("exec")
    show(fake, container("worker", Status="exited", Pid=0), container("migrate-db", Status="running", Health=None))
    engine = DockerEngine(environment, fake.variables)
    with pytest.raises(EngineError, match="nothing can be run in 'worker'") as caught:
        engine.run("worker", ["true"], interactive=False)
    assert caught.value.why == "it is exited"
    with pytest.raises(EngineError, match="no component 'migrate-db'"):
        engine.run("migrate-db", ["true"], interactive=False)


def test_an_image_of_aws_has_no_runtime_of_ours(fake: FakeDocker, tmp_path: Path) -> None:
    fake.answer("exec")
    foreign = project(tmp_path / "foreign", "Local: {Image: 'amazon/mwaa:3.2.1'}\n")
    DockerEngine(foreign, {**fake.variables, "TERM": "xterm", "LINES": ""}).run(
        "worker", ["airflow", "x"], interactive=False
    )
    assert fake.asked[-1] == [
        "exec", "--interactive", "--env", "TERM", "id-worker-1",
        "bash", "-c", '. ~/.bashrc; exec "$@"', "bash", "airflow", "x",
    ]  # fmt: skip


def test_verdicts_and_warnings_of_what_runs(fake: FakeDocker, environment: Environment) -> None:
    failed = {"verdict": "failed", "error": {"what": "no such package"}}
    script = {"exit_status": 1, "seconds": 1.0, "tail": []}
    fake.answer("cp", status_file(requirements=failed, startup_script=script))
    result = up(fake, environment)
    assert [error.what for error in result.verdicts] == ["no such package"]
    assert result.warnings == ["webserver, scheduler, worker: the startup script ended with exit status 1"]


def test_a_command_reads_the_file_it_is_given_and_a_signal_becomes_a_shells_code(
    fake: FakeDocker, environment: Environment, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.write_text("given")
    program = fake.folder / "docker"
    text = program.read_text().replace(
        "esac", '"exec "*) /bin/cat > ' + str(tmp_path / "out") + "; kill -TERM $$;;\nesac"
    )
    program.write_text(text)
    assert DockerEngine(environment, fake.variables).run("worker", ["x"], interactive=False, stdin=source) == 128 + 15
    assert (tmp_path / "out").read_text() == "given"


def test_following_goes_on_across_a_restart_and_ends_when_it_is_taken_down(
    fake: FakeDocker, environment: Environment
) -> None:
    fake.answer("logs --follow --tail 5 id-worker-1", "one\ntwo\r\n")
    fake.answer("logs --follow --since", "three\n")
    fake.answer("logs --follow --tail all id-worker-9", "four\n")
    engine = DockerEngine(environment, fake.variables)
    lines = engine.logs("worker", follow=True, lines=5)
    assert [next(lines), next(lines), next(lines)] == ["one", "two", "three"]
    another = container("worker", 1)
    another["Id"] = "id-worker-9"
    show(fake, another)
    assert next(lines) == "four"
    show(fake, container("worker", Status="exited", Pid=0))
    assert list(lines) == []


def test_a_follower_that_leaves_ends_dockers_own(fake: FakeDocker, environment: Environment) -> None:
    fake.answer("logs --follow", "one\n", seconds=0)
    lines = DockerEngine(environment, fake.variables).logs("worker", follow=True, lines=5)
    assert next(lines) == "one"
    lines.close()  # type: ignore[attr-defined]
    assert os.getpid() not in processes.parents().values()


def test_the_endpoints_volume_is_looked_at_by_a_container_without_a_network(
    fake: FakeDocker, environment: Environment
) -> None:
    engine = DockerEngine(environment, fake.variables)
    with pytest.raises(EngineError, match="runs, and what it is writing"):
        engine.endpoint_state(repair=False)
    show(fake)
    assert engine.endpoint_state(repair=True) == {}, "there is no volume yet"
    volumes(fake, f"mwaa-{environment.id}_aws\n")
    fake.answer("run --rm", 'a line of something else\n{"damage": [], "kept": ["s3"]}\n')
    assert engine.endpoint_state(repair=True) == {"damage": [], "kept": ["s3"]}
    (words,) = [words for words in fake.asked if words[0] == "run"]
    assert words[words.index("--network") + 1] == "none"
    assert f"mwaa-{environment.id}_aws:/usr/local/mwaa/aws" in words
    assert words[-3:] == ["--state", "/usr/local/mwaa/aws", "--repair"]
    fake.forget()
    engine.endpoint_state(repair=False)
    (words,) = [words for words in fake.asked if words[0] == "run"]
    assert "--repair" not in words


def test_a_worker_too_many_is_removed_and_compose_is_always_closed(
    fake: FakeDocker, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[float] = []
    close = docker_waiting.Compose.close

    def noting(compose: Any, *, patience_s: float) -> None:
        closed.append(patience_s)
        close(compose, patience_s=patience_s)

    monkeypatch.setattr(docker_waiting.Compose, "close", noting)
    up(fake, environment)
    assert all("--remove-orphans" in words for words in compose_calls(fake))
    assert closed == [0.0, 0.0], "the site's, the environment's"
    environment.workflow.requirements.write_text("humanize==4.9.0\n")
    show(fake, *(container(name) for name in SERVICES if name != "worker"))
    with pytest.raises(EngineError, match="worker did not become healthy"):
        up(fake, environment, timeout_s=0)
    assert len(closed) == 3
    assert closed[2] >= 10, "it may be between stopping a container and making the next"


def runs(fake: FakeDocker) -> list[list[str]]:
    """Containers that made a package set ahead."""
    return [words for words in fake.asked if words[:1] == ["compose"] and "run" in words]


def test_changed_requirements_are_installed_before_anything_is_stopped(
    fake: FakeDocker, environment: Environment
) -> None:
    up(fake, environment)
    assert runs(fake) == [], "nothing ran: the boot tells"
    environment.workflow.requirements.write_text("humanize==4.9.0\n")
    fake.forget()
    up(fake, environment)
    (words,) = runs(fake)
    assert words[words.index("run") :] == [
        "run", "--rm", "--no-deps", "--no-TTY", "--name", f"mwaa-{environment.id}-packages", "--env", "MWAA_LOCAL__EXPORTS",
        "--entrypoint", "/opt/mwaa/tool/bin/python", "worker", "-m", "mwaa_local.runtime", "packages", "worker",
    ]  # fmt: skip
    composed = [words for words in fake.asked if words[:2] == ["compose", "--progress"]]
    assert ["run" in words for words in composed] == [True, False], "then Airflow's components are made anew"
    assert not (environment.state / "docker/compose.ahead.yaml").exists()


def test_requirements_that_cannot_be_had_leave_what_runs(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    folder = environment.state / "docker"
    before = {name: (folder / name).read_bytes() for name in ("plan.json", "applied.json", "compose.overlay.yaml")}
    environment.workflow.requirements.write_text("six==1.0.0\nsix==2\n")
    failed = {"verdict": "failed", "error": {"what": "six cannot be resolved", "why": "two of it"}}
    fake.answer("compose --progress", json.dumps(failed))
    fake.forget()
    with pytest.raises(RequirementsError, match="six cannot be resolved") as caught:
        up(fake, environment)
    assert "what runs goes on" in caught.value.why
    assert compose_calls(fake) == [] and not [words for words in fake.asked if words[0] in ("stop", "rm")]
    assert {name: (folder / name).read_bytes() for name in before} == before
    allowed = model.load(environment.project, flags={"Local.AllowFailedRequirements": True}, variables={})
    up(fake, allowed)
    assert compose_calls(fake)


def test_a_container_that_could_not_run_is_an_error_of_its_own(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    environment.workflow.requirements.write_text("humanize==4.9.0\n")
    fake.answer("compose --progress", err="no space left on device", code=1)
    with pytest.raises(MachineError, match="disk of the Docker daemon is full"):
        up(fake, environment)
    assert not (environment.state / "docker/compose.ahead.yaml").exists()


def test_what_keeps_the_endpoint_down_is_told_as_that(fake: FakeDocker, environment: Environment) -> None:
    """And not as a fault of the guardian, which waits for it."""
    steady = [container(name) for name in SERVICES if name != "aws"]

    def endpoint(count: int) -> dict[str, Any]:
        return container("aws", Status="restarting", ExitCode=1, RestartCount=count)

    class Restarting(Quiet):
        def note(self, text: str) -> None:
            show(fake, *steady, endpoint(5))

    show(fake, *steady, endpoint(0))
    fake.answer("logs", "s3.json: no JSON; mwaa-local doctor --state --repair")
    engine = DockerEngine(environment, fake.variables)
    engine.prepare(environment, Quiet())
    with pytest.raises(EngineError, match=r"aws cannot start") as caught:
        lifecycle.up(engine, environment, Restarting(), timeout_s=30)
    assert "doctor --state --repair" in caught.value.why
    assert compose_calls(fake) == [], "nothing of the environment was begun"


def test_the_volume_that_an_environment_of_0_1_had_becomes_the_sites(
    fake: FakeDocker, environment: Environment
) -> None:
    old = f"mwaa-{environment.id}_aws"
    folder, kept = environment.state / "docker", environment.site / "_site/docker/kept.json"
    folder.mkdir(parents=True)
    (folder / "kept.json").write_text(json.dumps({"volumes": ["aws"]}))
    fake.answer(f"volume ls --quiet --filter name=^{old}$", old)
    for words in ("stop", "rm"):
        fake.answer(words)
    own = container("aws")  # which still runs as one of the environment's services
    fake.answer("ps --all", "\n".join([*(f"id-{name}-1" for name in SERVICES), own["Id"]]))
    show(fake, *(container(name) for name in SERVICES))
    changes = up(fake, environment).changes
    assert f"the AWS data of this environment are its site's now: volume {old}" in changes
    assert json.loads(kept.read_text()) == {"volume": old}
    for place in (environment.site / "_site/docker", folder):
        text = (place / "compose.overlay.yaml").read_text()
        assert old in text and "external: true" in text, "Compose makes no other in its place"


def test_the_volume_of_a_second_environment_of_0_1_stays_and_is_named(
    fake: FakeDocker, environment: Environment
) -> None:
    up(fake, environment)
    old = f"mwaa-{environment.id}_aws"
    note = environment.state / "docker/kept.json"
    volumes(fake, f"mwaa-{environment.id}_database-3\n")
    fake.answer(f"volume ls --quiet --filter name=^{old}$", old)
    note.write_text(json.dumps({"volumes": ["database-3"]}))
    assert [line for line in up(fake, environment).changes if old in line] == [], "it never had one"
    note.write_text(json.dumps({"volumes": ["aws", "database-3"]}))
    assert [line for line in up(fake, environment).changes if old in line and "unused" in line]
    note.unlink()
    assert [line for line in up(fake, environment).changes if old in line and "unused" in line], "where no note says it"


def test_a_site_whose_volume_is_gone_is_refused(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    volumes(fake, f"mwaa-{environment.id}_database-3\n", shared=False)
    fake.forget()
    with pytest.raises(EngineError, match="some of this site's data are gone") as caught:
        up(fake, environment)
    assert caught.value.where == f"volume {docker_site.project_of(environment)}_aws"
    assert site_calls(fake) == compose_calls(fake) == []


def test_down_of_one_of_two_leaves_the_site(fake: FakeDocker, environment: Environment) -> None:
    up(fake, environment)
    for words in ("stop", "rm", "network rm"):
        fake.answer(words)
    other = environment.site / "other/docker"
    other.mkdir(parents=True)
    (other / "plan.json").write_text("{}")
    project = f"mwaa-{id_of('other', environment.project)}"
    engine = DockerEngine(environment, fake.variables)

    def stopped() -> bool:
        return ["stop", "--time", "20", "id-aws-1"] in fake.asked

    fake.answer("ps --format", f"{project}\nsomebody-elses\n")
    fake.forget()
    engine.down(timeout_s=5)
    assert not stopped(), "the other one runs"
    fake.answer("ps --format", "somebody-elses\n")
    (other / "plan.json").unlink()
    with locks.lock(other.parent / "up.lock", seconds=1.0, busy=""):
        engine.down(timeout_s=5)
    assert not stopped(), "the other one is coming up for the first time"
    fake.forget()
    engine.down(timeout_s=5, keep_site=True)
    assert not stopped(), "it was to be kept"
    engine.down(timeout_s=5)
    assert stopped()


@pytest.mark.parametrize("fixed", [False, True])
def test_a_port_that_is_taken_during_the_start_is_replaced_unless_it_was_asked_for(
    fake: FakeDocker, environment: Environment, monkeypatch: pytest.MonkeyPatch, fixed: bool
) -> None:
    if not fixed:
        project(environment.project, f"Local: {{Ports: {{Aws: {any_free()}}}}}\n")
    environment = model.load(environment.project, flags={}, variables={})
    taken: list[int] = []
    real = docker_engine.until_healthy

    def until_healthy(*words: Any, **more: Any) -> Any:
        made = DockerEngine(environment, fake.variables)._plan()
        assert made is not None
        if not taken:
            taken.append(made.ports["web"])
            monkeypatch.setattr(ports, "is_free", lambda port: port not in taken)
            raise PortTakenError(taken[0], "process 7: a stranger")
        return real(*words, **more)

    monkeypatch.setattr(docker_engine, "until_healthy", until_healthy)
    if fixed:
        with pytest.raises(PortTakenError):
            up(fake, environment)
        return
    result = up(fake, environment)
    assert f"port {taken[0]} was taken during the start (process 7: a stranger): chose another one" in result.changes
    assert not result.addresses.web.endswith(f":{taken[0]}")
