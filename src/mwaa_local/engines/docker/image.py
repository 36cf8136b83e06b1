"""Images: which ones an environment needs, whether they are there, and building the one that is ours."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mwaa_local
from mwaa_local.catalog.images import base_image, postgres_image
from mwaa_local.engines.docker.client import CommandFailedError, Docker, NotFetchedError, translate
from mwaa_local.engines.protocol import Step
from mwaa_local.errors import EngineError, MwaaLocalError
from mwaa_local.model import Environment

CONTEXT_LABEL = "io.mwaa-local.context"
_BUILD_SECONDS, _PULL_SECONDS = 2400.0, 900.0
# Rooms of the tool that nothing in a container imports: a change there makes no other image.
_HOST_ONLY = ("cli", "console", "engines", "preflight")
# Settings of the caller's package indexes and proxies; given by name, so that no value stands on a command line.
_BUILD_ARGUMENTS = (
    "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
_OWN_PLACES = re.compile(r"file://|find-links\s*=\s*/|cert\s*=\s*/")
_STEP = re.compile(r"^#\d+ \[(?P<name>[^\]]+)\]")


@dataclass(frozen=True)
class Assets:
    """Where compose.yaml is, and the folder an image can be built from.

    Attributes:
        compose: The file.
        trust: What is added to it where a CA bundle is named.
        context: The tool's own repository; ``None`` where the tool was installed from a wheel.
    """

    compose: Path
    trust: Path
    context: Path | None


def assets(package: Path | None = None) -> Assets:
    """The files of this installation.

    Args:
        package: Folder of ``mwaa_local``; another one for tests.

    Raises:
        EngineError: The installation has none.
    """
    package = package or Path(mwaa_local.__file__).resolve().parent
    repository, shipped = package.parents[1], package / "docker_assets"
    for root in (repository, shipped):
        if (root / "compose.yaml").is_file() and (root / "docker" / "compose.ca.yaml").is_file():
            whole = root == repository and (root / "docker" / "Dockerfile").is_file()
            return Assets(root / "compose.yaml", root / "docker" / "compose.ca.yaml", root if whole else None)
    raise EngineError(
        "this installation has no compose.yaml",
        where=str(package),
        hint="install mwaa-local anew, or use the process engine: mwaa-local --engine process up",
    )


def compose_files(variables: Mapping[str, str]) -> list[Path]:
    """compose.yaml, and what is laid over it where this machine's trust has to reach the containers.

    Raises:
        EngineError: This installation has none.
    """
    found = assets()
    return [found.compose, *([found.trust] if ca_bundle(variables) else [])]


@dataclass(frozen=True)
class Wanted:
    """Images of one environment.

    Attributes:
        tool: Ours: Airflow's components, the AWS endpoint, the guardian.
        component: Airflow's components; ``Local.Image`` where that is given.
        postgres: The database's.
        base: What ours is built on.
    """

    tool: str
    component: str
    postgres: str
    base: str


def wanted(environment: Environment) -> Wanted:
    """The images that an environment's definition names."""
    version, base = environment.version, environment.local.base
    tool = f"mwaa-local:{version.airflow}-{base}"
    return Wanted(tool, environment.local.image or tool, postgres_image(), base_image(base, version))


def present(docker: Docker, names: Iterable[str], *, timeout_s: float = 20.0) -> dict[str, dict[str, str]]:
    """Those images that the daemon has: name to ``id`` and ``context``, the label of its build context (or empty)."""
    asked = list(dict.fromkeys(names))
    documents = _inspect(docker, asked, timeout_s)
    found: dict[str, dict[str, str]] = {}
    for name in asked:
        for document in documents:
            tags = document.get("RepoTags") or []
            if name in [document["Id"], *tags, *(document.get("RepoDigests") or [])] or f"{name}:latest" in tags:
                found[name] = _described(document)
    known = {item["id"] for item in found.values()}
    if len({document["Id"] for document in documents}) > len(known):
        # The daemon knows one of them under another spelling (a registry's default host, say): ask for each alone.
        for name in asked:
            if name not in found and (alone := _inspect(docker, [name], timeout_s)):
                found[name] = _described(alone[0])
    return found


def _inspect(docker: Docker, names: list[str], timeout_s: float) -> list[dict[str, Any]]:
    done = docker.call("image", "inspect", *names, timeout_s=timeout_s)
    problem = done.stderr.decode(errors="replace")
    if done.returncode and "no such image" not in problem.lower():
        raise translate(problem, "docker image inspect")
    documents = json.loads(done.stdout or b"[]")
    return list(documents)


def _described(document: Mapping[str, Any]) -> dict[str, str]:
    labels = (document.get("Config") or {}).get("Labels") or {}
    return {"id": str(document["Id"]), "context": str(labels.get(CONTEXT_LABEL, ""))}


def context_digest(context: Path, arguments: Mapping[str, str]) -> str:
    """Digest of everything an image is made from."""
    digest = hashlib.sha256()
    for name, path in _context_files(context):
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(json.dumps(sorted(arguments.items())).encode())
    return digest.hexdigest()[:16]


def _context_files(context: Path) -> Iterator[tuple[str, Path]]:
    """What .dockerignore lets in, and the Dockerfile; README.md is text about the package only."""
    lines = (context / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = [line[1:].strip().rstrip("/") for line in lines if line.startswith("!")]
    for name in sorted({*allowed, "docker/Dockerfile"} - {"README.md"}):
        root = context / name
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            relative = path.relative_to(context)
            unused = relative.parts[:2] == ("src", "mwaa_local") and relative.parts[2:3] in [(r,) for r in _HOST_ONLY]
            if not unused and "__pycache__" not in relative.parts and path.suffix != ".pyc" and path.is_file():
                yield relative.as_posix(), path


def build_arguments(environment: Environment) -> dict[str, str]:
    """Arguments of the Dockerfile that the definition decides."""
    version = environment.version
    return {
        "BASE": environment.local.base,
        "AIRFLOW_VERSION": version.airflow,
        "PYTHON_VERSION": version.python,
        "PYTHON_PATCH": version.python_patch,
    }


def build_words(
    environment: Environment, context: Path, tag: str, digest: str, variables: Mapping[str, str]
) -> list[str]:
    """The words after ``docker`` that build the image."""
    words = ["build", "--progress=plain", "-f", str(context / "docker" / "Dockerfile"), "-t", tag]
    words += ["--label", f"{CONTEXT_LABEL}={digest}"]
    for name, value in build_arguments(environment).items():
        words += ["--build-arg", f"{name}={value}"]
    for name in _BUILD_ARGUMENTS:
        if variables.get(name):
            words += ["--build-arg", name]
    for name, path in build_secrets(variables).items():
        words += ["--secret", f"id={name},src={path}"]
    return [*words, str(context)]


def build_secrets(variables: Mapping[str, str]) -> dict[str, Path]:
    """Files with trust and credentials that the build reads and no image keeps: id to path."""
    home = Path(variables.get("HOME") or "/nonexistent")
    config = Path(variables.get("XDG_CONFIG_HOME") or home / ".config")
    places: dict[str, list[Path]] = {
        "ca": [ca_bundle(variables) or Path("/nonexistent")],
        "netrc": [Path(variables.get("NETRC") or home / ".netrc")],
        "pip_conf": [Path(variables["PIP_CONFIG_FILE"])]
        if variables.get("PIP_CONFIG_FILE")
        else [config / "pip" / "pip.conf", home / ".pip" / "pip.conf", Path("/etc/pip.conf")],
        "uv_toml": [Path(variables["UV_CONFIG_FILE"])]
        if variables.get("UV_CONFIG_FILE")
        else [config / "uv" / "uv.toml", Path("/etc/uv/uv.toml")],
    }
    found = {}
    for name, paths in places.items():
        if first := next((path for path in paths if path.is_file()), None):
            found[name] = first
    # A pip.conf that points at folders of this machine means nothing inside a build.
    if "pip_conf" in found and _OWN_PLACES.search(found["pip_conf"].read_text(errors="replace")):
        del found["pip_conf"]
    return found


def ca_bundle(variables: Mapping[str, str]) -> Path | None:
    """The CA bundle this machine's own programs are told of."""
    given = variables.get("SSL_CERT_FILE")
    return Path(given).resolve() if given and Path(given).is_file() else None


def why_missing(docker: Docker, environment: Environment, context: Path | None, *, timeout_s: float) -> str | None:
    """Why the images can neither be used nor built without fetching anything; ``None`` when they can."""
    names = wanted(environment)
    found = present(docker, [names.tool, names.component, names.postgres, names.base], timeout_s=timeout_s)
    fetch = [name for name in (names.postgres, names.component) if name not in found and name != names.tool]
    if names.tool not in found:
        if context is None:
            return (
                f"Docker has no image {names.tool}, and this installation of the tool cannot build it: "
                "build it from the tool's repository, or load it (`docker load`)"
            )
        if names.base not in found:
            fetch.append(names.base)
    if not fetch:
        return None
    return (
        f"Docker has no {', '.join(fetch)} yet: `mwaa-local --engine docker up` fetches and builds; "
        "without a registry, docker/offline/build.py makes stand-ins"
    )


def ensure(
    docker: Docker, environment: Environment, context: Path | None, variables: Mapping[str, str], step: Step
) -> dict[str, str]:
    """Have every image: fetch what is missing, build ours when it is missing or was made from other files.

    Returns:
        Image name to id.

    Raises:
        MwaaLocalError: An image cannot be had; says which, and the ways out.
    """
    names = wanted(environment)
    all_names = [names.tool, names.component, names.postgres, names.base]
    found = present(docker, all_names)
    digest = context_digest(context, build_arguments(environment)) if context else ""
    have = found.get(names.tool)
    stale = bool(digest) and have is not None and have["context"] != digest
    if have is not None and not have["context"] and names.base not in found:
        stale = False  # built elsewhere and loaded here: there is nothing to build it anew from
    if have is None or stale:
        if context is None:
            raise EngineError(
                f"there is no image {names.tool}",
                why="this installation of the tool carries no build context",
                hint="build it from the tool's repository, or `docker load` it; or: mwaa-local --engine process up",
            )
        step.note(f"building {names.tool}" + (": the tool's files changed" if stale else ""))
        words = build_words(environment, context, names.tool, digest, variables)
        _run_long(docker, words, step, images=(names.base,), limit=_BUILD_SECONDS)
        docker.call("image", "prune", "--force", "--filter", f"label={CONTEXT_LABEL}", timeout_s=60)
    for name in dict.fromkeys((names.postgres, names.component)):
        if name not in found and name != names.tool:
            step.note(f"fetching {name}")
            _run_long(docker, ["pull", "--quiet", name], step, images=(name,), limit=_PULL_SECONDS)
    found = present(docker, all_names[:3])
    missing = [name for name in all_names[:3] if name not in found]
    if missing:
        raise EngineError(f"there is no image {missing[0]} although it was just made", hint="docker image ls")
    return {name: value["id"] for name, value in found.items()}


def _run_long(docker: Docker, words: list[str], step: Step, *, images: tuple[str, ...], limit: float) -> None:
    """A build or a pull: its steps become notes, its last lines the error."""
    last: deque[str] = deque(maxlen=60)
    child = subprocess.Popen(
        [docker.program, *words],
        env={**docker.variables, "DOCKER_BUILDKIT": "1"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdout is not None
    began, late = time.monotonic(), threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(limit, end)
    timer.daemon = True
    timer.start()
    try:
        for raw in child.stdout:
            line = raw.decode(errors="replace").rstrip()
            last.append(line)
            if match := _STEP.match(line):
                step.note(match["name"])
        code = child.wait()
    except BaseException:
        child.terminate()
        raise
    finally:
        timer.cancel()
        child.stdout.close()
    if late.is_set():
        raise EngineError(
            f"docker {words[0]} did not end within {limit:.0f} s", why="\n".join(last), hint="run `make up` again"
        )
    if code:
        raise _build_error("\n".join(last), words[0], images, time.monotonic() - began)


def _build_error(text: str, command: str, images: tuple[str, ...], seconds: float) -> MwaaLocalError:
    error = translate(text, f"docker {command} ({seconds:.0f} s)", images=images)
    if command == "build" and isinstance(error, CommandFailedError):
        return EngineError(
            "the image cannot be built", where="docker/Dockerfile", why=error.why, hint="mwaa-local --engine process up"
        )
    # Inside a build step it is the package index, not the registry, that did not answer.
    if command == "build" and "did not complete successfully" in text and isinstance(error, NotFetchedError):
        return EngineError(
            "the image cannot be built: a step of it could not fetch packages",
            where="docker/Dockerfile",
            why=error.why,
            hint="set this machine's index, proxy or CA (PIP_INDEX_URL, HTTPS_PROXY, SSL_CERT_FILE), which are passed "
            "on; or: mwaa-local --engine process up",
        )
    return error
