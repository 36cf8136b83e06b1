"""What every engine can do, and the words it answers in (design section 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

from mwaa_local.engines.names import kind
from mwaa_local.errors import MwaaLocalError

if TYPE_CHECKING:
    from mwaa_local.engines.desired import Desired
    from mwaa_local.engines.layout import Layout
    from mwaa_local.engines.plan import Plan
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


@dataclass(frozen=True)
class Observed:
    """What is, at one moment.

    Attributes:
        desired: What was applied last; ``None`` before the first time.
        addresses: Where it answers; ``None`` while nothing of it runs.
        components: State of every component, the site's included; empty before the first time.
    """

    desired: Desired | None
    addresses: Addresses | None
    components: tuple[ComponentState, ...]

    @property
    def runs(self) -> bool:
        """Whether anything of it does."""
        return self.addresses is not None

    @property
    def healthy(self) -> bool:
        """Whether all of it answers."""
        return self.runs and all(one.state == "healthy" for one in self.components)

    @property
    def workers(self) -> list[str]:
        """Names of the workers that are not stopped, in the order of their numbers."""
        return [one.name for one in self.components if kind(one.name) == "worker" and one.state != "stopped"]


@dataclass(frozen=True)
class Applied:
    """What an engine was told and has begun; :meth:`Engine.wait` brings it to its end.

    Attributes:
        desired: What.
        plan: As the engine carries it out.
        before: The plan that ran before; ``None`` where nothing was there to compare with.
        notes: What to tell already, one line each.
        token: The engine's own.
    """

    desired: Desired
    plan: Plan
    before: Plan | None
    notes: tuple[str, ...] = ()
    token: Any = None


@dataclass(frozen=True)
class Settled:
    """What was applied and is healthy.

    Attributes:
        addresses: Where it answers.
        components: State of every component.
        seconds: Seconds that each step took, in order.
        changes: What to tell, one line each: the notes first, then what was restarted and why.
        warnings: What the engine found that nobody needs to act on.
    """

    addresses: Addresses
    components: list[ComponentState]
    seconds: dict[str, float]
    changes: list[str]
    warnings: list[str] = field(default_factory=list)


class Step(Protocol):
    """A running step of a longer job."""

    def note(self, text: str) -> None:
        """Replace the line that says what the step is doing."""


class Progress(Protocol):
    """Shows a longer job step by step; the command line renders it with times."""

    def step(self, name: str) -> AbstractContextManager[Step]:
        """Begin a step; it ends, well or not, with the ``with`` block. Steps may overlap."""


class Silent:
    """Progress that nobody watches."""

    @contextmanager
    def step(self, _name: str) -> Iterator[Silent]:
        """A step that nobody sees."""
        yield self

    def note(self, _text: str) -> None:
        """Nobody reads it."""


class Engine(Protocol):
    """Where the components of one environment run. All implementations pass tests/contract/engines.

    ``apply``, ``wait`` and what lies between are for :mod:`mwaa_local.engines.lifecycle`, which holds the environment's
    lock meanwhile; everything that only looks may be called at any time, and never waits.
    """

    name: str
    layout: Layout

    # What shall be

    def prepare(self, environment: Environment, progress: Progress) -> None:
        """Have the version's base package set or image ready."""

    def admit(self, environment: Environment) -> list[str]:
        """Refuse what cannot be applied here, before anything changes; what was mended, one line each."""

    def make_packages(self, desired: Desired, progress: Progress) -> None:
        """Have the package set of changed requirements before anything is stopped for them.

        Raises:
            RequirementsError: It cannot be had, and that is not allowed; what runs goes on.
        """

    def apply(self, desired: Desired, progress: Progress) -> Applied:
        """Begin to make it so, and return; restarts only what differs, and nothing when nothing does."""

    def wait(self, applied: Applied, progress: Progress, *, timeout_s: float) -> Settled:
        """Bring what was begun to its end: until every component is healthy, or one never will be."""

    # What is

    def desired(self) -> Desired | None:
        """What was applied last; ``None`` before the first time."""

    def observe(self) -> Observed:
        """What is at this moment."""

    def environments(self) -> list[str]:
        """Names of the environments of this one's site that have data in this engine."""

    def busy(self) -> set[str]:
        """The workers that run a task at this moment, by name.

        Raises:
            EngineError: The database does not answer.
        """

    # The database

    def database_version(self, airflow: str) -> str | None:
        """The version that last used the database which this version would get; ``None`` where it gets an empty one."""

    def downgrade(self, last: Desired, target: str, progress: Progress) -> None:
        """Have the newer version of ``last`` take the database of a stopped environment back to an older one's schema.

        Raises:
            EngineError: It failed; the database may be anywhere between the two.
        """

    def snapshot(self, target: Path) -> None:
        """Write the metadata database of the running or stopped environment to a file.

        Raises:
            MwaaLocalError: There is none, or it cannot be written; no file is left.
        """

    def restore(self, source: Path) -> None:
        """Put the metadata database of a stopped environment back as a snapshot has it, whole or not at all.

        Raises:
            MwaaLocalError: The environment runs, or the file is no snapshot.
        """

    # Acts of their own

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
