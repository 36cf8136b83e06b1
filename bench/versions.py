"""Every Airflow version, warm: seconds from ``up`` to healthy in an empty project, and memory of the idle environment.

    python bench/versions.py [--versions 3.2.1,2.10.3] [--idle 20] [--json FILE]

One after the other on a machine that does nothing else. The first ``up`` of each version, which is not counted,
installs its packages and makes its database's template; the second one, in another folder, is what a user of it sees.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from mwaa_local import catalog, model
from mwaa_local.engines import lifecycle
from mwaa_local.engines.process.engine import ProcessEngine
from mwaa_local.engines.protocol import Silent

_UP_SECONDS = 600.0
_LOOKS = 3


def measured(version: str, folder: Path, idle: float) -> dict[str, float]:
    """Seconds of one ``up`` in a new project, and megabytes after a while."""
    folder.mkdir()
    flags = {"AirflowVersion": version, "Local.Engine": "process", "Local.AllowUnsupported": True}
    environment = model.load(folder, flags=flags, variables={})
    engine = ProcessEngine(environment, dict(os.environ))
    begun = time.monotonic()
    try:
        engine.prepare(environment, Silent())
        lifecycle.up(engine, environment, Silent(), timeout_s=_UP_SECONDS)
        seconds = time.monotonic() - begun
        looks = []
        for _ in range(_LOOKS if idle else 0):
            time.sleep(idle / _LOOKS)
            looks.append(sum(one.memory_bytes or 0 for one in engine.components()) / 1e6)
        return {"seconds": round(seconds, 1), "megabytes": round(statistics.median(looks)) if looks else 0}
    finally:
        engine.reset()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", default=",".join(catalog.version_names()))
    parser.add_argument("--idle", type=float, default=20.0, help="seconds before memory is looked at")
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    print(f"{'Airflow':10} {'up, s':>7} {'idle, MB':>9}")
    for version in given.versions.split(","):
        with tempfile.TemporaryDirectory(prefix="mwaa-local-bench-") as folder:
            measured(version, Path(folder, "first"), 0.0)
            rows[version] = measured(version, Path(folder, "second"), given.idle)
        print(f"{version:10} {rows[version]['seconds']:7.1f} {rows[version]['megabytes']:9.0f}", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
