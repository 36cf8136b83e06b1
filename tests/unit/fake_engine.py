"""An engine in memory that keeps the contract of every engine (tests/contract/engines): what needs a whole environment
and no Airflow is tried with it in milliseconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mwaa_local.engines import desired as wanted
from mwaa_local.engines import owner, plan, replicas, snapshots
from mwaa_local.engines.desired import Desired
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.names import AIRFLOW, bucket_name, kind
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.protocol import Addresses, Applied, ComponentState, Observed, Progress, Settled
from mwaa_local.engines.turn import turn
from mwaa_local.errors import EngineError, MwaaLocalError
from mwaa_local.model import Environment


@dataclass
class Machine:
    """What runs, and what is stored; engines of any number of environments look at the same one.

    Attributes:
        running: State folder to component to the number of its start.
        databases: State folder to what the metadata database holds.
        tasks: State folder to the workers that run a task.
        sites: Site folders whose shared part runs.
        fails: Method to the error with which it ends, once.
        unhealthy: Components that never become healthy.
        calls: What was asked of the engines, in order.
    """

    running: dict[Path, dict[str, int]] = field(default_factory=dict)
    databases: dict[Path, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[Path, set[str]] = field(default_factory=dict)
    sites: set[Path] = field(default_factory=set)
    fails: dict[str, MwaaLocalError] = field(default_factory=dict)
    unhealthy: set[str] = field(default_factory=set)
    calls: list[tuple[str, str]] = field(default_factory=list)
    starts: int = 0

    def start(self) -> int:
        """The number of a new process."""
        self.starts += 1
        return self.starts


class FakeEngine:
    """Runs one environment on a :class:`Machine`."""

    name = "process"

    def __init__(self, environment: Environment, machine: Machine) -> None:
        self._environment = environment
        self.machine = machine
        self.layout = Layout(environment.state)

    def _ask(self, method: str) -> None:
        self.machine.calls.append((self._environment.name, method))
        if method in self.machine.fails:
            raise self.machine.fails.pop(method)

    # What shall be

    def prepare(self, environment: Environment, progress: Progress) -> None:
        self._ask("prepare")

    def admit(self, environment: Environment) -> list[str]:
        self._ask("admit")
        self.layout.hide()
        return []

    def make_packages(self, desired: Desired, progress: Progress) -> None:
        self._ask("make_packages")

    def apply(self, desired: Desired, progress: Progress) -> Applied:
        self._ask("apply")
        environment, state = desired.environment, self.layout.state
        own = self.machine.running.setdefault(state, {})
        before = plan.last(self.layout.plan) if own else None
        workers = replicas.workers(desired.workers, [name for name in own if kind(name) == "worker"], self.busy)
        made = Plan(
            tool="fake",
            base_env={},
            components=tuple(_component(name, desired) for name in ("postgres", "webserver", "scheduler", *workers)),
            facts={
                "airflow_version": environment.version.airflow, "ports": {}, "web": "http://127.0.0.1:1",
                "aws": "http://127.0.0.1:2", "bucket": bucket_name(environment),
            },
        )  # fmt: skip
        made.write(self.layout.plan)
        desired.write(self.layout.desired)
        self.machine.sites.add(environment.site)
        self.machine.databases.setdefault(state, {})["version"] = environment.version.airflow
        touched = plan.differences(before, made)
        for item in made.components:
            if item.name in touched or item.name not in own:
                own[item.name] = self.machine.start()
        for name in [name for name in own if made.component(name) is None]:
            del own[name]
        return Applied(desired, made, before)

    def wait(self, applied: Applied, progress: Progress, *, timeout_s: float) -> Settled:
        self._ask("wait")
        bad = self.machine.unhealthy & {item.name for item in applied.plan.components}
        if bad:
            raise EngineError(f"{', '.join(sorted(bad))} did not become healthy within {timeout_s:.0f} s")
        touched = plan.differences(applied.before, applied.plan) if applied.before is not None else {}
        changes = [f"{', '.join(reasons)}: {name}" for name, reasons in touched.items()]
        owner.note(self.layout, self.name)
        addresses = self.addresses()
        assert addresses is not None
        return Settled(addresses, self.components(), {}, [*applied.notes, *changes])

    # What is

    def desired(self) -> Desired | None:
        return wanted.read(self.layout.desired, self._environment.project)

    def observe(self) -> Observed:
        return Observed(self.desired(), self.addresses(), tuple(self.components()))

    def environments(self) -> list[str]:
        site = self._environment.site
        return sorted(path.name for path in site.iterdir() if Layout(path).plan.exists()) if site.is_dir() else []

    def busy(self) -> set[str]:
        return set(self.machine.tasks.get(self.layout.state, set()))

    def components(self) -> list[ComponentState]:
        made = plan.last(self.layout.plan)
        own = self.machine.running.get(self.layout.state, {})
        if made is None:
            return []
        found = [
            ComponentState(
                item.name,
                "stopped"
                if item.name not in own
                else "unhealthy"
                if item.name in self.machine.unhealthy
                else "healthy",
                pid=own.get(item.name),
            )
            for item in made.components
        ]
        runs = self._environment.site in self.machine.sites
        return [*found, ComponentState("aws", "healthy" if runs else "stopped", pid=1 if runs else None, site=True)]

    def addresses(self) -> Addresses | None:
        made = plan.last(self.layout.plan)
        if made is None or not self.machine.running.get(self.layout.state):
            return None
        facts = made.facts
        return Addresses(facts["web"], facts["aws"], facts["bucket"], facts["airflow_version"])

    # The database

    def database_version(self, airflow: str) -> str | None:
        kept = self.machine.databases.get(self.layout.state)
        return kept.get("version") if kept else None

    def downgrade(self, last: Desired, target: str, progress: Progress) -> None:
        self._ask("downgrade")
        self.machine.databases[self.layout.state]["version"] = target

    def snapshot(self, target: Path) -> None:
        self._ask("snapshot")
        kept = self.machine.databases.get(self.layout.state)
        if kept is None:
            raise EngineError("this environment has no database yet", where=str(self.layout.state))
        with snapshots.writing(target, kept["version"], self._environment.name) as file:
            file.write(json.dumps(kept).encode() + b"\n")

    def restore(self, source: Path) -> None:
        self._ask("restore")
        snapshots.about(source)
        lines = b"".join(snapshots.lines(source)).splitlines()
        if self.machine.running.get(self.layout.state):
            raise EngineError("a database in use is not replaced", where=str(self.layout.state))
        self.machine.databases[self.layout.state] = json.loads(lines[1])

    # Acts

    def down(self, *, timeout_s: float, keep_site: bool = False) -> None:
        self._ask("down")
        with turn(self.layout):
            self.machine.running.pop(self.layout.state, None)
            self._release(keep_site)

    def reset(self) -> None:
        self._ask("reset")
        self.machine.running.pop(self.layout.state, None)
        self.machine.databases.pop(self.layout.state, None)
        self._release(False)
        shutil.rmtree(self.layout.state, ignore_errors=True)

    def _release(self, keep_site: bool) -> None:
        site = self._environment.site
        if not keep_site and not any(state.parent == site and own for state, own in self.machine.running.items()):
            self.machine.sites.discard(site)

    def restart(self, component: str, progress: Progress) -> None:
        self._ask("restart")
        self.machine.running[self.layout.state][component] = self.machine.start()

    def run(
        self, component: str, argv: Sequence[str], *, interactive: bool, stdin: IO[bytes] | Path | None = None
    ) -> int:
        self._ask("run")
        return 0

    def logs(self, component: str, *, follow: bool, lines: int) -> Iterator[str]:
        yield from ()

    def exports(self, component: str) -> dict[str, str] | None:
        return {} if self.addresses() else None

    def variables(self, component: str) -> dict[str, str] | None:
        return {} if self.addresses() else None


def _component(name: str, desired: Desired) -> Component:
    is_airflow = kind(name) in AIRFLOW
    inputs: Mapping[str, str] = dict(desired.revision.digests) if is_airflow else {}
    given = {
        "AIRFLOW_VERSION": desired.environment.version.airflow,
        "OPTIONS": json.dumps(dict(desired.environment.spec.option_variables())),
    }
    return Component(name, (name,), env=given if is_airflow else {}, inputs=inputs)
