"""How fast an environment comes up, runs a DAG, and what it holds: medians, beside plain `airflow` processes.

    python bench/environment.py [--runs 5] [--engine process] [--version 3.2.1] [--json FILE] [SCENARIO ...]

Scenarios: warm, plain, small-requirement, seven-requirements, dag, memory, cold.
Everything happens in a temporary project; `cold` also uses an empty cache of its own. --json keeps the raw figures.
`memory` is measured on the environment as earlier scenarios left it: name it first for a fresh one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SEVEN = (
    "apache-airflow-providers-snowflake",
    "apache-airflow-providers-slack",
    "apache-airflow-providers-cncf-kubernetes",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "great-expectations",
)
TWO_TASKS = """
from datetime import datetime

try:
    from airflow.sdk import dag, task
except ImportError:
    from airflow.decorators import dag, task


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False, is_paused_upon_creation=False, tags=["bench"])
def two_tasks():
    @task
    def one():
        return 1

    @task
    def two(value):
        return value + 1

    two(one())


two_tasks()
"""


class Project:
    """A temporary project with the repository's workflow files and a two-task DAG."""

    def __init__(self, folder: Path, engine: str, version: str, cache: Path | None = None) -> None:
        self.folder = folder
        for name in ("dags", "plugins", "startup", "requirements"):
            shutil.copytree(ROOT / name, folder / name)
        (folder / "dags" / "two_tasks.py").write_text(TWO_TASKS)
        (folder / "mwaa.yaml").write_text(f"Name: bench\nAirflowVersion: {version}\nMaxWorkers: 2\n")
        self._engine = engine
        self._env = {**os.environ, **({"XDG_CACHE_HOME": str(cache)} if cache else {})}

    def call(self, *words: str, check: bool = True) -> dict[str, Any]:
        """Run the tool; its JSON answer, or nothing."""
        argv = [sys.executable, "-m", "mwaa_local", "--project", str(self.folder), "--engine", self._engine, *words]
        done = subprocess.run(argv, env=self._env, capture_output=True, text=True, timeout=900, check=False)
        if check and done.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return json.loads(done.stdout) if done.stdout.lstrip().startswith("{") else {}

    def up(self) -> float:
        """Seconds of `up`, command to every component healthy, measured from outside."""
        begin = time.monotonic()
        self.call("up", "--json")
        return time.monotonic() - begin

    def down(self) -> None:
        """Stop and keep the data."""
        self.call("down", "--timeout", "5")

    def reset(self) -> None:
        """Wipe, whatever state it is in."""
        self.call("reset", "--yes", check=False)


def repeat(runs: int, once: Callable[[], float]) -> list[float]:
    """One figure per run."""
    return [round(once(), 2) for _ in range(runs)]


def warm(project: Project, runs: int) -> list[float]:
    """`down`, then the time of `up` with nothing changed."""

    def once() -> float:
        project.down()
        return project.up()

    project.up()
    return repeat(runs, once)


def with_requirements(project: Project, runs: int, lines: tuple[str, ...]) -> list[float]:
    """Warm `up` with these requirements, installed once before."""
    path = project.folder / "requirements" / "requirements.txt"
    before = path.read_text()
    path.write_text("\n".join(lines) + "\n")
    try:
        return warm(project, runs)
    finally:
        path.write_text(before)


def small_requirement(project: Project, runs: int) -> list[float]:
    """A running environment gets one small pure-Python requirement more: `up` until healthy. A new version each run."""
    path = project.folder / "requirements" / "requirements.txt"
    before = path.read_text()
    versions = iter(("0.6.0", "0.5.0", "0.4.0", "0.3.0", "0.8.3", "0.8.0", "0.2.0"))
    project.up()

    def once() -> float:
        path.write_text(before + f"pyjokes=={next(versions)}\n")
        return project.up()

    try:
        return repeat(min(runs, 7), once)
    finally:
        path.write_text(before)


def dag_seconds(project: Project, runs: int) -> list[float]:
    """Trigger to success of the two-task DAG, as the smoke test sees it."""
    project.up()
    project.call("smoke", "--dag", "two_tasks", "--json")

    def once() -> float:
        return float(project.call("smoke", "--dag", "two_tasks", "--json")["runs"][0]["seconds"])

    return repeat(runs, once)


def memory(project: Project, runs: int) -> list[float]:
    """Sum of PSS of every process of the idle environment, in MB."""
    project.up()
    time.sleep(20)
    return repeat(runs, lambda: project.call("status", "--json")["memory_bytes"] / 1e6)


def cold(engine: str, version: str) -> list[float]:
    """Empty caches to a succeeded DAG run; one run, for it downloads everything."""
    with tempfile.TemporaryDirectory(prefix="mwaa-bench-") as scratch:
        folder = Path(scratch) / "project"
        folder.mkdir()
        project = Project(folder, engine, version, cache=Path(scratch) / "cache")
        project._env["UV_CACHE_DIR"] = str(Path(scratch) / "uv")
        begin = time.monotonic()
        try:
            project.call("smoke", "--dag", "hello_taskflow", "--keep", "--json")
            return [round(time.monotonic() - begin, 2)]
        finally:
            project.reset()


def plain(project: Project, runs: int) -> list[float]:
    """Five plain `airflow` processes, started together in the environment's own variables; see plain_processes."""
    import plain_processes

    return plain_processes.measure(project.folder, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "scenarios", nargs="*", default=["warm", "plain", "seven-requirements", "small-requirement", "dag", "memory"]
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--engine", default="process")
    parser.add_argument("--version", default="3.2.1")
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    results: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="mwaa-bench-") as scratch:
        folder = Path(scratch) / "project"
        folder.mkdir()
        project = Project(folder, words.engine, words.version)
        table: dict[str, Callable[[], list[float]]] = {
            "warm": lambda: warm(project, words.runs),
            "plain": lambda: plain(project, words.runs),
            "seven-requirements": lambda: with_requirements(project, words.runs, SEVEN),
            "small-requirement": lambda: small_requirement(project, words.runs),
            "dag": lambda: dag_seconds(project, words.runs),
            "memory": lambda: memory(project, words.runs),
            "cold": lambda: cold(words.engine, words.version),
        }
        try:
            for name in words.scenarios:
                print(f"{name} ...", file=sys.stderr, flush=True)
                results[name] = table[name]()
                values = results[name]
                span = f"min {min(values):8.2f}   max {max(values):8.2f}"
                print(f"{name:20} median {statistics.median(values):8.2f}   {span}   {values}", flush=True)
        finally:
            project.reset()
    if "warm" in results and "plain" in results:
        print(f"warm / plain         {statistics.median(results['warm']) / statistics.median(results['plain']):.2f}")
    if words.json:
        words.json.write_text(
            json.dumps({"engine": words.engine, "version": words.version, "figures": results}, indent=2)
        )


if __name__ == "__main__":
    main()
