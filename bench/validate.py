"""How long `mwaa-local validate` takes, warm: the example workspace, and 500 DAG files; medians and the machine's load.

python bench/validate.py [RUNS]
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
DAG = """from datetime import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("dag_{number}", schedule=None, start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="a", bash_command="true") >> BashOperator(task_id="b", bash_command="true")
"""


def measured(folder: Path) -> tuple[float, float]:
    """Seconds on the clock and of CPU for one run."""
    program = Path(sys.executable).parent / "mwaa-local"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    done = subprocess.run(
        [str(program), "validate", "--format", "json"], cwd=folder, capture_output=True, timeout=600, check=False
    )
    seconds = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    json.loads(done.stdout)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as name:
        many = Path(name)
        (many / "dags").mkdir()
        (many / "mwaa.yaml").write_text("EnvironmentClass: mw1.2xlarge\n")
        for number in range(500):
            (many / f"dags/dag_{number}.py").write_text(DAG.format(number=number))
        for title, folder, limit in (("example workspace", ROOT, 5), ("500 DAG files", many, 30)):
            measured(folder)  # installs what is missing, fills the caches
            results = [measured(folder) for _ in range(runs)]
            seconds, cpu = (statistics.median(item[part] for item in results) for part in (0, 1))
            load = os.getloadavg()[0]
            print(f"{title}: {seconds:.2f} s (limit {limit}), {cpu:.2f} s of CPU, median of {runs}, load {load:.1f}")


if __name__ == "__main__":
    main()
