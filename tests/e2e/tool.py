"""The command line as a user calls it, on a project in a folder of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mwaa_local.errors import MwaaLocalError

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ("dags", "plugins", "requirements", "startup")
EXAMPLES = (
    "hello_taskflow",
    "uses_requirement",
    "uses_plugin",
    "reads_startup_variable",
    "deferrable_wait",
    "writes_s3",
)


class Tool:
    """One project and the calls on it."""

    def __init__(self, folder: Path, *, version: str, engine: str = "process", definition: str = "") -> None:
        self.folder = folder
        self.version = version
        self.engine = engine
        folder.mkdir(parents=True, exist_ok=True)
        for name in WORKFLOW:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "mwaa.yaml").write_text(
            f"Name: e2e\nAirflowVersion: {version}\nMaxWorkers: 2\n{definition}", encoding="utf-8"
        )

    def run(self, *words: str, timeout: float = 400, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Call the tool; whatever it ends with."""
        argv = [sys.executable, "-m", "mwaa_local", "--project", str(self.folder), "--engine", self.engine, *words]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MWAA_LOCAL_")}
        return subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=timeout, check=False, input=stdin
        )

    def good(self, *words: str, timeout: float = 400) -> str:
        """Call it and insist on success; its stdout."""
        done = self.run(*words, timeout=timeout)
        assert done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *words: str, code: int | None = 0) -> dict[str, Any]:
        """Call it with ``--json``; its document."""
        done = self.run(*words, "--json")
        assert code is None or done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def component(self, name: str) -> dict[str, Any]:
        """One component of ``status --json``."""
        found = [item for item in self.json("status", code=None)["components"] if item["name"] == name]
        assert found, f"no component {name}"
        return found[0]  # type: ignore[no-any-return]

    def kill(self, name: str) -> int:
        """SIGKILL to a component's main process; its pid."""
        pid = int(self.component(name)["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def trigger(self, dag: str, run: str) -> None:
        """Start a run with an id of ours."""
        self.good("airflow", "dags", "trigger", dag, "--run-id", run)


def wait_for(what: str, check: Callable[[], Any], *, seconds: float, every: float = 0.5) -> Any:
    """Poll until a check answers something true; its answer."""
    end = time.monotonic() + seconds
    last: Any = None
    while time.monotonic() < end:
        try:
            last = check()
        except (AssertionError, OSError, RuntimeError, MwaaLocalError) as error:
            last = error
        else:
            if last:
                return last
        time.sleep(every)
    raise AssertionError(f"{what}: not within {seconds} s; last: {last!r}")
