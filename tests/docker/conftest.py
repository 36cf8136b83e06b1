"""What the Docker tests share: a daemon that answers, the stand-in bases, and the project's image built on them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from image_support import Run, ca_arguments, run


@pytest.fixture(scope="session")
def docker() -> Run:
    """Runs the docker program; tests are skipped where no daemon answers."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker program on this machine")
    if subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode:
        pytest.skip("no Docker daemon answers; docker/daemon.sh starts one")

    def call(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return run(["docker", *arguments], **options)  # type: ignore[arg-type]

    return call


@pytest.fixture(scope="session")
def bases(docker: Run) -> list[dict[str, object]]:
    """The base images, real or stand-ins, as docker/offline/build.py reports them."""
    done = run([sys.executable, "docker/offline/build.py", "--json"], check=False)
    result = json.loads(done.stdout)
    if not result["ok"] and any(
        word in result["error"]["what"] for word in ("needs root", "is missing", "no CPython", "names no Debian mirror")
    ):
        pytest.skip(f"the stand-in bases cannot be made on this machine: {result['error']['what']}")
    assert result["ok"], done.stdout + done.stderr
    return list(result["images"])


@pytest.fixture(scope="session")
def image(docker: Run, bases: list[dict[str, object]]) -> str:
    """The image of the default version on the default base, under the tag compose.yaml names."""
    tag = "mwaa-local:3.2.1-al2023"
    docker("build", "--quiet", "-f", "docker/Dockerfile", "-t", tag, *ca_arguments(), ".", limit=1800)
    return tag
