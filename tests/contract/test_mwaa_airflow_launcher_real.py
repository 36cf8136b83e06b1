"""The launcher with real Airflow versions on PostgreSQL: three processes alive from one import, and a clean end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mwaa_airflow_support import SOURCES, VERSIONS, airflow_python, variables, wait_for
from patience import gone

from mwaa_local.engines import ports
from mwaa_local.engines.process import postgres
from mwaa_local.ground import processes

pytestmark = [pytest.mark.contract, pytest.mark.skipif(not processes.LINUX, reason="reads /proc")]

PASSWORD = "secret-of-the-test"
JOBS = {"SchedulerJob", "DagProcessorJob", "TriggererJob"}
COMMANDS = {
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


@dataclass
class Rig:
    """A migrated database and the environment of one version's processes."""

    python: Path
    home: Path
    port: int
    env: dict[str, str]

    def beats(self, since: float) -> set[str]:
        """Kinds of jobs with a heartbeat since a time."""
        with postgres.connection(self.port, PASSWORD) as opened, opened.cursor() as cursor:
            cursor.execute(
                "SELECT job_type FROM job WHERE state = 'running' AND latest_heartbeat >= to_timestamp(%s)", (since,)
            )
            return {row[0] for row in cursor.fetchall()}

    def start(self, commands: dict[str, list[str]], *, launched: bool) -> list[subprocess.Popen[bytes]]:
        files = {name: os.open(self.home / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in commands}
        common: dict[str, Any] = {"env": self.env, "cwd": self.home, "start_new_session": True}
        try:
            if not launched:
                script = self.python.parent / "airflow"
                return [
                    subprocess.Popen([self.python, script, *argv], stdout=files[name], stderr=files[name], **common)
                    for name, argv in commands.items()
                ]
            events = os.open(self.home / "events", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            files["events"] = events
            rows = [
                {"name": name, "argv": argv, "stdout": files[name], "stderr": files[name]}
                for name, argv in commands.items()
            ]
            job = json.dumps({"events": events, "processes": rows})
            words = [self.python, "-m", "mwaa_airflow.launcher", job]
            return [subprocess.Popen(words, pass_fds=list(files.values()), **common)]
        finally:
            for fd in files.values():
                os.close(fd)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.home / "events").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(params=VERSIONS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    python = airflow_python(request.param)
    cluster = postgres.create(tmp_path / "cluster", password=PASSWORD)
    port = ports.any_free()
    words = postgres.launched(cluster.identity, cluster.serve(port), parent=os.getpid())
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: not postgres.answers(port, PASSWORD), 30, "PostgreSQL")
        url = f"postgresql+psycopg2://{postgres.USER}:{PASSWORD}@127.0.0.1:{port}/{postgres.DATABASE}"
        env = variables(
            request.param,
            tmp_path / "home",
            "http://127.0.0.1:1",
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=url,
            AIRFLOW__CELERY__RESULT_BACKEND="db+" + url,
            AIRFLOW__SCHEDULER__STANDALONE_DAG_PROCESSOR="True",
            AIRFLOW__API_AUTH__JWT_SECRET="secret-of-the-test-which-is-long-enough",
            MWAA__LOGGING__AIRFLOW_DAGPROCESSOR_LOG_GROUP_ARN="",
        )
        subprocess.run(
            [python, python.parent / "airflow", "db", "migrate"], env=env, check=True, capture_output=True, timeout=120
        )
        yield Rig(python, tmp_path / "home", port, env)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)
        postgres.destroy(tmp_path / "cluster")


def shared_kilobytes(pids: list[int]) -> int:
    """Sum of the proportional set sizes."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            total += int(line.split()[1]) if line.startswith("Pss:") else 0
    return total


def terminated(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process that is told to end, again where it did not hear it.

    The scheduler of 2.x leaves by an exception from its signal handler, which Python drops where the signal meets one of
    its own callbacks (a weak reference that goes), as it often does right after the start.
    """
    end = time.monotonic() + 60
    while time.monotonic() < end:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(10)
    return process.wait(1)


def test_one_import_serves_three_processes_and_nothing_is_left(rig: Rig) -> None:
    """Measured by memory: pages that three imports have each for themselves are one import's here. Processor time would
    measure how long the machine made each way wait.
    """
    memory: dict[bool, int] = {}
    for launched in (False, True):
        begun = time.time()
        started = rig.start(COMMANDS, launched=launched)
        pids = [process.pid for process in started]
        try:
            wait_for(lambda since=begun: rig.beats(since) >= JOBS, 120, "three heartbeats")
            everyone = processes.tree(pids)
            memory[launched] = shared_kilobytes(everyone)
        finally:
            for process in started:
                assert terminated(process) == 0
        if launched:
            assert [row["name"] for row in rig.events() if row["event"] == "exited"] == list(reversed(COMMANDS))
            assert all(row["shared"] for row in rig.events() if row["event"] == "started")
            assert [row["skipped"] for row in rig.events() if row["event"] == "ready"] == [[]]
        assert gone(*everyone)
    print(f"memory {memory[False] // 1024} MB -> {memory[True] // 1024} MB")
    assert memory[True] < 0.9 * memory[False]


def test_one_killed_process_ends_the_component_with_its_code(rig: Rig) -> None:
    begun = time.time()
    (launcher,) = rig.start(COMMANDS, launched=True)
    try:
        wait_for(lambda: rig.beats(begun) >= JOBS, 120, "three heartbeats")
        pids = {row["name"]: row["pid"] for row in rig.events() if row["event"] == "started"}
        everyone = processes.tree([launcher.pid])
        os.kill(pids["dag-processor"], signal.SIGKILL)
        assert launcher.wait(60) == 137
    finally:
        if launcher.poll() is None:
            launcher.kill()
            launcher.wait(10)
    assert rig.events()[-1]["event"] == "exited"
    assert gone(*everyone)


LOST_RACE = """
import selectors, sys, time
import psutil
from mwaa_airflow import triggerer_stop
if "patched" in sys.argv:
    triggerer_stop.install()
from airflow.sdk.execution_time.supervisor import WatchedSubprocess

class Lost:
    \"\"\"The runner of triggers in its last moment: no socket left, and not collected yet.\"\"\"
    selector, _exit_code, pid = selectors.DefaultSelector(), None, 0
    def _check_subprocess_exit(self, **kwargs):
        return None

began = time.monotonic()
WatchedSubprocess._service_subprocess(Lost(), 1.5)
print(time.monotonic() - began)
"""


@pytest.mark.parametrize(("words", "least", "most"), [((), 1.4, 3.0), (("patched",), 0.0, 1.0)])
def test_a_triggerer_looks_often_once_nothing_can_wake_it(words: tuple[str, ...], least: float, most: float) -> None:
    """The first case shows Airflow's own wait; when it fails, Airflow mended it and the patch can go."""
    python = airflow_python("3.2.1")
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", LOST_RACE, *words],
        env={"PYTHONPATH": str(SOURCES), "PATH": os.environ["PATH"], "AIRFLOW_VERSION": "3.2.1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert least <= float(done.stdout.split()[-1]) < most
