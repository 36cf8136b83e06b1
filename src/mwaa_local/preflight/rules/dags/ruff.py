"""DAG020: what ruff's Airflow rules say."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mwaa_local.packages import child
from mwaa_local.preflight.findings import Area, Hit, Severity, Unchecked
from mwaa_local.preflight.readings.tasks import context_uses
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _v3
from mwaa_local.preflight.workspace import Workspace

_SECONDS = 60
# Removed or moved without a stand-in; the others still work on Airflow 3.
_HARD = ("AIR301", "AIR302")


def check(workspace: Workspace) -> Iterator[Hit | Unchecked]:
    files = {str(file.path): file for file in workspace.dags.parsed if file.path.is_file()}
    # Optional: where ruff is not installed, DAG008, DAG009 and the real import stand alone.
    program = child.program("ruff") or child.program("ruff", str(Path(sys.executable).parent))
    if not workspace.version.has("removals_of_3") or not files or program is None:
        return
    try:
        result = child.ask(
            [
                program,
                "check",
                "--isolated",
                "--no-cache",
                "--preview",
                "--select=AIR3",
                "--output-format=json",
                "--exit-zero",
                "--quiet",
                *sorted(files),
            ],
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            timeout_s=_SECONDS,
        )
        if result.returncode:
            raise ValueError
        notes = json.loads(result.stdout)
    except TimeoutError:
        yield Unchecked(
            "ruff's Airflow rules", f"ruff did not end in {_SECONDS} s", "run `ruff check --select AIR3 dags` by hand"
        )
        return
    except ValueError:
        yield Unchecked(
            "ruff's Airflow rules",
            result.stderr.decode("utf-8", "replace")[:200] or "ruff gave no report",
            "run `ruff check --select AIR3 dags` by hand",
        )
        return
    for note in notes:
        file = files.get(note["filename"])
        line = int(note["location"]["row"])
        code = str(note["code"] or "")
        if file is None or line in _v3.claimed(file) or not code.startswith("AIR"):
            continue
        # ruff names every use of a removed import; the import itself is DAG009's.
        if any(f"`{item.name}" in note["message"] for item in _v3.removals(file) if item.kind == "import"):
            continue
        # The same key of the context, which ruff knows in some functions.
        if any(use.line == line and note["message"].startswith(f"`{use.name}` ") for use in context_uses(file)):
            continue
        advice = (note.get("fix") or {}).get("message") or ""
        yield Hit(
            f"{code}: {note['message']}",
            file.path,
            line,
            fix=advice or "see ruff's page of that code",
            severity=Severity.WARNING if code in _HARD else Severity.INFO,
            key=f"{code}{note['message']}",
        )


RULE = Rule(
    id="DAG020",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="ruff's Airflow rules",
    why=(
        "ruff (used when it is installed) knows what Airflow 3 removed, moved into providers, or still accepts "
        "with a warning"
    ),
    source="spec/05 PF-21",
    fix="Follow its advice: `ruff check --select AIR3 --preview --fix dags`",
    check=check,
)
