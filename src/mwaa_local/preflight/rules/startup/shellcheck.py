"""SUP019: what ShellCheck says."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mwaa_local.packages import child
from mwaa_local.preflight.findings import Area, Hit, Severity, Unchecked
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_SECONDS = 20
_LEVELS = {"error": Severity.WARNING, "warning": Severity.INFO}
# SC2148 asks for a shebang, which MWAA ignores; SC1017 is SUP002; SC1091 wants files of the container.
_EXCLUDED = "SC2148,SC1017,SC1091,SC1090"


def check(workspace: Workspace) -> Iterator[Hit | Unchecked]:
    script = workspace.startup
    # Optional: where it is not installed the other rules stand alone.
    program = child.program("shellcheck") or child.program("shellcheck", str(Path(sys.executable).parent))
    if script is None or program is None or b"\r\n" in script.source.data:
        return
    try:
        result = child.ask(
            [program, "--norc", "--shell=bash", "--format=json", "--severity=warning", f"--exclude={_EXCLUDED}", "-"],
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            stdin=script.source.data,
            timeout_s=_SECONDS,
        )
        if result.returncode not in (0, 1):  # 0 nothing found, 1 something found
            raise ValueError
        notes = json.loads(result.stdout)
    except TimeoutError:
        yield Unchecked("the startup script with ShellCheck", f"it did not end in {_SECONDS} s", "run it by hand")
        return
    except ValueError:
        yield Unchecked(
            "the startup script with ShellCheck",
            result.stderr.decode("utf-8", "replace")[:200] or "it gave no report",
            "run it by hand",
        )
        return
    for note in notes:
        yield Hit(
            f"SC{note['code']}: {note['message']}",
            script.source.path,
            note["line"],
            fix="see the ShellCheck wiki page of that code",
            severity=_LEVELS.get(note["level"], Severity.INFO),
            key=f"SC{note['code']}",
        )


RULE = Rule(
    id="SUP019",
    severity=Severity.WARNING,
    area=Area.STARTUP,
    title="ShellCheck",
    why=(
        "the script runs unattended on every start of every component; ShellCheck (used when it is installed) "
        "knows many ways in which shell text does not do what it says"
    ),
    source="spec/10 section 3.1",
    fix="Follow its advice, or disable the code in the script",
    check=check,
)
