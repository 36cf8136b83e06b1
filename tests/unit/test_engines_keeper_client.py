"""Talking to a keeper: whether it is there, what it said, and how it is told, hurried and at last killed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from engines_keeper_support import StandIn, layout_in, lives, said
from patience import until

from mwaa_local.engines.layout import Layout
from mwaa_local.engines.process import keeper_client
from mwaa_local.errors import EngineError
from mwaa_local.ground import processes

pytestmark = pytest.mark.skipif(not processes.LINUX, reason="reads /proc")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


def wait_for_signal(keeper: StandIn, name: str) -> None:
    until(lambda: name in keeper.signals, every=0.005)


def test_it_runs_while_it_holds_its_lock(layout: Layout) -> None:
    assert not keeper_client.runs(layout)
    assert keeper_client.pid(layout) is None
    with StandIn(layout) as keeper:
        assert keeper_client.runs(layout)
        assert keeper_client.pid(layout) == keeper.pid
    assert not keeper_client.runs(layout)
    assert keeper_client.pid(layout) is None, "the file that names it stays"


def test_a_number_that_belongs_to_another_program_by_now_is_not_the_keepers(layout: Layout) -> None:
    with StandIn(layout, name="something else"):
        assert keeper_client.runs(layout)
        assert keeper_client.pid(layout) is None


def test_a_keeper_of_the_version_before_is_one_too(layout: Layout) -> None:
    """It may run while the tool is updated; the module had another name then."""
    with StandIn(layout, name="mwaa_local.engines.keeper") as keeper:
        assert keeper_client.pid(layout) == keeper.pid


def test_a_lock_file_without_a_number_is_no_error(layout: Layout) -> None:
    with StandIn(layout):
        layout.keeper_lock.write_text("")
        assert keeper_client.pid(layout) is None


def test_only_the_keeper_that_runs_is_believed(layout: Layout) -> None:
    nothing = {"components": {}, "generation": ""}
    with StandIn(layout) as keeper:
        assert keeper_client.report(layout) == nothing
        keeper.say(one=said())
        assert keeper_client.report(layout)["components"]["one"]["state"] == "healthy"
        keeper.say(pid=keeper.pid + 1, one=said())
        assert keeper_client.report(layout) == nothing
        keeper.say(one=said())
    assert keeper_client.report(layout) == nothing, "it went"


def test_it_is_told_to_read_its_plan_again(layout: Layout) -> None:
    with StandIn(layout) as keeper:
        keeper_client.reload(layout)
        wait_for_signal(keeper, "HUP")
    layout.log("keeper").write_text("its last words\n")
    with pytest.raises(EngineError, match="the keeper of the environment ended") as caught:
        keeper_client.reload(layout)
    assert caught.value.why == "its last words"


def test_a_stop_asks_once_when_that_is_enough(layout: Layout) -> None:
    with StandIn(layout) as keeper:
        assert keeper_client.stop(layout, timeout_s=20)
        assert keeper.signals == ["TERM"]
        assert not keeper_client.runs(layout)


def test_a_stop_hurries_after_its_time_and_kills_only_then(layout: Layout) -> None:
    with StandIn(layout, bears=2) as keeper:
        assert keeper_client.stop(layout, timeout_s=0.4, hurry_s=20)
        assert keeper.signals == ["TERM", "TERM"]
        assert keeper.process.wait() == 0, "it ended by itself"


def test_a_deaf_keeper_is_killed_with_all_it_started(layout: Layout) -> None:
    with StandIn(layout, bears=99) as keeper:
        assert keeper_client.stop(layout, timeout_s=0.3, hurry_s=0.3)
        assert not lives(keeper.pid)
        assert keeper.signals == ["TERM", "TERM"]


def test_what_a_killed_keeper_left_behind_is_ended_whether_one_runs_or_not(layout: Layout, tmp_path: Path) -> None:
    def left(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["/bin/sleep", "600"], env={processes.MARK: f"{folder}|worker|1"})

    for end in (lambda: keeper_client.stop(layout, timeout_s=1), lambda: keeper_client.kill(layout)):
        ours, other = left(layout.state), left(tmp_path / "another")
        try:
            assert not end()
            assert not lives(ours.pid)
            assert lives(other.pid), "another environment's"
        finally:
            for process in (ours, other):
                process.kill()
                process.wait()


def test_a_kill_asks_nobody(layout: Layout) -> None:
    with StandIn(layout, bears=99) as keeper:
        keeper_client.kill(layout)
        assert not lives(keeper.pid)
        assert keeper.signals == []
        assert not keeper_client.runs(layout)


def test_a_keeper_that_ends_at_once_is_told_with_its_words(layout: Layout) -> None:
    """As it does where another one has the environment."""
    with StandIn(layout), pytest.raises(EngineError, match="the keeper of the environment ended") as caught:
        keeper_client.start(layout, {"PATH": os.environ["PATH"], "HOME": str(layout.state)})
    assert "another keeper has" in caught.value.why


def test_an_overlong_log_of_the_keeper_is_turned_over(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_client.console, "LIMIT_BYTES", 10)
    given: list[dict[str, str]] = []

    def refused(*_: object, env: dict[str, str], **__: object) -> None:
        given.append(env)
        raise FileNotFoundError("no Python")

    monkeypatch.setattr(subprocess, "Popen", refused)
    log = layout.log("keeper")
    host = {"PATH": "/bin", "HOME": "/h", "LANG": "", "AWS_SECRET_ACCESS_KEY": "real", "PYTHONPATH": "/x"}
    for text, kept in (("short\n", False), ("long enough\n", True)):
        log.write_text(text)
        with pytest.raises(FileNotFoundError):
            keeper_client.start(layout, host)
        assert log.with_name("keeper.log.1").exists() is kept
    assert given[-1] == {"PATH": "/bin", "HOME": "/h"}, "nothing of the user's that it does not need"
