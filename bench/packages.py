"""Package sets: what installing costs once, what it costs every start, and what pip takes for the same file.

    python bench/packages.py [--runs 5] [--version 3.2.1] [--json]

Each run installs from a warm download cache into an empty folder of sets; pip resolves the same file with the same
constraints from its own warm cache (``pip install --dry-run``, in a clone of the same base set). Medians, and ratios of
the same run. ``MWAA_CONSTRAINTS_DIR`` names constraint files where Airflow's own cannot be fetched.
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
from pathlib import Path

from mwaa_local import catalog
from mwaa_local.packages import PackageSet, ensure, ensure_base
from mwaa_local.packages.resolve import resolve

SEVEN = (
    "apache-airflow-providers-snowflake",
    "apache-airflow-providers-slack",
    "apache-airflow-providers-cncf-kubernetes",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "great-expectations",
)
ONE_MORE = "icecream==2.1.3"


class Bench:
    """One cache folder, one requirements file, one version."""

    def __init__(self, folder: Path, version: catalog.Version) -> None:
        self.cache = folder / "cache"
        self.version = version
        self.environment = dict(os.environ, UV_CACHE_DIR=str(folder / "uv"))
        given = os.environ.get("MWAA_CONSTRAINTS_DIR")
        self.constraints = Path(given) if given else None
        self.file = folder / "requirements.txt"
        self.pip_cache = folder / "pip"

    def base(self) -> PackageSet:
        return ensure_base(self.version, self.cache, environment=self.environment)

    def ensure(self, base: PackageSet, *lines: str) -> PackageSet:
        self.file.write_text("".join(f"{line}\n" for line in lines))
        return ensure(
            self.version,
            self.file,
            base=base,
            cache=self.cache,
            environment=self.environment,
            constraints_dir=self.constraints,
        )

    def resolve(self) -> float:
        self.file.write_text("".join(f"{line}\n" for line in SEVEN))
        return resolve(
            self.version,
            self.file,
            cache=self.cache,
            environment=self.environment,
            constraints_dir=self.constraints,
        ).seconds

    def pip(self, base: PackageSet, constraints: Path) -> float:
        """Seconds pip takes to resolve the same file under the same constraints."""
        started = time.monotonic()
        subprocess.run(
            [str(base.interpreter), "-m", "pip", "install", "--dry-run", "-q", "--constraint",
             str(base.path / "etc" / "mwaa_essential_constraints.txt"), "-r", str(self.file), "-c", str(constraints)],
            check=True, timeout=900, stdout=subprocess.DEVNULL,
            env={**self.environment, "PIP_CACHE_DIR": str(self.pip_cache)},
        )  # fmt: skip
        return time.monotonic() - started


def run(bench: Bench, figures: dict[str, list[float]], *, count: bool) -> None:
    """One run; the first only warms the caches."""
    shutil.rmtree(bench.cache / "package-sets", ignore_errors=True)
    base = bench.base()
    seven = bench.ensure(base, *SEVEN)
    assert base.installed_now
    assert seven.installed_now
    again = bench.ensure(base, *SEVEN)
    assert not again.installed_now
    more = bench.ensure(base, *SEVEN, ONE_MORE)
    assert more.installed_now
    resolved = bench.resolve()
    pip = bench.pip(base, seven.path / "etc" / "airflow_constraints.txt")
    if count:
        for name, seconds in (
            ("base set, warm download cache", base.seconds),
            ("seven requirements on top, warm download cache", seven.seconds),
            ("second component, same requirements", again.seconds),
            ("one small requirement more", more.seconds),
            ("resolve the seven only", resolved),
            ("pip install --dry-run of the seven", pip),
        ):
            figures.setdefault(name, []).append(seconds)
        figures.setdefault("ratio: resolving to pip", []).append(resolved / pip)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--version", default=catalog.default_version())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="mwaa-local-bench-") as folder:
        bench = Bench(Path(folder), catalog.version(options.version))
        for number in range(options.runs + 1):
            print(f"run {number} of {options.runs}{' (warming)' if number == 0 else ''}", file=sys.stderr, flush=True)
            run(bench, figures, count=number > 0)
    medians = {name: round(statistics.median(values), 3) for name, values in figures.items()}
    if options.json:
        print(json.dumps({"version": options.version, "runs": options.runs, "medians": medians, "all": figures}))
    else:
        for name, value in medians.items():
            print(f"{value:9.3f} {' ' if name.startswith('ratio') else 's'}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
