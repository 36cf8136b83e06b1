"""Runs the tests in the order that tells most soonest, and says where the time went: ``make check``, ``test``, ``test-all``.

Unit and contract tests run side by side on every core; whole environments one after the other, since each of them takes
every core by itself and some hold limits in seconds. ``short`` leaves out the environments that a first look does not
need; they are shown as skipped, with the reason.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# A shared machine stalls now and then, and some whole environments hold limits in seconds: one more try, shown as such.
STAGES = {
    # One more than there are cores: a third of their time is waiting for processes.
    "unit": ("-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile", "tests/unit"),
    "contract": ("-n", "auto", "--dist", "loadfile", "tests/contract"),
    "docker": ("--reruns", "1", "tests/docker"),
    "e2e": ("--reruns", "1", "tests/e2e"),
}
FOLDERS_OF = {
    "all": tuple(STAGES), "short": tuple(STAGES), "unit": ("unit",), "environments": ("contract", "docker", "e2e"),
}  # fmt: skip
_NO_TESTS = 5


@dataclass
class Outcome:
    """How one stage ended; ``code`` is pytest's."""

    name: str
    seconds: float
    code: int
    counts: dict[str, int]

    @property
    def good(self) -> bool:
        """Whether nothing of it failed."""
        return self.code in (0, _NO_TESTS)


def main() -> int:
    """Run the stages; 1 if any failed, and the others run all the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("choice", choices=sorted(FOLDERS_OF))
    words, more = parser.parse_known_args()
    short = ("--short",) if words.choice == "short" else ()
    outcomes = [_run(name, [*STAGES[name], *short, *more]) for name in FOLDERS_OF[words.choice]]
    print(f"\n{'':10} {'seconds':>8}  passed  failed  skipped")
    for one in outcomes:
        counts = one.counts
        print(f"{one.name:10} {one.seconds:8.0f}  {counts['passed']:6}  {counts['failed']:6}  {counts['skipped']:7}")
    total = {key: sum(one.counts[key] for one in outcomes) for key in ("failed", "passed", "skipped")}
    words_of_it = ", ".join(f"{number} {key}" for key, number in total.items() if number or key == "passed")
    print(f"\n==== {words_of_it} in {sum(one.seconds for one in outcomes):.2f}s ====")
    bad = [one for one in outcomes if not one.good]
    for one in bad:
        print(f"{one.name}: pytest ended with {one.code}", file=sys.stderr)
    return 1 if bad else 0


def _run(name: str, words: list[str]) -> Outcome:
    print(f"\n== {name}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "--junit-xml", str(report), *words]
        code = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, check=False).returncode
        return Outcome(name, time.monotonic() - begun, code, _counts(report))


def _counts(report: Path) -> dict[str, int]:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    if report.exists():
        for suite in ET.parse(report).getroot().iter("testsuite"):
            number = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
            bad = number["failures"] + number["errors"]
            counts["failed"] += bad
            counts["skipped"] += number["skipped"]
            counts["passed"] += number["tests"] - bad - number["skipped"]
    return counts


if __name__ == "__main__":
    sys.exit(main())
