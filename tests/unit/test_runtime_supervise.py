"""Supervision with small stand-in processes: output, order, draining, death, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from patience import Stopwatch, alive, gone, until
from runtime_support import inputs

# Runs the supervisor in a process of its own, since it takes over signals and children. The "airflow" is a small
# script.
HARNESS = """
import json, sys, time
from pathlib import Path
from mwaa_local.runtime import supervise
from mwaa_local.runtime.health import Health
from mwaa_local.runtime.processes import Process
from mwaa_local.runtime.status import Status
folder, mode, drain = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
record = Status(folder / "run", "scheduler")
wanted = [Process(name, (name,)) for name in json.loads(sys.argv[4])]
environment = {"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "FOLDER": str(folder), "AIRFLOW_VERSION": "3.2.1"}
if mode == "direct":
    group = supervise.Direct([sys.executable, str(folder / "airflow.py")], wanted, environment, record)
else:
    environment["PYTHONPATH"] = sys.argv[5]
    group = supervise.Launched([sys.executable], wanted, environment, drain, record)
lines = []
ready = folder / "ready"
ask = lambda: Health(ready.exists(), "ready" if ready.exists() else "not yet")
supervisor = supervise.Supervisor(
    group, [item.name for item in wanted], record, lambda name, text: lines.append([name, text]), ask, drain_seconds=drain,
    prefix=True)
code = supervisor.run(lambda: (folder / "settled").write_text("1"), float(sys.argv[6]))
(folder / "lines.json").write_text(json.dumps(lines))
sys.exit(code)
"""

AIRFLOW = """
import os, signal, subprocess, sys, time
from pathlib import Path
folder, name = Path(os.environ["FOLDER"]), sys.argv[1]
def log(word):
    with open(folder / "order", "a") as file: file.write(f"{name} {word}\\n")
def stop(*_):
    log("term")
    print(name, "stops", flush=True)
    if name == "slow": time.sleep(0.7)
    if name == "waits":
        while not (folder / "gate").exists(): time.sleep(0.01)
    log("end")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if name == "deaf" else stop)
if name == "parent":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
    (folder / "orphan").write_text(str(child.pid))
if name == "forker":
    subprocess.Popen(["sh", "-c", "sleep 0.1 & exit"]).wait()
print(name, "starts", flush=True)
print("no line end", end="", flush=True)
(folder / f"{name}.pid").write_text(str(os.getpid()))
if name in ("dies", "ends", "leaves"):
    while not (folder / "all").exists(): time.sleep(0.01)
    os._exit(3 if name == "dies" else 0)
while True: time.sleep(0.02)
"""


class Rig:
    """One supervised component."""

    def __init__(
        self, folder: Path, names: list[str], mode: str = "direct", drain: float = 5.0, settle: float = 60
    ) -> None:
        self.folder = folder
        (folder / "airflow.py").write_text(AIRFLOW)
        (folder / "harness.py").write_text(HARNESS)
        words = [sys.executable, str(folder / "harness.py"), str(folder), mode, str(drain), json.dumps(names)]
        words += [str(folder / "stand-in"), str(settle)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True)
        for name in names:
            until(lambda name=name: self.has(f"{name}.pid"))  # type: ignore[misc]
        (folder / "all").touch()

    def has(self, name: str) -> bool:
        """Whether a file is there and no longer empty."""
        file = self.folder / name
        return file.exists() and bool(file.read_text())

    def end(self, number: int | None = signal.SIGTERM, seconds: float = 10.0) -> tuple[int, str]:
        if number is not None:
            self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, output.decode()

    @property
    def status(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "run" / "status.json").read_text()))

    @property
    def lines(self) -> list[list[str]]:
        return list(json.loads((self.folder / "lines.json").read_text()))

    def pid(self, name: str) -> int:
        return int((self.folder / name).read_text())


@pytest.fixture
def start(tmp_path: Path) -> Any:
    rigs: list[Rig] = []

    def make(*names: str, **more: Any) -> Rig:
        rigs.append(Rig(tmp_path, list(names), **more))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.process.kill()
        rig.process.wait()
        assert rig.process.stdout is not None
        rig.process.stdout.close()
        for file in tmp_path.glob("*.pid"):
            if alive(int(file.read_text())):
                os.kill(int(file.read_text()), signal.SIGKILL)


def test_lines_reach_console_and_shipper_under_their_process(start: Any) -> None:
    rig = start("one", "two")
    code, output = rig.end()
    assert code == 0
    assert "one | one starts\n" in output
    assert ["two", "two starts"] in rig.lines
    assert ["one", "no line endone stops"] in rig.lines
    assert rig.status["state"] == "stopped"


def test_sigterm_reaches_every_process_and_ends_with_zero(start: Any) -> None:
    rig = start("one", "two", "three")
    code, _ = rig.end()
    assert code == 0
    order = (rig.folder / "order").read_text().split("\n")
    assert {line.split()[0] for line in order if line} == {"one", "two", "three"}
    assert [row["exit_code"] for row in rig.status["processes"]] == [0, 0, 0]
    assert gone(*(rig.pid(f"{name}.pid") for name in ("one", "two", "three")))


def test_running_work_is_finished_within_the_limit(start: Any) -> None:
    rig = start("slow")
    code, _ = rig.end()
    assert code == 0
    assert "slow end" in (rig.folder / "order").read_text()


def test_what_does_not_end_is_killed_when_the_limit_is_over(start: Any) -> None:
    rig = start("deaf", drain=0.5)
    watch = Stopwatch()
    code, _ = rig.end()
    assert code == 0
    assert watch.passed() > 0.4
    assert watch.given() < 8
    assert rig.status["processes"][0]["exit_code"] == -9
    assert any("were killed" in note for note in rig.status["notes"])


def test_running_tasks_get_mwaas_ninety_seconds_unless_told_otherwise() -> None:
    """spec/10 section 1.4."""
    assert inputs("worker").drain_seconds == 90
    assert inputs("worker", MWAA_LOCAL__DRAIN_SECONDS="7").drain_seconds == 7


def test_a_second_interrupt_ends_the_drain(start: Any) -> None:
    rig = start("deaf", drain=60)
    rig.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    code, _ = rig.end(signal.SIGINT)
    assert code == 0


def test_a_second_sigterm_does_not_cut_the_drain_short(start: Any) -> None:
    """Docker, Kubernetes and a keeper may each send one: running tasks keep their time."""
    rig = start("slow", drain=60)
    rig.process.send_signal(signal.SIGTERM)
    until(lambda: "slow term" in (rig.folder / "order").read_text() if (rig.folder / "order").exists() else False)
    code, _ = rig.end(signal.SIGTERM)
    assert code == 0
    assert (rig.folder / "order").read_text().split("\n")[:2] == ["slow term", "slow end"]
    assert rig.status["processes"][0]["exit_code"] == 0


@pytest.mark.usefixtures("launcher")
@pytest.mark.parametrize("mode", ["direct", "launcher"])
def test_a_process_that_leaves_with_0_is_a_death_all_the_same(start: Any, mode: str) -> None:
    """Nothing of a component ends by itself; with 0 an engine would take it for done and not restart it."""
    rig = start("one", "leaves", mode=mode)
    code, _ = rig.end(None)
    assert code == 1
    status = rig.status
    assert (status["state"], status["crash"]["process"]) == ("failed", "leaves")
    assert "leaves" in status["error"]["what"]
    assert "one end" in (rig.folder / "order").read_text(), "the others are ended with SIGTERM first"


def test_the_death_of_one_ends_all_with_its_code(start: Any) -> None:
    rig = start("one", "dies")
    code, _ = rig.end(None)
    assert code == 3
    assert "one end" in (rig.folder / "order").read_text()
    status = rig.status
    assert status["state"] == "failed"
    assert status["error"]["what"] == "dies ended with exit code 3: no line end"
    assert "dies starts" in status["error"]["why"]
    assert (status["crash"]["process"], status["crash"]["cause"], status["crash"]["count"]) == (
        "dies",
        "no line end",
        1,
    )
    assert {row["name"]: row["exit_code"] for row in status["processes"]} == {"one": 0, "dies": 3}


@pytest.mark.parametrize("names", [("one", "ends"), ("ends",)])
def test_a_process_that_ends_with_0_by_itself_died_all_the_same(start: Any, names: tuple[str, ...]) -> None:
    """The engine must see that something ended which should not: a 0 would look like a wished end."""
    rig = start(*names)
    code, output = rig.end(None)
    assert code == 1
    status = rig.status
    assert status["state"] == "failed"
    assert (status["crash"]["process"], status["crash"]["code"]) == ("ends", 0)
    assert status["error"]["what"].startswith("ends ended with exit code 0")
    assert output.splitlines()[-1].startswith("mwaa-local: ends ended with exit code 0")


def test_a_second_sigterm_neither_hurries_nor_reaches_a_process_that_drains(start: Any) -> None:
    """The platform may say it twice; to Celery a second one means to drop its tasks."""
    rig = start("waits", drain=60)
    rig.process.send_signal(signal.SIGTERM)
    until(lambda: rig.has("order"))
    until(lambda: rig.status["state"] == "draining")
    rig.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    (rig.folder / "gate").touch()
    code, _ = rig.end(None)
    assert code == 0
    assert (rig.folder / "order").read_text() == "waits term\nwaits end\n"
    assert rig.status["processes"][0]["exit_code"] == 0
    assert rig.status["notes"] == []


def test_every_process_is_asked_to_end_before_any_is_killed(start: Any) -> None:
    rig = start("deaf", "one", "waits", drain=0.5)
    code, _ = rig.end()
    assert code == 0
    order = (rig.folder / "order").read_text()
    assert "one term" in order and "one end" in order and "waits term" in order
    assert [row["exit_code"] for row in rig.status["processes"]] == [-9, 0, -9]


def test_those_left_when_one_died_get_the_drain_and_no_more(start: Any) -> None:
    rig = start("dies", "deaf", "one", drain=0.3)
    code, _ = rig.end(None)
    assert code == 3
    assert "one end" in (rig.folder / "order").read_text()
    assert {row["name"]: row["exit_code"] for row in rig.status["processes"]} == {"dies": 3, "deaf": -9, "one": 0}
    assert rig.status["notes"] == ["processes were killed: they had not ended 0 s after SIGTERM"]


def test_a_process_killed_from_outside_is_told_as_such(start: Any) -> None:
    rig = start("one", "two")
    os.kill(rig.pid("two.pid"), signal.SIGKILL)
    code, _ = rig.end(None)
    assert code == 137
    assert rig.status["error"]["what"].startswith("two was killed by SIGKILL")


def test_no_orphan_survives_even_in_a_session_of_its_own(start: Any) -> None:
    rig = start("parent")
    orphan = rig.pid("orphan")
    assert alive(orphan)
    rig.end()
    assert gone(orphan)


def test_processes_die_with_a_killed_supervisor(start: Any) -> None:
    rig = start("one", "deaf")
    rig.process.kill()
    rig.process.wait()
    gone(rig.pid("one.pid"), rig.pid("deaf.pid"))


def test_what_lost_its_parent_ends_in_seconds_whatever_the_drain(tmp_path: Path) -> None:
    """A killed keeper took the database with it: a task could finish and tell nobody."""
    (tmp_path / "airflow.py").write_text(AIRFLOW)
    (tmp_path / "harness.py").write_text(HARNESS)
    words = [sys.executable, str(tmp_path / "harness.py"), str(tmp_path), "direct", "300", '["waits"]', "x", "60"]
    keeper = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"
    parent = subprocess.Popen([sys.executable, "-c", keeper, *words], start_new_session=True)
    try:
        until(lambda: (tmp_path / "waits.pid").exists() and (tmp_path / "waits.pid").read_text())
        worker = int((tmp_path / "waits.pid").read_text())
        supervisor = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        parent.kill()
        parent.wait()
        until(lambda: int(Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[1]) != parent.pid)
        os.kill(supervisor, signal.SIGTERM)
        gone(supervisor, worker, seconds=30)
    finally:
        parent.kill()
        parent.wait()
    assert "term" in (tmp_path / "order").read_text(), "it was asked first"


def test_orphans_are_collected_no_zombie_stays(start: Any) -> None:
    rig = start("forker")
    time.sleep(0.5)
    children = Path(f"/proc/{rig.process.pid}/task/{rig.process.pid}/children").read_text().split()
    assert children == [str(rig.pid("forker.pid"))]


def test_ready_is_told_once_the_component_is_healthy(start: Any) -> None:
    rig = start("one")
    assert rig.status["state"] == "booting"
    assert rig.status["ready_at"] is None
    (rig.folder / "ready").write_text("")
    until(lambda: (rig.folder / "settled").exists(), 3)
    status = rig.status
    assert (status["state"], status["health"]) == ("running", "")
    assert status["ready_seconds"] > 0
    assert status["health_at"] >= status["started_epoch"]


def test_a_component_that_is_never_ready_settles_all_the_same(start: Any) -> None:
    rig = start("one", settle=0.3)
    until(lambda: (rig.folder / "settled").exists(), 3)
    assert rig.status["state"] == "booting"


STAND_IN = """
import json, os, signal, sys
job = json.loads(sys.argv[1])
def tell(**row): os.write(job["events"], (json.dumps(row) + "\\n").encode())
pids = {}
if len(job["processes"]) == 1:
    row = job["processes"][0]
    tell(event="started", name=row["name"], pid=os.getpid())
    os.dup2(row["stdout"], 1); os.closerange(3, 64)
    os.execv(sys.executable, [sys.executable, os.environ["FOLDER"] + "/airflow.py", *row["argv"]])
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
for row in job["processes"]:
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGCHLD])
        os.setsid(); os.dup2(row["stdout"], 1)
        os.execv(sys.executable, [sys.executable, os.environ["FOLDER"] + "/airflow.py", *row["argv"]])
    pids[pid] = row["name"]
    tell(event="started", name=row["name"], pid=pid)
for row in job["processes"]:
    os.close(row["stdout"])
got = signal.sigtimedwait([signal.SIGTERM, signal.SIGCHLD], 30)
first = 0
if got is None or got.si_signo == signal.SIGCHLD:
    pid, status = os.wait(); first = os.waitstatus_to_exitcode(status)
    tell(event="exited", name=pids.pop(pid), pid=pid, code=first)
for pid in pids: os.kill(pid, signal.SIGTERM)
for pid in list(pids):
    pid, status = os.wait()
    tell(event="exited", name=pids[pid], pid=pid, code=os.waitstatus_to_exitcode(status))
sys.exit(first)
"""


@pytest.fixture
def launcher(tmp_path: Path) -> None:
    """A launcher that keeps the protocol of ``mwaa_airflow.launcher`` without Airflow."""
    package = tmp_path / "stand-in" / "mwaa_airflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "launcher.py").write_text(STAND_IN)


@pytest.mark.usefixtures("launcher")
class TestLauncher:
    """The same through a launcher that forks the processes."""

    def test_start_and_stop(self, start: Any) -> None:
        rig = start("one", "two", mode="launcher")
        assert [row["pid"] for row in rig.status["processes"]] == [rig.pid("one.pid"), rig.pid("two.pid")]
        code, _ = rig.end()
        assert code == 0
        assert [row["exit_code"] for row in rig.status["processes"]] == [0, 0]
        assert ["two", "two starts"] in rig.lines

    def test_death_of_one(self, start: Any) -> None:
        rig = start("one", "dies", mode="launcher")
        code, _ = rig.end(None)
        assert code == 3
        assert rig.status["error"]["what"] == "dies ended with exit code 3: no line end"

    def test_a_single_process_is_the_launcher_itself(self, start: Any) -> None:
        rig = start("dies", mode="launcher")
        code, _ = rig.end(None)
        assert code == 3
        assert rig.status["error"]["what"] == "dies ended with exit code 3: no line end"
        assert rig.status["processes"][0]["exit_code"] == 3

    def test_death_of_the_launcher(self, start: Any) -> None:
        rig = start("one", "two", mode="launcher")
        children = Path(f"/proc/{rig.process.pid}/task/{rig.process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        code, _ = rig.end(None)
        assert code == 137
        assert gone(rig.pid("one.pid"), rig.pid("two.pid"))
