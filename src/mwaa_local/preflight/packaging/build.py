"""Building wheels of packages that come without one: in MWAA's image where Docker is, else here if it fits anywhere."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from mwaa_local.errors import MachineError, RequirementsError
from mwaa_local.packages import child
from mwaa_local.preflight.packaging import fetch as packaging_fetch
from mwaa_local.preflight.resolving import pip as resolve_pip
from mwaa_local.preflight.resolving import wheels as resolve_wheels
from mwaa_local.preflight.resolving.types import Package, Situation

_TIMEOUT_S = 900.0
_DOCKER_S = 15.0


def docker_image(name: str, situation: Situation) -> str | None:
    """The image to build in, if a Docker daemon answers and has it; ``None`` otherwise."""
    docker = child.program("docker", situation.uv.environment.get("PATH"))
    if docker is None:
        return None
    try:
        done = child.ask(
            [docker, "image", "inspect", "--format", "{{.Id}}", name],
            env=situation.uv.environment,
            timeout_s=_DOCKER_S,
        )
    except OSError:
        return None
    return name if done.returncode == 0 else None


def build(
    package: Package,
    situation: Situation,
    folder: Path,
    *,
    image: str | None,
    emit: Callable[[str], None] = lambda text: None,
) -> Path:
    """A wheel of a package that fits MWAA's machine.

    Args:
        package: Its archive is a source archive, or ``local`` names a folder or repository.
        situation: Version, cache, proxies; without an image the base set's Python builds.
        folder: Where the wheel goes.
        image: MWAA's image, if Docker has it.
        emit: Takes progress lines.

    Raises:
        RequirementsError: it does not build, or what was built fits this machine only.
        MachineError: neither Docker's image nor the version's Python is here.
        EndpointError: the source archive cannot be downloaded.
    """
    source = package.local if package.local and not package.archive else ""
    given = Path(source) if source and Path(source).exists() else None
    if not source:
        assert package.archive is not None, "it comes from an archive or from somewhere local"
        given = packaging_fetch.archive(package.archive, situation.uv)
    with tempfile.TemporaryDirectory(prefix="mwaa-local-") as scratch:
        out = Path(scratch) / "out"
        out.mkdir()
        if image is not None:
            emit(f"Building {package.name} {package.version} in {image}")
            done = _in_image(image, given, source, out, situation)
        else:
            emit(f"Building {package.name} {package.version} here")
            done = _here(given, source, out, situation)
        wheels = sorted(out.glob("*.whl"))
        if done.code != 0 or not wheels:
            raise RequirementsError(
                f"{package.name} {package.version} does not build", where=image or "this machine",
                why="\n".join(line for line in done.lines[-12:] if line.strip()),
                hint="take a version with a wheel, or install what the build asks for in an image of your own",
            )  # fmt: skip
        fitting = [path for path in wheels if resolve_wheels.rank(path.name, situation.version.python) is not None]
        if not fitting or (image is None and not fitting[0].name.endswith("-none-any.whl")):
            raise RequirementsError(
                f"{wheels[0].name} was built for this machine, not for MWAA's", where=str(given or source),
                why="it holds compiled code; its C library and processor are those of this machine",
                hint=
                    "build it in the image: start Docker, run `mwaa-local up --engine docker` "
                    "once, then package again",
            )  # fmt: skip
        target = folder / fitting[0].name
        shutil.copyfile(fitting[0], target)
        return target


def _in_image(image: str, given: Path | None, source: str, out: Path, situation: Situation) -> child.Finished:
    out.chmod(0o777)
    words = ["docker", "run", "--rm", "--network", "host", "-v", f"{out}:/out", "--entrypoint", "python3"]
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        if situation.uv.environment.get(name):
            words += ["-e", name]  # by name: a value may hold a password, and others can read commands
    cert = situation.uv.settings.cert
    if cert and Path(cert).is_file():  # a company's proxy is trusted inside as it is here
        words += ["-v", f"{cert}:/in/ca.pem:ro", "-e", "PIP_CERT=/in/ca.pem"]
    asked = source
    if given is not None:
        words += ["-v", f"{given}:/in/{given.name}:ro"]
        asked = f"/in/{given.name}"
    words += [image, "-I", "-m", "pip", "wheel", "--no-deps", "--disable-pip-version-check", "-w", "/out", asked]
    return child.run(words, env=dict(situation.uv.environment), timeout_s=_TIMEOUT_S)


def _here(given: Path | None, source: str, out: Path, situation: Situation) -> child.Finished:
    base = situation.base
    if base is None or base.minor != situation.version.python or platform.system() == "Windows":
        raise MachineError(
            "Nothing here can build a wheel for MWAA",
            why=f"neither Docker's image nor the packages of Airflow {situation.version.airflow} on Python "
            f"{situation.version.python} are here",
            hint="run `mwaa-local up` once, or start Docker",
        )
    argv = child.python(base.interpreter, "-m", "pip", "wheel", "--no-deps", "-w", out, given or source)
    env = resolve_pip.plain_variables(situation)
    return child.run(argv, env=env, timeout_s=_TIMEOUT_S)
