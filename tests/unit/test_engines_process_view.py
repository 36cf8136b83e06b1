"""Looking at an environment of the process engine: states with their reasons, exports, variables, lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines_keeper_support import StandIn, layout_in, said
from patience import until

from mwaa_local.engines.layout import Layout
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.process import view as process_view
from mwaa_local.errors import EngineError
from mwaa_local.ground import processes

pytestmark = pytest.mark.skipif(not processes.LINUX, reason="reads /proc")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


@pytest.fixture
def keeper(layout: Layout) -> Iterator[StandIn]:
    with StandIn(layout) as stand_in:
        yield stand_in


@pytest.fixture
def plan(layout: Layout) -> Plan:
    run = layout.run("worker")
    run.mkdir(parents=True)
    (run / "status.json").write_text(json.dumps({"startup_script": {"variables": ["A", "GONE"]}}))
    (run / "environment.json").write_text(json.dumps({"variables": {"A": "1", "B": "2"}}))
    components = (
        Component("postgres", ("p",)),
        Component("migrate-db", ("m",), kind="job"),
        Component("worker", ("w",), run_dir=str(run)),
    )
    return Plan("tool", {}, components)


def test_without_a_plan_there_is_nothing(layout: Layout) -> None:
    assert process_view.states(layout, None) == []
    assert process_view.exports(layout, None, "worker") is None
    assert process_view.variables(layout, None, "worker") is None


def test_without_a_keeper_everything_is_stopped_and_keeps_its_last_status(layout: Layout, plan: Plan) -> None:
    with StandIn(layout) as keeper:
        keeper.say(worker=said())
    postgres, worker = process_view.states(layout, plan)
    assert [(item.name, item.state, item.pid) for item in (postgres, worker)] == [
        ("postgres", "stopped", None),
        ("worker", "stopped", None),
    ]
    assert worker.status == {"startup_script": {"variables": ["A", "GONE"]}}
    assert postgres.status is None
    assert process_view.exports(layout, plan, "worker") is None
    assert process_view.variables(layout, plan, "worker") is None


def test_what_runs_is_shown_with_the_keeper_itself(keeper: StandIn, plan: Plan) -> None:
    me = os.getpid()
    keeper.say(worker=said(pid=me, restarts=2, detail="why"), postgres=said("starting", pid=None))
    postgres, worker, own = process_view.states(keeper.layout, plan)
    assert (worker.state, worker.pid, worker.started_at, worker.restarts) == ("healthy", me, 5.0, 2)
    assert worker.detail == "why"
    assert worker.memory_bytes is not None and worker.memory_bytes > 1_000_000
    assert (postgres.state, postgres.pid, postgres.started_at, postgres.memory_bytes) == ("starting", None, None, None)
    assert (own.name, own.state, own.pid, own.started_at) == ("keeper", "healthy", keeper.pid, 7.0)
    assert own.memory_bytes is not None and own.memory_bytes > 100_000


def test_one_that_is_well_again_says_why_it_ended_last(keeper: StandIn, plan: Plan) -> None:
    ends: Any = [{"why": "was killed by SIGTERM"}, {"why": "ended with exit code 3"}]
    keeper.say(worker=said(exits=ends))
    assert process_view.states(keeper.layout, plan)[1].detail == "last restart: it ended with exit code 3"
    keeper.say(worker=said(exits=ends, detail="now"))
    assert process_view.states(keeper.layout, plan)[1].detail == "now"


def test_exports_are_the_scripts_variables_with_the_values_they_have(keeper: StandIn, plan: Plan) -> None:
    assert process_view.exports(keeper.layout, plan, "worker") == {"A": "1"}
    assert process_view.variables(keeper.layout, plan, "worker") == {"A": "1", "B": "2"}
    for other in ("postgres", "nobody"):
        assert process_view.exports(keeper.layout, plan, other) is None
        assert process_view.variables(keeper.layout, plan, other) is None


def test_a_component_that_ran_no_script_exports_nothing(keeper: StandIn, plan: Plan) -> None:
    (keeper.layout.run("worker") / "status.json").write_text('{"startup_script": null}')
    assert process_view.exports(keeper.layout, plan, "worker") == {}
    (keeper.layout.run("worker") / "environment.json").unlink()
    assert process_view.variables(keeper.layout, plan, "worker") is None


def test_lines_of_components_and_of_the_keeper(keeper: StandIn, plan: Plan) -> None:
    keeper.layout.log("worker").write_text("one\ntwo\nthree\n")
    keeper.layout.log("keeper").write_text("kept\n")
    assert list(process_view.lines(keeper.layout, plan, "worker", follow=False, lines=2)) == ["two", "three"]
    assert list(process_view.lines(keeper.layout, plan, "keeper", follow=False, lines=2)) == ["kept"]
    with pytest.raises(EngineError, match="no component 'nobody'") as caught:
        process_view.lines(keeper.layout, plan, "nobody", follow=False, lines=2)
    assert caught.value.why == "components: postgres, migrate-db, worker"
    with pytest.raises(EngineError) as caught:
        process_view.lines(keeper.layout, None, "worker", follow=False, lines=2)
    assert caught.value.why == "components: none yet"


def test_following_ends_with_the_environment(keeper: StandIn, plan: Plan) -> None:
    keeper.layout.log("worker").write_text("one\ntwo\n")
    lines = process_view.lines(keeper.layout, plan, "worker", follow=True, lines=1)
    assert next(lines) == "two"
    with keeper.layout.log("worker").open("a") as log:
        log.write("three\n")
    assert next(lines) == "three"
    keeper.end()
    assert list(lines) == []


def test_what_a_killed_keeper_left_is_not_said_to_be_stopped(layout: Layout, plan: Plan) -> None:
    mark = {processes.MARK: f"{layout.state}|worker|1"}
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=mark)
    try:
        until(lambda: processes.marked(f"{layout.state}|") == {left.pid})
        postgres, worker = process_view.states(layout, plan)
        assert (postgres.state, postgres.pid) == ("stopped", None)
        assert (worker.state, worker.pid) == ("unhealthy", left.pid)
        assert "keeper was killed" in worker.detail
        assert processes.marked_parts(f"{layout.state}|") == {"worker": {left.pid}}
        assert processes.marked_parts(f"{layout.state}x|") == {}
    finally:
        left.kill()
        left.wait()
