"""What every engine can do, and the words it answers in (design section 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

from mwaa_local.errors import MwaaLocalError

if TYPE_CHECKING:
    from mwaa_local.model.environment import Environment

State = Literal["starting", "healthy", "unhealthy", "restarting", "stopped", "failed"]


@dataclass(frozen=True)
class ComponentState:
    """One component at one moment.

    Attributes:
        name: ``scheduler``, ``worker``, ``worker-2``, ``webserver``, ``postgres``, ``aws``, ``guardian``.
        state: Where it is in its life.
        pid: Its main process, ``None`` when none runs.
        started_at: Start of that process, seconds since the epoch.
        restarts: How often the engine started it again since the environment came up.
        memory_bytes: Proportional set size of its whole process tree; ``None`` when it cannot be read.
        detail: One line for people: why it is not healthy, or its last exit.
        status: The runtime's ``status.json``; ``None`` for parts that have none.
        site: Whether it belongs to the site, and so to all environments of the project.
    """

    name: str
    state: State
    pid: int | None = None
    started_at: float | None = None
    restarts: int = 0
    memory_bytes: int | None = None
    detail: str = ""
    status: Mapping[str, Any] | None = None
    site: bool = False


@dataclass(frozen=True)
class Addresses:
    """Where a running environment answers.

    Attributes:
        web: URL of the web server.
        aws: URL of the AWS endpoint.
        bucket: Name of the environment's bucket.
        airflow_version: What runs, which need not be what the definition says by now.
        variables: What else a shell needs so that the engine's own programs find it.
    """

    web: str
    aws: str
    bucket: str
    airflow_version: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class UpResult:
    """What one ``up`` did.

    Attributes:
        changes: What was applied, one line each; empty when nothing had changed.
        addresses: Where the environment answers.
        components: State of every component at the end.
        seconds: Seconds per step, in order.
        verdicts: Failures that left every component healthy and still end the command non-zero
            (requirements that were not installed), unless the definition allows them.
        warnings: What the user should know and need not act on.
    """

    changes: list[str]
    addresses: Addresses
    components: list[ComponentState]
    seconds: dict[str, float]
    verdicts: list[MwaaLocalError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Step(Protocol):
    """A running step of a longer job."""

    def note(self, text: str) -> None:
        """Replace the line that says what the step is doing."""


class Progress(Protocol):
    """Shows a longer job step by step; the command line renders it with times."""

    def step(self, name: str) -> AbstractContextManager[Step]:
        """Begin a step; it ends, well or not, with the ``with`` block. Steps may overlap."""


class Engine(Protocol):
    """Where components run. Both implementations pass the same contract tests."""

    name: str

    def prepare(self, environment: Environment, progress: Progress) -> None:
        """Have the version's base package set or image ready."""

    def up(self, environment: Environment, progress: Progress, *, timeout_s: float) -> UpResult:
        """Start the environment, or apply only what changed, and wait until every component is healthy."""

    def down(self, *, timeout_s: float, keep_site: bool = False) -> None:
        """Stop every component and keep the data; the site stops with its last environment, unless it is to be kept."""

    def reset(self) -> None:
        """Stop every component and wipe the data."""

    def restart(self, component: str, progress: Progress) -> None:
        """Stop and start one component, and wait until it is healthy."""

    def components(self) -> list[ComponentState]:
        """State of every component; empty when the environment was never started."""

    def run(
        self, component: str, argv: Sequence[str], *, interactive: bool, stdin: IO[bytes] | Path | None = None
    ) -> int:
        """Run a command in a component's environment and return its exit code."""

    def logs(self, component: str, *, follow: bool, lines: int) -> Iterator[str]:
        """A component's console output, oldest line first, without line ends."""

    def addresses(self) -> Addresses | None:
        """Where the environment answers; ``None`` when it does not run."""

    def exports(self, component: str) -> dict[str, str] | None:
        """What the startup script exported in a running component; ``None`` when it does not run."""

    def variables(self, component: str) -> dict[str, str] | None:
        """The variables of a running component's Airflow processes; ``None`` when it does not run or keeps none."""
