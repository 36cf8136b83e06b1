"""The command line in this process over a fake engine: what it does, what it prints, how it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from mwaa_local import cli
from mwaa_local.cli import context as cli_context
from mwaa_local.engines import lifecycle
from mwaa_local.engines.choose import Choice
from mwaa_local.engines.protocol import Addresses, ComponentState, Progress, UpResult
from mwaa_local.errors import MwaaLocalError
from mwaa_local.model import Environment

HEALTHY = [ComponentState(name, "healthy", pid=1) for name in ("postgres", "aws", "scheduler", "worker", "webserver")]


@dataclass
class FakeEngine:
    """Answers what a test sets, and remembers what it was asked.

    Attributes:
        raises: Method to the error it ends with.
        codes: Method to what it returns.
    """

    name: str = "process"
    runs: bool = True
    states: list[ComponentState] = field(default_factory=lambda: list(HEALTHY))
    verdicts: list[MwaaLocalError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    raises: dict[str, BaseException] = field(default_factory=dict)
    code: int = 0
    lines: list[str] = field(default_factory=list)
    version: str = "3.2.1"
    started: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def _ask(self, method: str, words: Any = None) -> None:
        self.asked.append((method, words))
        if method in self.raises:
            raise self.raises[method]

    def methods(self) -> list[str]:
        """What was asked for, in order, without the looks."""
        return [name for name, _ in self.asked if name not in ("addresses", "components")]

    def prepare(self, environment: Environment, progress: Progress) -> None:
        self._ask("prepare", environment.version.airflow)

    def up(self, environment: Environment, _progress: Progress, *, timeout_s: float) -> UpResult:
        """In the place of :func:`mwaa_local.engines.lifecycle.up`."""
        self._ask("up", timeout_s)
        environment.state.mkdir(parents=True, exist_ok=True)
        self.runs = True
        return UpResult([], self._addresses(), self.states, {}, self.verdicts, self.warnings)

    def desired(self) -> None:
        """Nothing was applied before."""

    def down(self, *, timeout_s: float, keep_site: bool = False) -> None:
        self._ask("down", (timeout_s, "keep_site") if keep_site else timeout_s)
        self.runs = False

    def reset(self) -> None:
        self._ask("reset")

    def restart(self, component: str, progress: Progress) -> None:
        self._ask("restart", component)

    def components(self) -> list[ComponentState]:
        self._ask("components")
        return self.states

    def run(
        self, component: str, argv: Sequence[str], *, interactive: bool, stdin: IO[bytes] | Path | None = None
    ) -> int:
        self._ask("run", (component, list(argv)))
        return self.code

    def logs(self, component: str, *, follow: bool, lines: int) -> Iterator[str]:
        self._ask("logs", (component, follow, lines))
        yield from self.lines

    def addresses(self) -> Addresses | None:
        self._ask("addresses")
        return self._addresses() if self.runs else None

    def exports(self, component: str) -> dict[str, str] | None:
        self._ask("exports", component)
        return {} if self.runs else None

    def variables(self, component: str) -> dict[str, str] | None:
        self._ask("variables", component)
        return self.started if self.runs else None

    def _addresses(self) -> Addresses:
        return Addresses("http://127.0.0.1:1", "http://127.0.0.1:2", "bucket", self.version)


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class CommandLine:
    """``mwaa-local`` on a project folder, over a fake engine."""

    engine: FakeEngine
    project: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Ended:
        self.monkeypatch.setattr(sys, "argv", ["mwaa-local", "--project", str(self.project), *words])
        self.monkeypatch.setattr(
            cli_context, "choose", lambda environment, variables: Choice(self.engine, "the test says so")
        )
        self.monkeypatch.setattr(lifecycle, "up", lambda engine, *words, **more: engine.up(*words, **more))
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        printed = self.capsys.readouterr()
        return Ended(code, printed.out, printed.err)


@pytest.fixture
def command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """A command line on an empty project."""
    return CommandLine(FakeEngine(), tmp_path, monkeypatch, capsys)
