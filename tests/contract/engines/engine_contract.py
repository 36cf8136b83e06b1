"""What every engine keeps (design section 5); run on the fake engine here, on the real ones in tests/e2e and
tests/docker. The tests of one world share its environments and stand in this order: whole environments are slow."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest
from engines_support import Quiet

from mwaa_local.engines import lifecycle
from mwaa_local.engines.names import AIRFLOW, kind
from mwaa_local.engines.protocol import Engine, Observed, UpResult
from mwaa_local.errors import EngineError, UsageError
from mwaa_local.model import Environment


class Task(Protocol):
    """A task that runs until it is told to end."""

    worker: str

    def end(self) -> str:
        """Let it end; the state it ended in."""


class World(Protocol):
    """A project in an engine, and what only that engine's tests know how to do."""

    project: Path
    seconds: float

    def environment(self, name: str = "a") -> Environment: ...

    def engine(self, name: str = "a") -> Engine: ...

    def running_task(self, avoid: str) -> AbstractContextManager[Task]:
        """A task that runs, on any worker but ``avoid``."""

    def kill(self, component: str) -> None:
        """End a component's process as the system would."""

    def write(self, value: str, name: str = "a") -> None:
        """Put a value into the metadata database."""

    def read(self, name: str = "a") -> str | None:
        """The value that was put there."""


def up(world: World, name: str = "a") -> UpResult:
    engine, environment = world.engine(name), world.environment(name)
    engine.prepare(environment, Quiet())
    return lifecycle.up(engine, environment, Quiet(), timeout_s=world.seconds)


def scaled(world: World, workers: int) -> UpResult:
    return lifecycle.scale(world.engine(), workers, Quiet(), timeout_s=world.seconds)


def ids(world: World, name: str = "a") -> dict[str, Any]:
    """What tells one start of a component from another."""
    found = world.engine(name).observe().components
    return {one.name: (one.pid, one.started_at) for one in found if one.state != "stopped"}


def healthy(world: World, name: str = "a") -> Observed:
    end = time.monotonic() + world.seconds
    while True:
        observed = world.engine(name).observe()
        if observed.healthy:
            return observed
        assert time.monotonic() < end, observed
        time.sleep(0.1)


class EngineContract:
    """The tests; a module of an engine gives the fixture ``world`` and inherits them."""

    def test_nothing_is_observed_of_what_never_was(self, world: World) -> None:
        observed = world.engine().observe()
        assert (observed.desired, observed.addresses, observed.components) == (None, None, ())
        assert not observed.runs
        assert not observed.healthy
        assert world.engine().environments() == []
        with pytest.raises(EngineError, match="does not run"):
            scaled(world, 2)
        with pytest.raises(EngineError):
            world.engine().snapshot(world.project / "none.sql.gz")
        assert not (world.project / "none.sql.gz").exists()

    def test_it_starts_and_can_be_looked_at_meanwhile(self, world: World) -> None:
        seen: list[tuple[float, Observed]] = []
        results: list[UpResult] = []
        starting = threading.Thread(target=lambda: results.append(up(world)))
        starting.start()
        while starting.is_alive():
            begun = time.monotonic()
            observed = world.engine().observe()
            seen.append((time.monotonic() - begun, observed))
            time.sleep(0.05)
        starting.join()
        (result,) = results
        # A look waits for nothing that is starting, which takes many times as long.
        assert min(took for took, _ in seen) < 2
        assert {one.state for one in result.components} == {"healthy"}
        observed = world.engine().observe()
        assert observed.healthy
        assert observed.desired is not None
        assert observed.desired.environment.spec == world.environment().spec
        assert observed.desired.workers == 1
        assert observed.workers == ["worker"]
        assert observed.addresses == result.addresses
        assert {"postgres", "webserver", "scheduler", "worker", "aws"} <= {one.name for one in observed.components}
        assert {one.name for one in observed.components if one.site} >= {"aws"}
        assert world.engine().environments() == ["a"]

    def test_the_same_again_restarts_nothing(self, world: World) -> None:
        before = ids(world)
        assert up(world).changes == []
        assert ids(world) == before

    def test_one_change_restarts_only_what_depends_on_it(self, world: World) -> None:
        before = ids(world)
        (world.project / "plugins").mkdir(exist_ok=True)
        (world.project / "plugins" / "one_more.py").write_text("VALUE = 1\n")
        assert any("plugins" in line for line in up(world).changes)
        after = ids(world)
        changed = {name for name in after if after[name] != before.get(name)}
        assert {name for name in changed if kind(name) in AIRFLOW} == set(AIRFLOW)
        assert not changed & {"postgres", "aws", "guardian"}

    def test_workers_come_and_go_and_one_with_a_task_stays(self, world: World) -> None:
        before = ids(world)
        # Files that were changed and not applied are none of scaling's business.
        (world.project / "plugins" / "one_more.py").write_text("VALUE = 2\n")
        scaled(world, 3)
        observed = world.engine().observe()
        assert observed.workers == ["worker", "worker-2", "worker-3"]
        assert observed.desired is not None
        assert observed.desired.workers == 3
        assert {name: ids(world)[name] for name in before} == before, "nothing else was restarted"
        with world.running_task(avoid="worker") as task:
            assert world.engine().busy() == {task.worker}
            scaled(world, 1)
            assert world.engine().observe().workers == ["worker", task.worker]
            assert {name: ids(world)[name] for name in before} == before
            assert task.end() == "success"
        scaled(world, 1)
        assert world.engine().observe().workers == ["worker"]
        (world.project / "plugins" / "one_more.py").write_text("VALUE = 1\n")
        assert up(world).changes == []
        for number in (0, 99):
            with pytest.raises(UsageError, match="MaxWorkers"):
                scaled(world, number)

    def test_a_killed_component_comes_back(self, world: World) -> None:
        before = ids(world)
        world.kill("webserver")
        end = time.monotonic() + world.seconds
        while ids(world).get("webserver") in (None, before["webserver"]):
            assert time.monotonic() < end
            time.sleep(0.1)
        healthy(world)

    def test_the_database_goes_into_a_file_and_comes_back(self, world: World) -> None:
        target = world.project / "kept" / "database.sql.gz"
        world.write("first")
        world.engine().snapshot(target)
        assert target.stat().st_mode & 0o777 == 0o600
        world.write("second")
        with pytest.raises(EngineError, match="in use"):
            world.engine().restore(target)
        world.engine().down(timeout_s=60)
        (world.project / "kept" / "other").write_bytes(b"no snapshot")
        with pytest.raises(EngineError, match="no snapshot"):
            world.engine().restore(world.project / "kept" / "other")
        damaged = world.project / "kept" / "damaged"
        damaged.write_bytes(target.read_bytes()[:-40])
        with pytest.raises(EngineError):
            world.engine().restore(damaged)
        world.engine().snapshot(world.project / "kept" / "stopped.sql.gz")
        world.engine().restore(target)
        up(world)
        assert world.read() == "first"

    def test_two_environments_share_their_site_and_nothing_else(self, world: World) -> None:
        before = ids(world)
        up(world, "b")
        assert world.engine("b").environments() == ["a", "b"]
        first, second = world.engine().observe(), world.engine("b").observe()
        assert first.addresses is not None
        assert second.addresses is not None
        assert first.addresses.aws == second.addresses.aws
        assert first.addresses.bucket != second.addresses.bucket
        assert ids(world) == before
        assert (world.read(), world.read("b")) == ("first", None)
        world.engine().down(timeout_s=60)
        assert not world.engine().observe().runs
        assert healthy(world, "b").runs, "its site goes on"
        world.engine("b").reset()
        assert world.engine("b").observe().components == ()
        assert world.engine().environments() == ["a"]

    def test_removed_without_its_data_it_comes_back_with_them(self, world: World) -> None:
        observed = world.engine().observe()
        assert not observed.runs
        assert observed.desired is not None
        assert {one.state for one in observed.components} == {"stopped"}
        up(world)
        assert world.read() == "first"

    def test_removed_with_its_data_nothing_is_left(self, world: World) -> None:
        world.engine().reset()
        observed = world.engine().observe()
        assert (observed.desired, observed.addresses, observed.components) == (None, None, ())
        up(world)
        assert world.read() is None
        world.engine().reset()
