"""The verdict on seven common packages under Airflow 3.2.1: ours against ``pip install --dry-run``, in one run, warm.

python bench/validate_requirements.py [RUNS]

The three figures: the whole question as a rule asks it (read, resolve with the index asked again, all checks), the same
question once more within ten minutes (index pages still count), and pip in the version's base set with the same
constraints. Medians; pip is asked once to warm its cache and then as often when it is quick, else once.
The goal, an eighth of pip, is for the warm verdict: index pages count for ten minutes, as the public index says.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mwaa_local import catalog
from mwaa_local.packages.base import ensure_base
from mwaa_local.preflight.resolving import resolve

ROOT = Path(__file__).parents[1]
CASE = ROOT / "tests" / "fixtures" / "requirements" / "3.2.1" / "seven-packages.txt"
CONSTRAINTS = ROOT / "tests" / "fixtures" / "requirements" / "constraints"
VERSION = "3.2.1"
GOAL = 1 / 8
PIP_TIMEOUT_S = 600


def main() -> None:
    """Measure and print; exit code 1 where the goal is missed."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    version = catalog.version(VERSION)
    variables = dict(os.environ)
    base = ensure_base(version, resolve.cache_folder(variables), environment=variables)
    situation = resolve.situation(version, variables)

    def verdict(*, again: bool) -> float:
        stamps = situation.uv.cache / "resolved"
        if not again and stamps.is_dir():
            for stamp in stamps.iterdir():
                stamp.unlink()
        begin = time.monotonic()
        found = resolve.resolve_file(CASE, situation, path_map={}, variables={}, constraints_dir=CONSTRAINTS)
        assert found.resolution is not None, found.error
        return time.monotonic() - begin

    def pip() -> float:
        with tempfile.TemporaryDirectory() as folder:
            essential = Path(folder) / "essential.txt"
            essential.write_text("".join(f"{name}=={pin}\n" for name, pin in version.essential.items()))
            begin = time.monotonic()
            subprocess.run(
                [base.interpreter, "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check",
                 "-r", CASE,
                 "-c", essential, "-c", CONSTRAINTS / f"constraints-{VERSION}-py{version.python}.txt"],
                check=True, timeout=PIP_TIMEOUT_S, capture_output=True,
            )  # fmt: skip
            return time.monotonic() - begin

    verdict(again=False)
    pip()
    ours = statistics.median(verdict(again=False) for _ in range(runs))
    soon = statistics.median(verdict(again=True) for _ in range(runs))
    times = [pip()]
    times += [pip() for _ in range(runs - 1) if times[0] < 10]
    theirs = statistics.median(times)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"pip install --dry-run      {theirs:6.2f} s   (median of {len(times)})")
    print(f"verdict, index asked       {ours:6.2f} s   1/{theirs / ours:.1f} of pip (median of {runs})")
    print(f"verdict, warm              {soon:6.2f} s   1/{theirs / soon:.1f} of pip (median of {runs})")
    raise SystemExit(0 if soon <= theirs * GOAL else 1)


if __name__ == "__main__":
    main()
