"""The life of one component under a keeper that runs in this process: starts, ends, answers, back-off and stopping."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from patience import soon

from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.process import component, keeper, postgres, probes
from mwaa_local.engines.process.keeper import Keeper
from mwaa_local.ground import processes

pytestmark = pytest.mark.skipif(not processes.LINUX, reason="reads /proc")

# Waiting for a child that sleeps, a shell hears a signal at once.
FOREVER = "while :; do sleep 600 & wait $!; done"


class Environment:
    """A keeper, its report, and the folder that its components write to."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.work = folder / "work"
        for path in (self.state, self.work):
            path.mkdir()
        self.base_env = {"PATH": "/usr/bin:/bin", "WORK": str(self.work), "BELOW": "base"}
        self.reports: list[dict[str, Any]] = []

    def shell(self, text: str, name: str = "one", **more: Any) -> Component:
        return Component(name, ("/bin/sh", "-c", text), **more)

    def run(self, test: Callable[[], Awaitable[None]], *components: Component) -> None:
        """Keep components, run the test's body beside, then stop."""

        async def main() -> None:
            keeping = asyncio.create_task(Keeper(self.state, Plan("t", self.base_env, components)).run())
            try:
                await test()
            finally:
                if not keeping.done():
                    os.kill(os.getpid(), signal.SIGTERM)
                await keeping

        try:
            asyncio.run(main())
        finally:
            processes.sweep(f"{self.state}|")

    def of(self, name: str = "one") -> dict[str, Any]:
        """What was last said of a component."""
        if not self.reports:
            return {"state": "absent", "detail": "", "exits": [], "restarts": 0, "pid": None}
        return dict(self.reports[-1]["components"][name])

    def history(self, name: str = "one") -> list[dict[str, Any]]:
        """Everything that was ever said of it."""
        return [report["components"][name] for report in self.reports]

    async def until(self, condition: Callable[[], bool]) -> None:
        await soon(condition, told=lambda: self.reports[-1])

    async def is_(self, state: str, name: str = "one") -> None:
        await self.until(lambda: self.of(name)["state"] == state)

    def text(self, name: str) -> str:
        path = self.work / name
        return path.read_text() if path.exists() else ""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setattr(component, "BACK_OFF", (0.01, 0.02, 0.03))
    monkeypatch.setattr(component, "PROBE_FAST", 0.01)
    monkeypatch.setattr(component, "PROBE_SLOW", 0.01)
    monkeypatch.setattr(component, "PROBE_AGAIN", 0.01)
    made = Environment(tmp_path)
    write = keeper.write_report

    def note(path: Path, value: Any) -> None:
        made.reports.append(json.loads(json.dumps(value)))
        write(path, value)

    monkeypatch.setattr(keeper, "write_report", note)
    return made


def test_the_waits_between_starts_grow_to_half_a_minute() -> None:
    assert component.BACK_OFF == (0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
    assert (component.STABLE_SECONDS, component.FAILURES_TO_UNHEALTHY) == (120.0, 3)


def test_a_service_that_ends_with_0_died_all_the_same(environment: Environment) -> None:
    async def test() -> None:
        await environment.until(lambda: len(environment.of()["exits"]) >= 2)
        first = environment.of()["exits"][0]
        assert (first["code"], first["why"], first["was_healthy"]) == (0, "ended with exit code 0", True)
        assert environment.of()["restarts"] >= 1

    environment.run(test, environment.shell("sleep 0.1; exit 0"))


def test_the_third_end_in_a_row_is_a_failure_and_it_is_started_all_the_same(environment: Environment) -> None:
    async def test() -> None:
        await environment.until(lambda: len(environment.of()["exits"]) >= 5)

    environment.run(test, environment.shell("exit 7", probe={"kind": "file", "path": "/none", "max_age": 1}))
    waiting = {len(row["exits"]): row for row in environment.history() if "starts again" in row["detail"]}
    assert [waiting[number]["state"] for number in (1, 2, 3, 4)] == ["restarting", "restarting", "failed", "failed"]
    details = [waiting[number]["detail"] for number in (1, 2, 3, 4)]
    assert details == [f"ended with exit code 7; starts again in {wait} s" for wait in (0.01, 0.02, 0.03, 0.03)]


def test_one_that_was_well_for_long_begins_its_count_anew(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(component, "STABLE_SECONDS", 0.05)

    async def test() -> None:
        await environment.until(lambda: len(environment.of()["exits"]) >= 4)
        assert "failed" not in {row["state"] for row in environment.history()}

    environment.run(test, environment.shell("sleep 0.15; exit 1"))


def test_ten_ends_are_kept(environment: Environment) -> None:
    async def test() -> None:
        await environment.until(lambda: environment.of()["restarts"] >= 12)
        assert len(environment.of()["exits"]) == 10

    environment.run(test, environment.shell("exit 1", probe={"kind": "file", "path": "/none", "max_age": 1}))


def test_a_job_is_done_when_it_ends_with_0_and_failed_at_once_when_not(environment: Environment) -> None:
    async def test() -> None:
        await environment.is_("healthy", "good")
        assert environment.of("good")["detail"] == "done"
        assert environment.of("good")["exits"] == []
        await environment.is_("failed", "bad")
        assert environment.of("bad")["exits"][0]["code"] == 3
        await environment.until(lambda: environment.of("bad")["restarts"] >= 1)

    environment.run(
        test, environment.shell("exit 0", "good", kind="job"), environment.shell("exit 3", "bad", kind="job")
    )


def test_what_cannot_be_started_is_an_end_with_its_reason(environment: Environment) -> None:
    async def test() -> None:
        await environment.until(lambda: bool(environment.of("nowhere")["exits"]) and bool(environment.of()["exits"]))
        first = environment.of("nowhere")["exits"][0]
        assert first["code"] == 126
        assert first["why"].startswith("cannot be started: ")
        assert environment.of()["exits"][0]["code"] == 126
        assert "cannot start /no/such/program" in (environment.state / "logs" / "one.log").read_text()

    environment.run(
        test,
        environment.shell("exit 0", "nowhere", cwd=str(environment.work / "no" / "such" / "folder")),
        Component("one", ("/no/such/program",)),
    )


def test_whatever_goes_wrong_with_one_the_keeper_keeps_it(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, failures = postgres.launched, [ValueError("strange")]
    monkeypatch.setattr(
        postgres, "launched", lambda *args, **more: _raise(failures.pop()) if failures else original(*args, **more)
    )

    async def test() -> None:
        await environment.is_("healthy")
        first = environment.of()["exits"][0]
        assert (first["code"], first["why"]) == (126, "could not be kept: strange")

    environment.run(test, environment.shell(FOREVER))


def _raise(error: Exception) -> Any:
    raise error


def test_a_process_gets_the_base_its_own_variables_above_and_a_mark_with_its_number(environment: Environment) -> None:
    async def test() -> None:
        await environment.until(lambda: len(environment.of()["exits"]) >= 2)
        first, second = (environment.text("out").splitlines()[number] for number in (0, 1))
        assert first == f"base|own|{environment.state}|one|1|/"
        assert second == f"base|own|{environment.state}|one|2|/"

    shown = f'echo "$BELOW|$OWN|${processes.MARK}|$PWD" >> $WORK/out; exit 1'
    environment.run(test, environment.shell(shown, env={"OWN": "own"}))


def test_its_input_is_empty_and_both_outputs_go_to_its_log(environment: Environment) -> None:
    async def test() -> None:
        await environment.is_("healthy")
        log = environment.state / "logs" / "one.log"
        await environment.until(lambda: "read nothing" in log.read_text() and "an error" in log.read_text())

    environment.run(test, environment.shell(f"read x || echo read nothing; echo an error >&2; {FOREVER}"))


def test_it_waits_for_what_it_needs_and_says_so(environment: Environment) -> None:
    gate = environment.work / "gate"

    async def test() -> None:
        await environment.until(lambda: environment.of()["detail"] == "waits for first, second")
        assert environment.of()["pid"] is None
        await environment.until(lambda: gate.touch() or environment.of()["state"] == "healthy")
        assert environment.of("first")["state"] == environment.of("second")["state"] == "healthy"

    probe = {"kind": "file", "path": str(gate), "max_age": 1e9}
    environment.run(
        test,
        environment.shell(FOREVER, needs=("first", "second")),
        environment.shell(FOREVER, "first", probe=probe),
        environment.shell(FOREVER, "second", probe=probe),
    )


def test_a_job_that_need_not_run_does_not_and_one_behind_does(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "ask", lambda probe, _memory: str(probe.get("said", "")))

    async def test() -> None:
        await environment.is_("healthy", "behind")
        await environment.is_("healthy", "current")
        assert environment.of("current")["detail"] == "nothing to do"
        assert environment.text("ran") == "behind\n"

    environment.run(
        test,
        environment.shell("echo behind >> $WORK/ran", "behind", kind="job", skip={"kind": "schema", "said": "old"}),
        environment.shell("echo current >> $WORK/ran", "current", kind="job", skip={"kind": "schema"}),
    )


def test_only_three_bad_answers_in_a_row_make_it_unhealthy(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["not yet", "", "bad", "bad", "", "bad", "bad", "bad", "bad", ""]
    seen: list[tuple[str, str]] = []

    def ask(_probe: Any, _memory: Any) -> str:
        seen.append((environment.of()["state"], environment.of()["detail"]))
        return answers.pop(0) if answers else ""

    monkeypatch.setattr(probes, "ask", ask)

    async def test() -> None:
        await environment.until(lambda: len(seen) > 11)
        assert environment.of()["restarts"] == 0

    environment.run(test, environment.shell(FOREVER, probe={"kind": "file"}))
    states = [state for state, _ in seen]
    assert states[:11] == [*["starting"] * 2, *["healthy"] * 6, "unhealthy", "unhealthy", "healthy"]
    assert seen[1] == ("starting", "not yet")
    assert seen[8] == ("unhealthy", "bad")


def test_heavy_ones_start_one_after_the_other_in_their_order(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "cores", lambda: 1)

    def heavy(name: str, rank: int) -> Component:
        probe = {"kind": "file", "path": str(environment.work / f"{name}-gate"), "max_age": 1e9}
        return environment.shell(f"echo {name} >> $WORK/out; {FOREVER}", name, heavy=rank, probe=probe)

    async def test() -> None:
        await environment.until(lambda: environment.text("out") == "b\n")
        await environment.until(lambda: environment.of("a")["detail"] == "waits for a core")
        (environment.work / "b-gate").touch()
        await environment.until(lambda: environment.text("out") == "b\na\n")

    environment.run(test, heavy("a", 2), heavy("b", 1))


def test_what_an_earlier_process_of_it_left_is_ended_before_it_starts(environment: Environment) -> None:
    mark = f"{environment.state}|one|7"

    async def test() -> None:
        await environment.is_("healthy")
        assert "old" not in environment.text("out")

    old = os.posix_spawn("/bin/sleep", ["sleep", "600"], {processes.MARK: mark})
    try:
        environment.run(test, environment.shell(f"test -e /proc/{old}/exe && echo old > $WORK/out; {FOREVER}"))
    finally:
        processes.kill([old])


def test_a_stale_lock_of_the_database_goes_before_it_starts(environment: Environment) -> None:
    data = environment.work / "data"
    data.mkdir()
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n")

    async def test() -> None:
        await environment.until(lambda: environment.text("out") != "")
        assert environment.text("out") == "gone\n"

    words = ("/bin/sh", "-c", f"test -e {data}/postmaster.pid || echo gone > $WORK/out; {FOREVER}", "postgres", "-D")
    environment.run(test, Component("one", (*words, str(data)), probe={"kind": "postgres", "port": 1, "password": "p"}))


def stopping(environment: Environment, text: str, **more: Any) -> list[str]:
    """Keep one and stop it once it runs; what was said of it from then on."""

    async def test() -> None:
        await environment.until(lambda: environment.text("out") == "on\n")
        began.append(len(environment.reports))

    began: list[int] = []
    environment.run(test, environment.shell(f"{text} echo on >> $WORK/out; {FOREVER}", **more))
    assert not processes.marked(f"{environment.state}|")
    assert environment.of()["state"] == "stopped"
    assert environment.of()["exits"] == [], "a wished end is no failure"
    return [row["detail"] for row in environment.history()[began[0] :]]


def heard(name: str) -> str:
    return f"trap 'echo {name} >> $WORK/out; sleep 0.1; echo end >> $WORK/out; exit 0' {name};"


def test_it_is_asked_with_its_own_signal_before_anything_else(environment: Environment) -> None:
    said = stopping(environment, heard("TERM") + heard("INT"), stop_seconds=20.0)
    assert environment.text("out") == "on\nTERM\nend\n"
    ending = said[said.index("stopping") :]
    assert set(ending) == {"stopping", ""}
    assert ending == sorted(ending, reverse=True), "what it answers meanwhile does not make it well again"


def test_the_database_is_asked_by_an_interrupt(environment: Environment) -> None:
    stopping(environment, heard("TERM") + heard("INT"), stop_signal=signal.SIGINT, stop_seconds=20.0)
    assert environment.text("out") == "on\nINT\nend\n"


def test_it_is_killed_after_its_time_with_what_it_started_and_that_is_said(environment: Environment) -> None:
    said = stopping(environment, "trap '' TERM; (exec sleep 601) &", stop_seconds=0.6)
    assert "killed: did not end within 1 s" in said


def test_the_second_signal_leaves_them_a_few_seconds_only(environment: Environment) -> None:
    async def test() -> None:
        await environment.until(lambda: environment.text("out") == "on\n")
        os.kill(os.getpid(), signal.SIGTERM)
        await environment.until(lambda: environment.of()["detail"] == "stopping")

    text = f"trap 'echo TERM >> $WORK/out' TERM; echo on >> $WORK/out; {FOREVER}"
    # Another signal ends the run. Without it the test would outlast its own time limit.
    environment.run(test, environment.shell(text, stop_seconds=600.0))
    assert environment.text("out") == "on\nTERM\n"


def test_the_report_says_whose_it_is_since_when_and_that_it_is_the_last(environment: Environment) -> None:
    async def test() -> None:
        await environment.is_("healthy")

    began = time.time()
    environment.run(test, environment.shell(FOREVER))
    first, last = environment.reports[0], environment.reports[-1]
    assert (last["pid"], last["tool"]) == (os.getpid(), "t")
    assert began <= last["started_at"] == first["started_at"] <= last["updated_at"] <= time.time()
    assert (first["stopping"], last["stopping"]) == (False, True)
    assert last["components"]["one"]["state"] == "stopped"
