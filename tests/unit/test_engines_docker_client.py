"""Every failure of the docker program becomes an error with a next step, in bounded time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engines_docker_support import DAEMON_DOWN, FakeDocker, image, make, project
from patience import Stopwatch

from mwaa_local.engines.docker import engine as docker
from mwaa_local.engines.docker import image as docker_image
from mwaa_local.engines.docker.client import CommandFailedError, Docker, NotFetchedError, PortTakenError, translate
from mwaa_local.errors import EngineError, MachineError


@pytest.fixture
def fake(tmp_path: Path) -> FakeDocker:
    return make(tmp_path / "bin")


@pytest.mark.parametrize(
    ("said", "kind", "what", "hint"),
    [
        (DAEMON_DOWN, EngineError, "no Docker daemon answers", "--engine process"),
        ("error during connect: this error may indicate", EngineError, "no Docker daemon", "start Docker"),
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            EngineError,
            "may not use the Docker daemon",
            "usermod",
        ),
        ("docker: 'compose' is not a docker command.", EngineError, "has no Compose", "install the plugin"),
        ("write /x: no space left on device", MachineError, "disk of the Docker daemon is full", "docker system df"),
        (
            "Error response from daemon: driver failed: Bind for 127.0.0.1:8080 failed: port is already allocated",
            PortTakenError,
            "port 8080 is taken",
            "Local.Ports",
        ),
        (
            "failed to set up container networking: listen tcp4 127.0.0.1:4566: bind: address already in use",
            PortTakenError,
            "port 4566 is taken",
            "Local.Ports",
        ),
        ("all predefined address pools have been fully subnetted", EngineError, "no network addresses", "prune"),
        (
            "failed to resolve source metadata for docker.io/library/amazonlinux:2023: dial tcp: lookup failed",
            NotFetchedError,
            "amazonlinux:2023 cannot be fetched",
            "docker/offline/build.py",
        ),
        ("something nobody has seen", CommandFailedError, "docker x failed", "mwaa-local status"),
    ],
)
def test_words_of_the_program_become_errors(said: str, kind: type[Exception], what: str, hint: str) -> None:
    error = translate(said, "docker x", images=("amazonlinux:2023",))
    assert type(error) is kind
    assert what in error.what
    assert hint in error.hint
    assert said in error.why


def test_without_a_docker_program(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no docker program on PATH"):
        Docker.find({"PATH": str(tmp_path)})


def test_a_daemon_that_hangs_costs_its_time_limit_and_no_more(fake: FakeDocker) -> None:
    fake.answer("ps", seconds=30)
    watch = Stopwatch()
    with pytest.raises(EngineError, match="docker ps did not end within"):
        Docker.find(fake.variables).output("ps", timeout_s=0.5)
    assert watch.given() < 5


def test_settings_of_the_caller_do_not_reach_compose(fake: FakeDocker) -> None:
    variables = {
        **fake.variables,
        "COMPOSE_FILE": "/x",
        "COMPOSE_PROJECT_NAME": "y",
        "MWAA_LOCAL_IMAGE": "z",
        "HOME": "/h",
    }
    assert set(Docker.find(variables).variables) == {"PATH", "HOME"}


@pytest.mark.parametrize(
    ("words", "out", "more", "what"),
    [
        ("info", "", {"code": 1, "err": DAEMON_DOWN}, "no Docker daemon answers"),
        ("info", '"" 0', {}, "no Docker daemon answers"),
        ("info", '"24.0.7" 2', {}, "Docker Engine 24.0.7 is too old"),
        ("compose version", "2.20.3", {}, "Docker Compose 2.20.3 is too old"),
        ("compose version", "", {"code": 1, "err": "docker: 'compose' is not a docker command"}, "has no Compose"),
    ],
)
def test_what_docker_lacks(fake: FakeDocker, words: str, out: str, more: dict[str, object], what: str) -> None:
    fake.answer(words, out, **more)
    with pytest.raises(EngineError, match=what):
        Docker.find(fake.variables).check(timeout_s=10)


def test_a_docker_that_serves(fake: FakeDocker) -> None:
    assert Docker.find(fake.variables).check(timeout_s=10) == 2


def test_why_unusable_is_one_line_in_bounded_time(fake: FakeDocker, tmp_path: Path) -> None:
    environment = project(tmp_path / "project")
    assert docker.why_unusable(environment, {"PATH": str(tmp_path)}) == "there is no docker program on PATH"
    fake.answer("info", seconds=60)
    watch = Stopwatch()
    reason = docker.why_unusable(environment, fake.variables)
    assert reason and "did not end within" in reason and "\n" not in reason
    assert watch.given() < 5


def test_why_unusable_names_what_would_have_to_be_fetched(fake: FakeDocker, tmp_path: Path) -> None:
    environment = project(tmp_path / "project")
    names = docker_image.wanted(environment)
    fake.answer("image inspect", "[]", code=1, err="Error: No such image: x")
    reason = docker.why_unusable(environment, fake.variables)
    assert reason and names.base in reason and names.postgres in reason and "docker/offline" in reason
    fake.answer("image inspect", json.dumps([image(names.base), image(names.postgres)]), code=1, err="No such image: x")
    assert docker.why_unusable(environment, fake.variables) is None, "ours can be built from the base"
    fake.answer("image inspect", json.dumps([image(names.tool), image(names.postgres)]), code=1, err="No such image: x")
    assert docker.why_unusable(environment, fake.variables) is None, "ours is there"
    assert not [words for words in fake.asked if words[0] in ("pull", "build")], "nothing is fetched"


def test_a_tool_from_a_wheel_cannot_build(fake: FakeDocker, tmp_path: Path) -> None:
    environment = project(tmp_path / "project")
    names = docker_image.wanted(environment)
    fake.answer("image inspect", json.dumps([image(names.base), image(names.postgres)]), code=1, err="No such image: x")
    reason = docker_image.why_missing(Docker.find(fake.variables), environment, None, timeout_s=5)
    assert reason and names.tool in reason and "docker load" in reason
    package = tmp_path / "site-packages" / "mwaa_local"
    shipped = package / "docker_assets"
    (shipped / "docker").mkdir(parents=True)
    for name in ("compose.yaml", "docker/compose.ca.yaml"):
        (shipped / name).touch()
    found = docker_image.assets(package)
    assert found.context is None and found.compose == shipped / "compose.yaml"
    with pytest.raises(EngineError, match=r"no compose\.yaml"):
        docker_image.assets(tmp_path / "empty" / "mwaa_local")
