"""Compose at work against a fake docker program: stages, a job that fails, what is hopeless, what is late."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engines_docker_support import FakeDocker, container, make
from patience import Stopwatch, until

from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker import waiting as docker_waiting
from mwaa_local.engines.docker.client import Docker, PortTakenError
from mwaa_local.engines.docker.waiting import Compose, named, until_healthy
from mwaa_local.errors import EngineError, MachineError, MwaaLocalError
from mwaa_local.ground import processes

STARTING = {"Status": "starting", "Log": [{"Output": "no heartbeat yet\n"}]}


class Steps:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Any]:
        self.seen.append(f"begin {name}")
        self.name = name
        try:
            yield self
        finally:
            self.seen.append(f"end {name}")

    def note(self, text: str) -> None:
        self.seen.append(f"{self.name}: {text}")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    monkeypatch.setattr(docker_waiting, "LOOK_SECONDS", 0.01)
    fake = make(tmp_path / "bin")
    fake.answer("cp", code=1)
    fake.answer("logs", "the last line")
    return fake


@pytest.fixture
def docker(fake: FakeDocker) -> Docker:
    return Docker.find(fake.variables)


def show(fake: FakeDocker, *containers: dict[str, Any]) -> None:
    fake.answer("ps --all", "\n".join(item["Id"] for item in containers))
    fake.answer("inspect", json.dumps(containers))


def job(**state: Any) -> dict[str, Any]:
    return container("migrate-db", Health=None, **state)


def there(fake: FakeDocker, docker: Docker, *containers: dict[str, Any]) -> list[docker_state.Container]:
    show(fake, *containers)
    return docker_state.look(docker, "p")


@pytest.fixture
def compose(docker: Docker, fake: FakeDocker, tmp_path: Path) -> Iterator[Callable[..., Compose]]:
    """Makes a Compose of stages, by their names; all of them are ended."""
    made: list[Compose] = []

    def begin(*stages: str) -> Compose:
        made.append(Compose(docker, [["compose", stage] for stage in stages], {"OVER": "1"}, tmp_path))
        return made[-1]

    yield begin
    for one in made:
        one.close(patience_s=0)


def finished(compose: Compose) -> int | None:
    """The code once the present stage has ended."""
    # Which leaves out those that ended.
    until(lambda: os.getpid() not in processes.parents().values(), every=0.005)
    return compose.code()


def stages(fake: FakeDocker) -> list[str]:
    return [words[1] for words in fake.asked if words[0] == "compose"]


def test_the_second_stage_waits_for_the_first_and_its_job(
    fake: FakeDocker, docker: Docker, compose: Callable[..., Compose]
) -> None:
    fake.answer("compose first", "one")
    fake.answer("compose second", "two")
    both = compose("first", "second")
    assert finished(both) is None
    both.advance(there(fake, docker, job()))
    assert finished(both) is None, "the migration runs"
    both.advance(there(fake, docker, job(Status="created", Pid=0)))
    assert stages(fake) == ["first"], "it has not even begun"
    both.advance(there(fake, docker, job(Status="exited", Pid=0)))
    assert finished(both) == 0
    assert stages(fake) == ["first", "second"]
    assert both.said() == "onetwo"


def test_a_job_that_failed_fails_the_whole_and_nothing_is_started_after_it(
    fake: FakeDocker, docker: Docker, compose: Callable[..., Compose]
) -> None:
    """Compose itself ends well: nothing that it started depends on the job."""
    fake.answer("compose")
    both = compose("first", "second")
    assert finished(both) is None
    both.advance(there(fake, docker, container("postgres"), job(Status="exited", ExitCode=1, Pid=0)))
    assert both.code() == 1
    assert stages(fake) == ["first"]


def test_a_job_of_code_1_that_docker_starts_again_has_not_failed_yet(
    fake: FakeDocker, docker: Docker, compose: Callable[..., Compose]
) -> None:
    fake.answer("compose")
    both = compose("first", "second")
    assert finished(both) is None
    both.advance(there(fake, docker, job(Status="restarting", ExitCode=1)))
    assert both.code() is None


def test_a_stage_that_fails_ends_it(fake: FakeDocker, docker: Docker, compose: Callable[..., Compose]) -> None:
    fake.answer("compose first", "oh", code=17)
    both = compose("first", "second")
    assert finished(both) == 17
    both.advance(there(fake, docker, job(Status="exited", Pid=0)))
    assert stages(fake) == ["first"]


def test_what_does_not_end_is_ended_after_its_patience(fake: FakeDocker, docker: Docker, tmp_path: Path) -> None:
    fake.answer("compose slow", seconds=30)
    slow = Compose(docker, [["compose", "slow"]], {}, tmp_path)
    watch = Stopwatch()
    slow.close(patience_s=0.1)
    assert watch.passed() >= 0.1
    assert watch.given() < 9
    fake.answer("compose quick", seconds=0.3)
    quick = Compose(docker, [["compose", "quick"]], {}, tmp_path)
    quick.close(patience_s=30)
    assert quick.code() == 0, "it was let end"


def wait(docker: Docker, *names: str, **more: Any) -> Any:
    given = {"compose": None, "timeout_s": 20.0, **more}
    progress = given.pop("progress", Steps())
    return until_healthy(docker, "p", names, progress, **given)


def test_up_fails_with_a_migration_that_failed_though_compose_ended_well(
    fake: FakeDocker, docker: Docker, compose: Callable[..., Compose]
) -> None:
    fake.answer("compose")
    show(fake, container("postgres"), job(Status="exited", ExitCode=3, Pid=0))
    with pytest.raises(EngineError, match="migrate-db ended with exit code 3") as caught:
        wait(docker, "postgres", "worker", compose=compose("first", "second"))
    assert caught.value.why == "the last line"
    assert "mwaa-local logs migrate-db" in caught.value.hint
    assert stages(fake) == ["first"]


def test_composes_own_words_are_the_error_where_no_component_tells_more(
    fake: FakeDocker, docker: Docker, compose: Callable[..., Compose]
) -> None:
    fake.answer("compose", "invalid overlay", code=1)
    show(fake, container("postgres"), job(Status="exited", ExitCode=0, Pid=0))
    with pytest.raises(EngineError, match="docker compose up failed") as caught:
        wait(docker, "postgres", "worker", compose=compose("first"))
    assert caught.value.why == "invalid overlay"


def test_a_component_that_is_not_healthy_when_compose_gives_up_is_named(
    fake: FakeDocker, docker: Docker, compose: Callable[..., Compose]
) -> None:
    fake.answer("compose", "dependency failed", code=1)
    show(fake, container("aws", Health={"Status": "unhealthy", "Log": [{"Output": "answered 500\n"}]}))
    with pytest.raises(EngineError, match="aws is not healthy") as caught:
        wait(docker, "aws", compose=compose("first"))
    assert caught.value.why == "answered 500\nthe last line"


def test_healthy_ones_are_returned_with_their_seconds_and_are_no_steps(fake: FakeDocker, docker: Docker) -> None:
    steps = Steps()
    show(fake, container("aws"), container("worker"))
    seconds, containers, statuses = wait(docker, "aws", "worker", progress=steps)
    assert seconds.keys() == {"aws", "worker"}
    assert [item.name for item in containers] == ["aws", "worker"]
    assert statuses == {}
    assert steps.seen == []


def test_one_that_starts_is_a_step_until_it_is_healthy(fake: FakeDocker, docker: Docker) -> None:
    steps = Steps()
    show(fake, container("worker", Health=STARTING))
    note = steps.note

    def heal(text: str) -> None:
        note(text)
        show(fake, container("worker"))

    steps.note = heal  # type: ignore[method-assign]
    wait(docker, "worker", progress=steps)
    assert steps.seen[0] == "begin worker" and steps.seen[-1] == "end worker"
    assert "worker: no heartbeat yet" in steps.seen


def test_what_ran_well_before_counts_only_once_compose_is_done(
    fake: FakeDocker, docker: Docker, compose: Callable[..., Compose]
) -> None:
    """It may be about to be replaced."""
    fake.answer("compose", seconds=30)
    show(fake, container("worker"))
    with pytest.raises(EngineError, match="within 0 s"):
        wait(docker, "worker", compose=compose("first"), timeout_s=0)


def test_too_late_is_said_of_the_slow_ones_with_what_they_wait_for(fake: FakeDocker, docker: Docker) -> None:
    show(fake, container("aws"), container("worker", Health=STARTING))
    with pytest.raises(EngineError, match="worker, guardian did not become healthy within 0 s") as caught:
        wait(docker, "aws", "worker", "guardian", timeout_s=0)
    assert caught.value.why == "worker: no heartbeat yet; guardian: not started\nthe last line"
    assert caught.value.where == "container id-worker-1"
    assert "mwaa-local logs worker" in caught.value.hint


def restarting(count: int, **state: Any) -> dict[str, Any]:
    return container("webserver", Status="restarting", ExitCode=137, RestartCount=count, **state)


def test_the_third_restart_since_the_wait_began_ends_it(fake: FakeDocker, docker: Docker) -> None:
    """Docker counts for ever: what was before does not count, for it may just have been mended."""

    def note(text: str) -> None:
        counts.append(counts[-1] + 1)
        show(fake, restarting(counts[-1]))

    counts = [40]
    show(fake, restarting(40))
    steps = Steps()
    steps.note = note  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="webserver cannot start: it was ended by signal 9, 3 times") as caught:
        wait(docker, "webserver", progress=steps)
    assert counts[-1] == 43
    assert caught.value.why == "the last line"
    assert caught.value.where == "container id-webserver"


def test_one_that_runs_is_never_hopeless(fake: FakeDocker, docker: Docker) -> None:
    def note(text: str) -> None:
        counts.append(counts[-1] + 1)
        last = counts[-1] > 5
        show(fake, container("webserver", RestartCount=counts[-1], **({} if last else {"Health": STARTING})))

    counts = [0]
    show(fake, container("webserver", Health=STARTING))
    steps = Steps()
    steps.note = note  # type: ignore[method-assign]
    wait(docker, "webserver", progress=steps)
    assert len(counts) > 5


def test_one_that_docker_cannot_start_ends_the_wait(
    fake: FakeDocker, docker: Docker, compose: Callable[..., Compose]
) -> None:
    fake.answer("ps --filter publish=8080", "somebody-else")
    fake.answer("compose", seconds=30)
    said = "Bind for 127.0.0.1:8080 failed: port is already allocated"

    begun = compose("first")
    show(fake, container("webserver", Status="created", Error=said, Pid=0))
    with pytest.raises(MachineError, match="port 8080 is taken") as caught:
        # It was not there when the wait began: its new container is of this `up`.
        first = {"left": True}
        original = docker_state.look

        def look(*args: Any) -> Any:
            if first.pop("left", False):
                return []
            return original(*args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(docker_state, "look", look)
            wait(docker, "webserver", compose=begun)
    assert caught.value.why == "container somebody-else publishes it"


def test_who_has_a_port_is_named_where_it_can_be_seen(
    fake: FakeDocker, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.answer("ps --filter", "")
    holders: dict[int, Any] = {8080: (7, "nc -l 8080")}
    monkeypatch.setattr(processes, "listener", holders.get)

    def why(error: MwaaLocalError) -> str:
        return named(docker, error).why

    assert why(PortTakenError(8080, "as it was")) == "process 7: nc -l 8080"
    assert why(PortTakenError(8081, "as it was")) == "as it was"
    assert why(MachineError("the disk is full", why="as it was")) == "as it was"
    other = EngineError("port 8080 is no port", why="as it was")
    assert named(docker, other).why == "as it was"
