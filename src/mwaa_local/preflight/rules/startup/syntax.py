"""SUP001: shell syntax."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.packages import child
from mwaa_local.preflight.findings import Area, Hit, Severity, Unchecked
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_SECONDS = 10


def check(workspace: Workspace) -> Iterator[Hit | Unchecked]:
    script = workspace.startup
    if script is None:
        return
    if b"\r\n" in script.source.data:
        return  # bash would stumble over every line end: SUP002 says it once
    bash = child.program("bash")
    if bash is None:
        yield Unchecked("the startup script's syntax", "there is no bash on this machine", "install bash")
        return
    try:
        # -n reads and parses; nothing of the script is run.
        result = child.ask([bash, "-n"], stdin=script.source.data, timeout_s=_SECONDS, env={"LC_ALL": "C"})
    except TimeoutError:
        yield Unchecked("the startup script's syntax", f"bash -n did not end in {_SECONDS} s", "shorten the script")
        return
    if result.returncode:
        lines = result.stderr.decode("utf-8", "replace").splitlines()
        match = re.search(r"line (\d+): (.*)", lines[0]) if lines else None
        message, line = (match.group(2), int(match.group(1))) if match else ("bash cannot parse the script", 0)
        yield Hit(f"bash cannot parse the script: {message}", script.source.path, min(line, len(script.source.lines)))


RULE = Rule(
    id="SUP001",
    severity=Severity.ERROR,
    area=Area.STARTUP,
    title="Shell syntax",
    why=(
        "MWAA sources the script in bash; at a syntax error the rest is left out, and the component starts as if "
        "all were well"
    ),
    source="spec/10 section 3.3",
    fix="Mend the line; `bash -n startup.sh` parses without running",
    check=check,
)
