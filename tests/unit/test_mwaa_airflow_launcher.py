"""The launcher on a stand-in for Airflow: forking, output, events, order of stopping, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import Stopwatch, gone, until

SOURCES = Path(__file__).parents[2] / "src"

# What stands in for Airflow: `airflow WORD...` runs the word below.
AIRFLOW = """
import atexit, os, signal, subprocess, sys, threading, time
def note(text):
    print(text, flush=True)
def main():
    word = sys.argv[1]
    note("%s %s" % (os.path.basename(sys.argv[0]), " ".join(sys.argv[1:])))
    if word == "quick":
        atexit.register(note, "atexit ran")
        while len(sys.argv) > 3 and "up pid" not in open(sys.argv[3]).read():
            time.sleep(0.01)  # the other one can be stopped now
        sys.exit(int(sys.argv[2]))
    if word == "child":
        note("grandchild %d" % subprocess.Popen(["sleep", "300"]).pid)
    if word == "orphan":
        held = subprocess.Popen(["sh", "-c", "setsid sleep 300 & echo orphan $!"], stdout=subprocess.PIPE)
        note(held.stdout.readline().decode().strip())
    def stop(number, frame):
        note("stopped at %.3f" % time.time())
        time.sleep(float(os.environ.get("SLOW_STOP", "0")))
        sys.exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if word == "stubborn" else stop)
    note("up pid %d group %d value %s" % (os.getpid(), os.getpgrp(), os.environ.get("VALUE")))
    while True:
        time.sleep(0.05)
if __name__ == "__main__":
    main()
"""


class Run:
    """A launcher, its events and one output file per process."""

    def __init__(self, folder: Path, processes: list[dict[str, Any]], *, at_import: str = "") -> None:
        package = folder / "airflow"
        package.mkdir()
        (package / "__init__.py").write_text(at_import, encoding="utf-8")
        (package / "__main__.py").write_text(AIRFLOW, encoding="utf-8")
        script = folder / "bin" / "airflow"
        script.parent.mkdir()
        script.write_text("from airflow.__main__ import main\nmain()\n", encoding="utf-8")
        script.chmod(0o755)
        self.folder = folder
        read, write = os.pipe()
        files = [os.open(folder / f"{spec['name']}.log", os.O_WRONLY | os.O_CREAT) for spec in processes]
        specs = [dict(spec, stdout=fd, stderr=fd) for spec, fd in zip(processes, files, strict=True)]
        files.append(os.open(folder / "launcher.log", os.O_WRONLY | os.O_CREAT))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mwaa_airflow.launcher", json.dumps({"events": write, "processes": specs})],
            stderr=files[-1],
            env={
                "PYTHONPATH": f"{SOURCES}:{folder}",
                "AIRFLOW_VERSION": "3.2.1",
                "PATH": f"{script.parent}:{os.environ['PATH']}",
            },
            pass_fds=[write, *files],
            start_new_session=True,
        )
        for fd in [write, *files]:
            os.close(fd)
        self.events = os.fdopen(read)

    def output(self, name: str, needle: str = "") -> str:
        """The output of a process, once it holds ``needle``."""
        file = self.folder / f"{name}.log"
        until(lambda: needle in file.read_text(encoding="utf-8"), told=lambda: f"for {needle!r}: {file.read_text()!r}")
        return file.read_text(encoding="utf-8")

    def told(self) -> list[dict[str, Any]]:
        """All events, after the launcher ended."""
        return [json.loads(line) for line in self.events]

    def number(self, name: str, word: str) -> int:
        text = self.output(name, word + " ").split(word + " ", 1)[1]
        return int(text.split()[0])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    made: list[Run] = []

    def make(*processes: dict[str, Any], at_import: str = "") -> Run:
        made.append(Run(tmp_path, list(processes), at_import=at_import))
        return made[-1]

    yield make
    for run in made:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait(10)
        run.events.close()


def spec(name: str, *argv: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "argv": list(argv), **more}


def test_each_process_has_its_own_group_output_and_environment(start: Any) -> None:
    run = start(spec("a", "wait", env={"VALUE": "one"}), spec("b", "wait", env={"VALUE": "two"}))
    assert "airflow wait" in run.output("a", "value one")
    assert "airflow wait" in run.output("b", "value two")
    assert run.number("a", "group") == run.number("a", "pid") != run.number("b", "group")


def test_a_stop_signal_ends_them_in_reverse_order_and_gives_zero(start: Any) -> None:
    run = start(spec("a", "wait", env={"SLOW_STOP": "0.3"}), spec("b", "wait", env={"SLOW_STOP": "0.3"}))
    run.output("a", "up pid"), run.output("b", "up pid")
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(10) == 0
    told = run.told()
    assert [row["name"] for row in told if row["event"] == "exited"] == ["b", "a"]
    assert [row["reason"] for row in told if row["event"] == "stopping"] == ["signal 15"]
    times = [float(run.output(name).split("stopped at ")[1].split()[0]) for name in ("b", "a")]
    assert times[1] - times[0] >= 0.3


def test_when_one_ends_the_rest_is_stopped_and_its_code_is_the_launchers(start: Any, tmp_path: Path) -> None:
    run = start(spec("a", "wait"), spec("b", "quick", "7", str(tmp_path / "a.log")))
    assert run.process.wait(10) == 7
    told = run.told()
    assert [(row["name"], row["code"]) for row in told if row["event"] == "exited"] == [("b", 7), ("a", 0)]
    assert "atexit ran" in run.output("b")


def test_a_killed_process_gives_the_shells_code_for_its_signal(start: Any) -> None:
    run = start(spec("a", "wait"), spec("b", "wait"))
    os.kill(run.number("a", "pid"), signal.SIGKILL)
    assert run.process.wait(10) == 137
    assert {row["name"]: row["code"] for row in run.told() if row["event"] == "exited"}["a"] == -9


def test_after_the_patience_comes_the_kill(start: Any) -> None:
    run = start(spec("a", "wait"), spec("b", "stubborn", patience=0.4))
    run.output("b", "up pid")
    watch = Stopwatch()
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(10) == 0
    assert watch.passed() >= 0.4
    assert watch.given() < 3
    assert {row["name"]: row["code"] for row in run.told() if row["event"] == "exited"}["b"] == -9
    assert "b had not ended 0 s after SIGTERM, so it is killed" in run.output("launcher")


def test_what_is_left_of_a_processs_group_is_killed(start: Any) -> None:
    run = start(spec("a", "child"), spec("b", "wait"))
    grandchild = run.number("a", "grandchild")
    run.output("a", "up pid")
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(10) == 0
    gone(grandchild)


def test_what_left_its_group_is_killed_too(start: Any) -> None:
    run = start(spec("a", "orphan"), spec("b", "wait"))
    orphan = run.number("a", "orphan")
    run.output("a", "up pid")
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(10) == 0
    gone(orphan)


def test_a_killed_launcher_takes_its_processes_along(start: Any) -> None:
    run = start(spec("a", "wait"), spec("b", "wait"))
    pids = [run.number(name, "pid") for name in ("a", "b")]
    run.process.kill()
    run.process.wait(10)
    gone(*pids)


def test_threads_of_user_code_make_it_start_fresh_programs(start: Any) -> None:
    run = start(
        spec("a", "wait"),
        spec("b", "wait"),
        at_import="import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    )
    pid = run.number("a", "pid")
    assert b"mwaa_airflow.launcher" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(10) == 0
    assert [row["shared"] for row in run.told() if row["event"] == "started"] == [False, False]


def test_a_job_of_one_process_becomes_it(start: Any) -> None:
    run = start(spec("a", "wait", env={"VALUE": "one"}))
    assert run.number("a", "pid") == run.process.pid
    run.output("a", "value one")
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(10) == 0
    assert [(row["event"], row["pid"]) for row in run.told()] == [("started", run.process.pid)]
