"""The keeper with small scripts as components: what it starts, restarts, stops, and leaves behind (nothing)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import Stopwatch, until

from mwaa_local.engines import plan
from mwaa_local.engines.plan import Component
from mwaa_local.ground import locks, processes

pytestmark = pytest.mark.skipif(not processes.LINUX, reason="reads /proc")

# Writes its own id, starts a grandchild in a session of its own, and waits for a signal.
SERVICE = """
import os, pathlib, signal, subprocess, sys, time
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
log = open(folder / "events", "a", buffering=1)
def ended(number, frame):
    time.sleep(float(sys.argv[3]))
    log.write(f"{name} term\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, ended)
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
log.write(f"{name} start\\n")
print("hello from", name, flush=True)
(folder / f"{name}.child").write_text(str(child.pid))
(folder / f"{name}.beat").write_text("")
while True:
    time.sleep(600)
"""


class Fixture:
    """One keeper over a folder, its plan, and its report."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.work = folder / "work"
        self.work.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def service(self, name: str, *, ends_after: float = 0.0, **more: Any) -> Component:
        words = (sys.executable, "-S", "-c", SERVICE, str(self.work), name, str(ends_after))
        probe = {"kind": "file", "path": str(self.work / f"{name}.beat"), "max_age": 1e6}
        return Component(name=name, argv=words, **{"probe": probe, **more})

    def script(self, name: str, text: str, **more: Any) -> Component:
        return Component(name=name, argv=(sys.executable, "-S", "-c", text), **more)

    def write(self, *components: Component) -> plan.Plan:
        made = plan.Plan(tool="t", base_env={"PATH": os.environ["PATH"]}, components=components)
        made.write(self.state / "plan.json")
        return made

    def start(self, *components: Component) -> None:
        self.write(*components)
        words = [sys.executable, "-m", "mwaa_local.engines.process.keeper", "--state", str(self.state)]
        self.process = subprocess.Popen(words, start_new_session=True)

    def apply(self, *components: Component) -> None:
        made = self.write(*components)
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        self.wait(lambda: self.report()["generation"] == made.generation)

    def report(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.state / "keeper.json").read_text()))
        except FileNotFoundError:
            return {"components": {}, "generation": ""}

    def of(self, name: str) -> dict[str, Any]:
        return dict(self.report()["components"].get(name, {"state": "absent", "pid": None, "exits": [], "restarts": 0}))

    def wait(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        until(condition, seconds, told=lambda: json.dumps(self.report(), indent=1))

    def healthy(self, *names: str) -> None:
        self.wait(lambda: all(self.of(name)["state"] == "healthy" for name in names))

    def events(self) -> list[str]:
        return (self.work / "events").read_text().splitlines()

    def alive(self) -> set[int]:
        return processes.marked(f"{self.state}|")

    def stop(self, seconds: float = 20.0) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Fixture]:
    fixture = Fixture(tmp_path)
    yield fixture
    if fixture.process is not None and fixture.process.poll() is None:
        fixture.process.kill()
        fixture.process.wait(5)
    processes.sweep(f"{fixture.state}|")


def test_starts_in_order_of_need_and_stops_in_order_of_rank(keeper: Fixture) -> None:
    keeper.start(
        keeper.service("web", needs=("database",), stop_rank=20),
        keeper.service("database", stop_rank=50),
        keeper.service("worker", needs=("database",), stop_rank=10),
    )
    keeper.healthy("web", "database", "worker")
    assert keeper.events()[0] == "database start"
    assert "hello from web" in (keeper.state / "logs" / "web.log").read_text()
    assert keeper.stop() == 0
    assert keeper.events()[-3:] == ["worker term", "web term", "database term"]
    keeper.wait(lambda: not keeper.alive())  # the grandchildren are gone too
    assert {keeper.of(name)["state"] for name in ("web", "database", "worker")} == {"stopped"}


def test_a_killed_component_comes_back_and_its_children_do_not_stay(keeper: Fixture) -> None:
    keeper.start(keeper.service("one"), keeper.service("two"))
    keeper.healthy("one", "two")
    first, other = keeper.of("one")["pid"], keeper.of("two")["pid"]
    child = int((keeper.work / "one.child").read_text())
    os.kill(first, signal.SIGKILL)
    keeper.wait(lambda: keeper.of("one")["restarts"] == 1 and keeper.of("one")["state"] == "healthy")
    after = keeper.of("one")
    assert after["pid"] != first
    assert keeper.of("two")["pid"] == other, "the other one was left alone"
    assert after["exits"][0]["code"] == -signal.SIGKILL
    assert after["exits"][0]["why"] == "was killed by SIGKILL"
    assert child not in processes.parents(), "a grandchild in its own session must die with the component"


def test_children_that_wiped_their_variables_die_too(keeper: Fixture) -> None:
    """As gunicorn and Celery do when they set their titles."""
    text = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'], env={}, start_new_session=True)\n"
        f"pathlib.Path({str(keeper.work / 'bare')!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    keeper.start(keeper.script("one", text), keeper.service("two"))
    keeper.wait(lambda: (keeper.work / "bare").exists() and (keeper.work / "bare").read_text() != "")
    keeper.healthy("one", "two")
    bare, two = int((keeper.work / "bare").read_text()), keeper.of("two")["pid"]
    os.kill(keeper.of("one")["pid"], signal.SIGKILL)
    keeper.wait(lambda: keeper.of("one")["restarts"] == 1)
    assert bare not in processes.parents()
    assert keeper.of("two")["pid"] == two


def test_no_orphan_when_the_keeper_is_killed(keeper: Fixture) -> None:
    keeper.start(keeper.service("one"), keeper.service("two"))
    keeper.healthy("one", "two")
    mains = [keeper.of(name)["pid"] for name in ("one", "two")]
    assert keeper.process is not None
    keeper.process.kill()
    keeper.process.wait(5)
    keeper.wait(lambda: not set(mains) & set(processes.parents()), seconds=3)
    # A second keeper finds the lock free, and nothing of the first in its way.
    keeper.start(keeper.service("one"), keeper.service("two"))
    keeper.wait(lambda: keeper.report().get("pid") == keeper.process.pid)  # type: ignore[union-attr]
    keeper.healthy("one", "two")
    assert len(keeper.alive()) == 4, "two components with one child each, and none of the old ones"


def test_backs_off_and_tells_why(keeper: Fixture) -> None:
    keeper.start(keeper.script("bad", "import sys; print('no such table'); sys.exit(7)"))
    keeper.wait(lambda: len(keeper.of("bad")["exits"]) >= 3)
    bad = keeper.of("bad")
    assert bad["state"] == "failed", "three ends in a row"
    assert {row["code"] for row in bad["exits"]} == {7}
    times = [row["at"] for row in bad["exits"]]
    assert times[2] - times[1] > times[1] - times[0] > 0.25, "each wait is longer than the one before"
    assert (keeper.state / "logs" / "bad.log").read_text().count("no such table") >= 3


TOLD = {
    "what": "the startup script ended with 3",
    "why": "boom",
    "hint": "look",
    "where": "",
    "id": "startup-script",
}


def test_the_runtimes_own_error_is_kept_with_the_exit(keeper: Fixture) -> None:
    run = keeper.work / "run"
    run.mkdir()
    text = (
        f"import json, time; told = {{'started_epoch': time.time(), 'state': 'failed', 'error': {TOLD!r}}}\n"
        f"open({str(run / 'status.json')!r}, 'w').write(json.dumps(told)); raise SystemExit(1)"
    )
    keeper.start(keeper.script("worker", text, run_dir=str(run)))
    keeper.wait(lambda: bool(keeper.of("worker")["exits"]))
    assert keeper.of("worker")["exits"][0]["error"] == TOLD
    assert keeper.of("worker")["state"] == "failed", "an error of the runtime's own is final at once"


def test_the_words_of_the_boot_before_are_not_believed(keeper: Fixture) -> None:
    """One that is killed before it writes a word must not answer for a script that was mended since."""
    run = keeper.work / "run"
    run.mkdir()
    before = {"started_epoch": time.time() - 1, "state": "failed", "error": TOLD}
    (run / "status.json").write_text(json.dumps(before))
    keeper.start(keeper.script("worker", "raise SystemExit(7)", run_dir=str(run)))
    keeper.wait(lambda: bool(keeper.of("worker")["exits"]))
    (exit_, *_) = keeper.of("worker")["exits"]
    assert (exit_["code"], exit_["error"], exit_["why"]) == (7, None, "ended with exit code 7")


def test_a_service_that_ends_with_0_has_ended_all_the_same_and_comes_back(keeper: Fixture) -> None:
    keeper.start(keeper.script("leaver", "raise SystemExit(0)"))
    keeper.wait(lambda: keeper.of("leaver")["restarts"] >= 1)
    assert keeper.of("leaver")["exits"][0]["why"] == "ended with exit code 0"


def test_what_is_stopped_gets_its_own_signal_and_the_time_to_act_on_it(keeper: Fixture) -> None:
    """A worker finishes its tasks on SIGTERM: a kill before its time is over would lose them."""
    keeper.start(keeper.service("worker", ends_after=1.0, stop_seconds=30.0))
    keeper.healthy("worker")
    assert keeper.stop() == 0
    assert "worker term" in keeper.events()


def test_a_changed_plan_touches_only_what_differs(keeper: Fixture) -> None:
    keeper.start(keeper.service("one"), keeper.service("two"), keeper.service("three"))
    keeper.healthy("one", "two", "three")
    before = {name: keeper.of(name)["pid"] for name in ("one", "two")}
    keeper.apply(keeper.service("one"), keeper.service("two", inputs={"requirements.txt": "b"}), keeper.service("four"))
    keeper.healthy("one", "two", "four")
    assert keeper.of("one")["pid"] == before["one"]
    assert keeper.of("two")["pid"] != before["two"]
    assert keeper.of("three")["state"] == "absent"
    assert keeper.of("two")["exits"] == [], "a wished restart is no failure"
    assert "three term" in keeper.events()


def test_an_unchanged_plan_wakes_what_waits_to_be_restarted(keeper: Fixture) -> None:
    flag = keeper.work / "fixed"
    bad = keeper.script("bad", f"import os, sys, time; os.path.exists({str(flag)!r}) or sys.exit(1); time.sleep(600)")
    keeper.start(bad)
    keeper.wait(lambda: len(keeper.of("bad")["exits"]) >= 4)
    flag.touch()
    watch = Stopwatch()
    keeper.apply(bad)
    keeper.healthy("bad")
    assert watch.given() < 3.5, "it did not wait for the back-off of 4 s"


def test_a_job_runs_once_or_not_at_all(keeper: Fixture) -> None:
    ran = keeper.work / "ran"
    text = f"open({str(ran)!r}, 'a').write('x')"
    keeper.start(
        keeper.script("job", text, kind="job"),
        keeper.script("needless", text, kind="job", skip={"kind": "none"}),
        keeper.service("after", needs=("job", "needless")),
    )
    keeper.healthy("job", "needless", "after")
    assert ran.read_text() == "x"
    assert keeper.of("needless")["detail"] == "nothing to do"


def test_a_changed_job_runs_after_all_others_ended_and_before_they_start_again(keeper: Fixture) -> None:
    def parts(version: str) -> list[Component]:
        text = f"open({str(keeper.work / 'events')!r}, 'a').write('migrated {version}\\n')"
        inputs = {"version": version}
        job = keeper.script("job", text, kind="job", inputs=inputs, stop_rank=0)
        # They take longer to end than the job takes in all: begun beside them, it would be done before them.
        return [job, *(keeper.service(name, ends_after=0.7, needs=("job",), inputs=inputs) for name in ("one", "two"))]

    keeper.start(*parts("1"))
    keeper.healthy("job", "one", "two")
    keeper.apply(*parts("2"))
    keeper.healthy("job", "one", "two")
    events = keeper.events()
    before, after = events[: events.index("migrated 2")], events[events.index("migrated 2") + 1 :]
    assert {"one term", "two term"} <= set(before)
    assert sorted(after) == ["one start", "two start"]


def test_what_ignores_its_signal_is_killed_after_its_time(keeper: Fixture) -> None:
    text = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    )
    keeper.start(keeper.script("deaf", text, stop_seconds=0.5))
    keeper.wait(
        lambda: (
            (keeper.state / "logs" / "deaf.log").exists() and "on" in (keeper.state / "logs" / "deaf.log").read_text()
        )
    )
    watch = Stopwatch()
    assert keeper.stop() == 0
    assert watch.passed() > 0.4
    assert watch.given() < 5
    keeper.wait(lambda: not keeper.alive())


def test_a_second_signal_hurries(keeper: Fixture) -> None:
    text = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    )
    keeper.start(keeper.script("deaf", text, stop_seconds=60))
    keeper.wait(
        lambda: (
            (keeper.state / "logs" / "deaf.log").exists() and "on" in (keeper.state / "logs" / "deaf.log").read_text()
        )
    )
    assert keeper.process is not None
    keeper.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    keeper.process.send_signal(signal.SIGTERM)
    assert keeper.process.wait(8) == 0


def test_one_keeper_for_one_folder(keeper: Fixture) -> None:
    keeper.start(keeper.service("one"))
    keeper.healthy("one")
    words = [sys.executable, "-m", "mwaa_local.engines.process.keeper", "--state", str(keeper.state)]
    second = subprocess.run(words, capture_output=True, text=True, timeout=10)
    assert second.returncode == 3
    assert "another keeper" in second.stderr
    assert keeper.of("one")["state"] == "healthy"


def test_unhealthy_is_told_and_heals(keeper: Fixture) -> None:
    keeper.start(keeper.service("one"))
    keeper.healthy("one")
    (keeper.work / "one.beat").unlink()
    keeper.wait(lambda: keeper.of("one")["state"] == "unhealthy", seconds=20)
    (keeper.work / "one.beat").touch()
    keeper.healthy("one")
    assert keeper.of("one")["restarts"] == 0


def test_a_damaged_new_plan_changes_nothing(keeper: Fixture) -> None:
    keeper.start(keeper.service("one"))
    keeper.healthy("one")
    pid = keeper.of("one")["pid"]
    (keeper.state / "plan.json").write_text("{half")
    assert keeper.process is not None
    keeper.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert keeper.process.poll() is None
    assert keeper.of("one")["pid"] == pid


def test_a_removed_lock_is_made_again_and_lets_no_second_keeper_in(keeper: Fixture) -> None:
    keeper.start(keeper.service("one"))
    keeper.healthy("one")
    pid = keeper.of("one")["pid"]
    lock = keeper.state / "keeper.lock"
    lock.unlink()
    keeper.wait(lambda: locks.locked(lock))
    assert keeper.process is not None
    assert lock.read_text() == str(keeper.process.pid)
    words = [sys.executable, "-m", "mwaa_local.engines.process.keeper", "--state", str(keeper.state)]
    assert subprocess.run(words, capture_output=True, timeout=30).returncode == 3, "another keeper has it"
    assert keeper.of("one")["pid"] == pid, "nothing was restarted"
    assert keeper.stop() == 0


def test_a_keeper_whose_lock_another_has_taken_ends_with_all_it_kept(keeper: Fixture) -> None:
    keeper.start(keeper.service("one"))
    keeper.healthy("one")
    other = keeper.work / "lock"
    with locks.lock(other, seconds=0, busy="busy"):
        other.replace(keeper.state / "keeper.lock")
        assert keeper.process is not None
        until(lambda: keeper.process is not None and keeper.process.poll() is not None)
        keeper.wait(lambda: keeper.alive() == set())
