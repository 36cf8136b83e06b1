"""The docker program: every call has a time limit, and every failure becomes an error that says what to do.

The program and not the SDK: it knows contexts, hosts and credentials, and Compose exists only in it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from packaging.version import InvalidVersion
from packaging.version import Version as PackageVersion

from mwaa_local.errors import EngineError, MachineError, MwaaLocalError

LOOK_SECONDS = 20.0
# Engine 25 knows health checks that are frequent only while a container starts; Compose 2.24.4 knows `!override`.
MINIMUM_ENGINE, MINIMUM_COMPOSE = PackageVersion("25"), PackageVersion("2.24.4")
_TAIL = 15
# Compose reads these of its caller; an environment of ours is described by its files alone.
_FOREIGN = ("COMPOSE_", "MWAA_")
_DAEMON = re.compile(
    r"cannot connect to the docker daemon|is the docker daemon running|docker daemon is not running"
    r"|error during connect|failed to connect to the docker api|connection refused.*docker\.sock|no such host.*docker",
    re.IGNORECASE,
)
_DENIED = re.compile(r"permission denied while trying to connect", re.IGNORECASE)
_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_PORT = re.compile(
    r"Bind for \S*?:(\d+) failed: port is already allocated|listen tcp\d? \S*?:(\d+): bind: address already in use"
    r"|exposing port TCP \S*?:(\d+)|Ports are not available\D*?(?:\d+\.\d+\.\d+\.\d+):(\d+)",
)
_REGISTRY = re.compile(
    r"failed to resolve source metadata|pull access denied|manifest unknown|i/o timeout|no such host"
    r"|failed to do request|TLS handshake timeout|temporary failure in name resolution|Client\.Timeout exceeded"
    r"|network is unreachable|failed to authorize|failed to fetch anonymous token|toomanyrequests"
    r"|x509|dial tcp|repository does not exist",
    re.IGNORECASE,
)
_POOLS = re.compile(r"all predefined address pools have been fully subnetted", re.IGNORECASE)
_NO_COMPOSE = re.compile(r"'compose' is not a docker command|unknown command: docker compose", re.IGNORECASE)
_PROCESS_ENGINE = "or use the process engine: mwaa-local --engine process up"


def tail(text: str, lines: int = _TAIL) -> str:
    """The last lines that say anything."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])


@dataclass(frozen=True)
class Docker:
    """The docker program of one caller.

    Attributes:
        program: Its path.
        variables: What it is started with: the caller's own, without what would change our files' meaning.
    """

    program: str
    variables: Mapping[str, str] = field(repr=False)

    @classmethod
    def find(cls, variables: Mapping[str, str]) -> Docker:
        """The first docker program on the caller's PATH.

        Raises:
            EngineError: There is none.
        """
        program = shutil.which("docker", path=variables.get("PATH"))
        if program is None:
            raise EngineError(
                "there is no docker program on PATH",
                hint=f"install Docker {MINIMUM_ENGINE} or later, {_PROCESS_ENGINE}",
            )
        own = {name: value for name, value in variables.items() if not name.startswith(_FOREIGN)}
        return cls(program, own)

    def output(self, *words: str, timeout_s: float = LOOK_SECONDS) -> str:
        """What a command prints.

        Raises:
            MwaaLocalError: It failed; see :func:`translate`.
        """
        done = self.call(*words, timeout_s=timeout_s)
        if done.returncode:
            raise translate(done.stderr.decode(errors="replace"), f"docker {_subject(words)}")
        return done.stdout.decode(errors="replace")

    def call(
        self, *words: str, timeout_s: float = LOOK_SECONDS, given: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end whatever its exit code.

        Args:
            words: After ``docker``.
            timeout_s: Limit in seconds.
            given: What it reads.

        Raises:
            EngineError: The daemon does not answer in time, or the program cannot be started.
        """
        try:
            return subprocess.run(
                [self.program, *words],
                env=dict(self.variables),
                cwd="/",
                input=given if given is not None else b"",
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                f"docker {_subject(words)} did not end within {timeout_s:.0f} s",
                where=self.program,
                why=tail((error.stderr or b"").decode(errors="replace")),
                hint=f"look at the Docker daemon (`docker info`), restart it, {_PROCESS_ENGINE}",
            ) from error
        except OSError as error:
            raise EngineError("the docker program cannot be started", where=self.program, why=str(error)) from error

    def check(self, *, timeout_s: float) -> int:
        """Make sure that a daemon answers and Compose is there, both new enough.

        Returns:
            The number of CPUs the daemon has.

        Raises:
            EngineError: What is missing.
        """
        with ThreadPoolExecutor(2) as pool:
            daemon = pool.submit(
                self.output, "info", "--format", "{{json .ServerVersion}} {{json .NCPU}}", timeout_s=timeout_s
            )
            compose = pool.submit(self.call, "compose", "version", "--short", timeout_s=timeout_s)
            version, cpus = daemon.result().split()
            plugin = compose.result()
        if version == '""':  # `docker info` ends with 0 on some versions though nothing answers
            raise translate("Cannot connect to the Docker daemon", "docker info")
        _new_enough("Docker Engine", json.loads(version), MINIMUM_ENGINE)
        if plugin.returncode:
            raise translate("'compose' is not a docker command", "docker compose version")
        _new_enough("Docker Compose", plugin.stdout.decode(errors="replace").strip(), MINIMUM_COMPOSE)
        return int(cpus)


def _new_enough(what: str, text: str, minimum: PackageVersion) -> None:
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    try:
        found = PackageVersion(match[1]) if match else None
    except InvalidVersion:
        found = None
    if found is not None and found < minimum:
        raise EngineError(
            f"{what} {text} is too old", why=f"{minimum} or later is needed", hint=f"update it, {_PROCESS_ENGINE}"
        )


def _subject(words: tuple[str, ...]) -> str:
    """The words that name a command, without its options and their values."""
    return " ".join(word for word in words[:2] if not word.startswith("-"))


class PortTakenError(MachineError):
    """A port that Docker was to publish is taken; ``port`` is its number."""

    def __init__(self, port: int, why: str) -> None:
        super().__init__(
            f"port {port} is taken",
            where="Local.Ports",
            why=why,
            hint="stop what listens there, or set Local.Ports to other ports",
        )
        self.port = port


class NotFetchedError(EngineError):
    """An image, or what a build step asked for, could not be fetched."""


class CommandFailedError(EngineError):
    """The docker program failed for a reason that is not known here."""


def translate(stderr: str, command: str, *, images: tuple[str, ...] = ()) -> MwaaLocalError:
    """What the docker program said, as an error with a next step.

    Args:
        stderr: Its words.
        command: Which command it was, for the first line.
        images: Images it may have had to fetch.
    """
    why = tail(stderr)
    if _DENIED.search(stderr):
        return EngineError(
            "this user may not use the Docker daemon",
            why=why,
            hint=f"`sudo usermod -aG docker $USER`, then log in again, {_PROCESS_ENGINE}",
        )
    if _DAEMON.search(stderr):
        return EngineError(
            "no Docker daemon answers",
            why=why,
            hint=f"start Docker (docker/daemon.sh does it on a build machine), {_PROCESS_ENGINE}",
        )
    if _NO_COMPOSE.search(stderr):
        return EngineError(
            "the docker program has no Compose",
            why=why,
            hint=f"install the plugin docker-compose {MINIMUM_COMPOSE} or later, {_PROCESS_ENGINE}",
        )
    if _DISK.search(stderr):
        return MachineError(
            "the disk of the Docker daemon is full",
            why=why,
            hint="free some space (`docker system df` shows what uses it) and run `make up` again",
        )
    if port := _PORT.search(stderr):
        return PortTakenError(int(next(group for group in port.groups() if group)), why)
    if _POOLS.search(stderr):
        return EngineError(
            "Docker has no network addresses left", why=why, hint="remove unused networks: `docker network prune`"
        )
    if _REGISTRY.search(stderr):
        names = ", ".join(images) or "an image"
        return NotFetchedError(
            f"{names} cannot be fetched: no registry answers, or it refuses",
            where=command,
            why=why,
            hint="check the network, proxy and `docker login`; or make stand-ins from Debian packages: "
            f"sudo python3 docker/offline/build.py; or choose another base (Local.Base: debian); {_PROCESS_ENGINE}",
        )
    return CommandFailedError(f"{command} failed", why=why, hint="mwaa-local status; mwaa-local logs COMPONENT")
