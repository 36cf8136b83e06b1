"""When `up` of the process engine stops waiting: over a keeper that says what a test lets it say."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines_support import Quiet

from mwaa_local.engines.layout import Layout
from mwaa_local.engines.process import keeper_client
from mwaa_local.engines.process.waiting import until_healthy
from mwaa_local.errors import EngineError, StartupScriptError

ERROR = {"id": "startup-script", "what": "the startup script ended in a way", "where": "startup.sh", "why": "set -e"}
Looks = Callable[[int, float], dict[str, Any]]


def ended(
    at: float, seconds: float = 0.5, *, error: dict[str, str] | None = None, healthy: bool = False
) -> dict[str, Any]:
    return {"at": at, "seconds": seconds, "was_healthy": healthy, "why": "ended with exit code 1", "error": error}


def one(
    state: str = "starting", *exits: dict[str, Any], kind: str = "service", detail: str = "its heartbeat is old"
) -> dict[str, Any]:
    return {"kind": kind, "state": state, "detail": "" if state == "healthy" else detail, "exits": list(exits)}


def report(generation: str = "new", **components: dict[str, Any]) -> dict[str, Any]:
    return {"generation": generation, "components": components}


class Keeper:
    """Says the next of its reports at each look, the last one for ever.

    Attributes:
        looks: How often it was asked.
        lives: Asked of at each look with its number; false once it is gone.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = Layout(folder)
        self.layout.logs.mkdir(parents=True, exist_ok=True)
        self.looks = 0
        self.lives: Callable[[int], bool] = lambda _look: True
        self.says: list[Callable[[float], dict[str, Any]]] = []
        monkeypatch.setattr(keeper_client, "LOOK_SECONDS", 0.0)
        monkeypatch.setattr(keeper_client, "runs", lambda _layout: self.lives(self.looks))
        monkeypatch.setattr(keeper_client, "report", self._report)

    def _report(self, _layout: Layout) -> dict[str, Any]:
        self.looks += 1
        return self.says[min(self.looks, len(self.says)) - 1](self._since)

    def wait(self, *names: str, seconds: float = 5.0, **more: Any) -> dict[str, float]:
        self._since = time.time() + 0.001  # exits are told relative to just after the wait began
        return until_healthy(self.layout, "new", names, Quiet(), timeout_s=seconds, **more)


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    return Keeper(tmp_path / "state", monkeypatch)


def test_it_ends_when_every_component_is_healthy(keeper: Keeper) -> None:
    keeper.says = [
        lambda _: report(),
        lambda _: report(scheduler=one("healthy"), worker=one()),
        lambda _: report(scheduler=one("healthy"), worker=one("healthy")),
    ]
    assert set(keeper.wait("scheduler", "worker")) == {"scheduler", "worker"}
    assert keeper.looks == 3


def test_what_is_healthy_under_the_plan_before_does_not_count(keeper: Keeper) -> None:
    keeper.says = [
        lambda _: report("old", scheduler=one("healthy")),
        lambda _: report("old", scheduler=one("healthy")),
        lambda _: report("new", scheduler=one("healthy")),
    ]
    keeper.wait("scheduler")
    assert keeper.looks == 3


def test_one_that_fell_again_is_waited_for_again(keeper: Keeper) -> None:
    keeper.says = [
        lambda _: report(scheduler=one("healthy"), worker=one()),
        lambda _: report(scheduler=one("unhealthy"), worker=one("healthy")),
        lambda _: report(scheduler=one("healthy"), worker=one("healthy")),
    ]
    keeper.wait("scheduler", "worker")
    assert keeper.looks == 3


def test_a_service_may_end_twice_and_not_three_times(keeper: Keeper) -> None:
    keeper.says = [
        lambda since: report(worker=one("restarting", *(ended(since + n) for n in (1, 2)))),
        lambda _: report(worker=one("healthy")),
    ]
    keeper.wait("worker")
    keeper.looks = 0
    keeper.says = [lambda since: report(worker=one("restarting", *(ended(since + n) for n in (1, 2, 3))))]
    (keeper.layout.logs / "worker.log").write_text("ImportError: no module named celery\n")
    with pytest.raises(EngineError, match="worker cannot start: it ended with exit code 1") as found:
        keeper.wait("worker")
    assert keeper.looks == 1
    assert "ImportError: no module named celery" in found.value.why


def test_a_job_that_fails_once_ends_the_wait(keeper: Keeper) -> None:
    """A migration does not get better by being asked again."""
    job = lambda since: one("failed", ended(since + 1), kind="job")  # noqa: E731
    keeper.says = [lambda since: report(**{"migrate-db": job(since), "scheduler": one()})]
    with pytest.raises(EngineError, match="migrate-db cannot start"):
        keeper.wait("migrate-db", "scheduler")
    assert keeper.looks == 1


def test_one_that_was_healthy_each_time_gets_four_ends(keeper: Keeper) -> None:
    def ends(count: int) -> Callable[[float], dict[str, Any]]:
        return lambda since: report(
            worker=one("restarting", *(ended(since + n + 1, healthy=True) for n in range(count)))
        )

    keeper.says = [ends(4), lambda _: report(worker=one("healthy"))]
    keeper.wait("worker")
    keeper.looks = 0
    keeper.says = [ends(5)]
    with pytest.raises(EngineError, match="worker does not keep running"):
        keeper.wait("worker")


def test_an_end_that_began_before_up_says_nothing_about_now(keeper: Keeper) -> None:
    # Started with the old file half a second before `up`, failed half a second into it.
    keeper.says = [
        lambda since: report(scheduler=one("failed", *[ended(since + 0.5, 1.0, error=ERROR)] * 3)),
        lambda _: report(scheduler=one("healthy")),
    ]
    keeper.wait("scheduler")
    assert keeper.looks == 2


def test_an_error_of_the_runtime_ends_the_wait_at_once_as_what_it_is(keeper: Keeper) -> None:
    keeper.says = [lambda since: report(scheduler=one("failed", ended(since + 1.5, 1.0, error=ERROR)))]
    with pytest.raises(StartupScriptError, match="scheduler: the startup script ended in a way") as found:
        keeper.wait("scheduler")
    assert (found.value.where, found.value.why) == ("startup.sh", "set -e")


def test_a_component_that_nobody_waits_for_ends_nothing(keeper: Keeper) -> None:
    keeper.says = [
        lambda since: report(guardian=one("failed", ended(since + 1, error=ERROR)), scheduler=one("healthy"))
    ]
    keeper.wait("scheduler")


def test_a_keeper_that_ended_is_told(keeper: Keeper) -> None:
    keeper.says = [lambda _: report(scheduler=one())]
    keeper.lives = lambda look: look < 3
    (keeper.layout.logs / "keeper.log").write_text("MemoryError\n")
    with pytest.raises(EngineError, match="the keeper of the environment ended") as found:
        keeper.wait("scheduler")
    assert keeper.looks == 3
    assert "MemoryError" in found.value.why


def test_too_late_names_who_is_late_with_what_it_waits_for_and_its_last_lines(keeper: Keeper) -> None:
    keeper.says = [lambda _: report(scheduler=one("healthy"), worker=one(detail="waits for aws"))]
    (keeper.layout.logs / "worker.log").write_text("connecting\n")
    with pytest.raises(EngineError, match=r"^worker, webserver did not become healthy within 0 s") as found:
        keeper.wait("scheduler", "worker", "webserver", seconds=0.05)
    assert found.value.why.splitlines() == ["worker: waits for aws; webserver: not started", "connecting"]
    assert "mwaa-local logs worker" in found.value.hint


def test_whoever_looks_may_end_the_wait(keeper: Keeper) -> None:
    keeper.says = [lambda _: report(scheduler=one(detail="port taken"))]

    def look(components: Any) -> None:
        raise EngineError(components["scheduler"]["detail"])

    with pytest.raises(EngineError, match="port taken"):
        keeper.wait("scheduler", look=look)
