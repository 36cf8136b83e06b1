"""The image: when it is built, from what, with which secrets, and what is said when it cannot be."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engines_docker_support import FakeDocker, image, make, project

from mwaa_local.engines.docker import image as docker_image
from mwaa_local.engines.docker.client import Docker
from mwaa_local.errors import EngineError

ROOT = Path(__file__).resolve().parents[2]


class Notes:
    """A step that remembers."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def fake(tmp_path: Path) -> FakeDocker:
    return make(tmp_path / "bin")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A small build context."""
    root = tmp_path / "repository"
    for name in (
        "docker/Dockerfile",
        "docker/with_ca.sh",
        "src/mwaa_local/runtime/boot.py",
        "src/mwaa_local/cli/app.py",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "README.md").write_text("words")
    (root / ".dockerignore").write_text("*\n!README.md\n!src/\n!docker/with_ca.sh\n")
    return root


def test_the_digest_is_of_what_the_image_is_made_from(context: Path) -> None:
    arguments = {"BASE": "al2023"}
    first = docker_image.context_digest(context, arguments)
    (context / "README.md").write_text("other words")
    (context / "src/mwaa_local/cli/app.py").write_text("other")
    (context / "notes.txt").write_text("not let in")
    cache = context / "src/mwaa_local/runtime/__pycache__"
    cache.mkdir()
    (cache / "boot.cpython-311.pyc").write_text("x")
    assert docker_image.context_digest(context, arguments) == first
    assert docker_image.context_digest(context, {"BASE": "debian"}) != first
    for name in ("src/mwaa_local/runtime/boot.py", "docker/with_ca.sh", "docker/Dockerfile"):
        before = docker_image.context_digest(context, arguments)
        (context / name).write_text("changed")
        assert docker_image.context_digest(context, arguments) != before, name


def test_rooms_left_out_of_the_digest_run_in_no_container() -> None:
    """Else a changed room would go on running in its old form."""
    program = (
        "import sys, pkgutil, importlib, runpy\n"
        "import mwaa_local.runtime, mwaa_local.aws.server.endpoint, mwaa_local.guardian.server, mwaa_local.packages.install_base\n"
        "for found in pkgutil.walk_packages(mwaa_local.runtime.__path__, 'mwaa_local.runtime.'):\n"
        "    if not found.name.endswith('__main__'): importlib.import_module(found.name)\n"
        f"runpy.run_path({str(ROOT / 'docker/prepare.py')!r})\n"
        "print(*sorted(name for name in sys.modules if name.startswith('mwaa_local.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    rooms = {name.split(".")[1] for name in done.stdout.split()}
    assert "runtime" in rooms
    assert not rooms & set(docker_image._HOST_ONLY)


def test_the_real_context_is_found_and_read_quickly() -> None:
    found = docker_image.assets()
    assert found.context == ROOT
    names = {name for name, _ in docker_image._context_files(ROOT)}
    assert {"docker/Dockerfile", "docker/prepare.py", "pyproject.toml", "src/mwaa_local/runtime/boot.py"} <= names
    assert not [name for name in names if "/cli/" in name or name.endswith(".pyc")]


def test_words_of_a_build(context: Path, tmp_path: Path) -> None:
    environment = project(tmp_path / "project", "AirflowVersion: 2.10.3\nLocal: {Base: debian}\n")
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificates")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine x login y password topsecret")
    variables = {
        "HOME": str(home),
        "SSL_CERT_FILE": str(bundle),
        "PIP_INDEX_URL": "https://user:topsecret@index.example/simple",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }
    words = docker_image.build_words(environment, context, "tag", "digest", variables)
    assert words[0] == "build" and words[-1] == str(context)
    pairs = list(itertools.pairwise(words))
    for name, value in (("BASE", "debian"), ("AIRFLOW_VERSION", "2.10.3"), ("PYTHON_VERSION", "3.11")):
        assert ("--build-arg", f"{name}={value}") in pairs
    assert ("--label", "io.mwaa-local.context=digest") in pairs
    assert ("--build-arg", "PIP_INDEX_URL") in pairs and ("--build-arg", "HTTPS_PROXY") in pairs
    assert ("--secret", f"id=ca,src={bundle}") in pairs
    assert ("--secret", f"id=netrc,src={home / '.netrc'}") in pairs
    assert "topsecret" not in " ".join(words), "a command line is for everybody to see"


def test_a_pip_conf_of_folders_on_this_machine_is_not_given(tmp_path: Path) -> None:
    config = tmp_path / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True)
    config.write_text("[global]\nindex-url = https://index.example/simple\n")
    assert docker_image.build_secrets({"HOME": str(tmp_path)})["pip_conf"] == config
    config.write_text("[global]\nfind-links = /opt/wheels\n")
    assert "pip_conf" not in docker_image.build_secrets({"HOME": str(tmp_path)})


def _ensure(fake: FakeDocker, project_folder: Path, context: Path | None) -> tuple[dict[str, str], list[str]]:
    notes = Notes()
    found = docker_image.ensure(Docker.find(fake.variables), project(project_folder), context, fake.variables, notes)
    return found, notes.texts


def _have(fake: FakeDocker, *images: dict[str, Any]) -> None:
    fake.answer("image inspect", json.dumps(images), code=0 if len(images) == 3 else 1, err="No such image: x")


def test_built_when_missing_or_made_from_other_files_and_not_again(
    fake: FakeDocker, context: Path, tmp_path: Path
) -> None:
    environment = project(tmp_path / "project")
    names = docker_image.wanted(environment)
    digest = docker_image.context_digest(context, docker_image.build_arguments(environment))
    others = (image(names.postgres), image(names.base))
    fake.answer("image prune")
    fake.answer("build", "#12 [tool 2/3] RUN x\n#13 [image 4/9] COPY y\n")

    _have(fake, image(names.tool, digest), *others)
    found, notes = _ensure(fake, tmp_path / "project", context)
    assert found == {names.tool: f"sha256:{names.tool}", names.postgres: f"sha256:{names.postgres}"}
    assert not [words for words in fake.asked if words[0] == "build"]

    _have(fake, image(names.tool, "other"), *others)
    _, notes = _ensure(fake, tmp_path / "project", context)
    assert [words[0] for words in fake.asked].count("build") == 1
    assert notes[0] == f"building {names.tool}: the tool's files changed"
    assert notes[1:] == ["tool 2/3", "image 4/9"]


def test_an_image_that_was_loaded_here_is_used_as_it_is(fake: FakeDocker, context: Path, tmp_path: Path) -> None:
    names = docker_image.wanted(project(tmp_path / "project"))
    _have(fake, image(names.tool), image(names.postgres))  # no label, and no base to build it from
    _ensure(fake, tmp_path / "project", context)
    assert not [words for words in fake.asked if words[0] in ("build", "pull")]


@pytest.mark.parametrize(
    ("said", "what", "hint"),
    [
        (
            "ERROR: failed to solve: amazonlinux:2023: failed to resolve source metadata for x: dial tcp: i/o timeout",
            "amazonlinux:2023 cannot be fetched",
            "docker/offline/build.py",
        ),
        (
            'dial tcp: i/o timeout\nERROR: process "/bin/sh -c uv pip install" did not complete successfully: exit code: 2',
            "could not fetch packages",
            "PIP_INDEX_URL",
        ),
        ("COPY failed: no such file", "the image cannot be built", "--engine process"),
        ("write /var/lib/docker/x: no space left on device", "disk of the Docker daemon is full", "docker system df"),
    ],
)
def test_a_build_that_fails_says_what_to_do(
    fake: FakeDocker, context: Path, tmp_path: Path, said: str, what: str, hint: str
) -> None:
    names = docker_image.wanted(project(tmp_path / "project"))
    _have(fake, image(names.postgres), image(names.base))
    fake.answer("build", said, code=1)
    with pytest.raises(Exception, match=what) as caught:
        _ensure(fake, tmp_path / "project", context)
    assert hint in caught.value.hint  # type: ignore[attr-defined]
    assert said.splitlines()[-1] in caught.value.why  # type: ignore[attr-defined]


def test_an_image_that_cannot_be_pulled_is_named(fake: FakeDocker, context: Path, tmp_path: Path) -> None:
    environment = project(tmp_path / "project")
    names = docker_image.wanted(environment)
    digest = docker_image.context_digest(context, docker_image.build_arguments(environment))
    _have(fake, image(names.tool, digest), image(names.base))
    fake.answer("pull", "", err="Error response from daemon: Get https://x: dial tcp: no such host", code=1)
    with pytest.raises(EngineError, match=f"{names.postgres} cannot be fetched"):
        _ensure(fake, tmp_path / "project", context)


def test_an_image_under_another_spelling_is_found(fake: FakeDocker) -> None:
    fake.answer("image inspect", json.dumps([image("postgres:15"), image("a:1")]))
    fake.answer("image inspect docker.io/library/postgres:15", json.dumps([image("postgres:15")]))
    found = docker_image.present(Docker.find(fake.variables), ["a:1", "docker.io/library/postgres:15"])
    assert set(found) == {"a:1", "docker.io/library/postgres:15"}
