"""SUP002: line ends or a byte order mark of Windows."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    if script is None:
        return
    data = script.source.data
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        yield Hit(
            "the script begins with a byte order mark: bash takes it for part of the first command",
            script.source.path,
            1,
            fix="save it as UTF-8 without BOM",
        )
    if b"\r\n" in data:
        count = data.count(b"\r\n")
        line = data[: data.index(b"\r\n")].count(b"\n") + 1
        yield Hit(
            f"{count} lines end in CRLF: bash reads the carriage return as part of the command",
            script.source.path,
            line,
        )


RULE = Rule(
    id="SUP002",
    severity=Severity.ERROR,
    area=Area.STARTUP,
    title="Windows line ends",
    why="the containers are Linux: `sudo yum install -y gcc\\r` asks for a package called gcc plus a carriage return",
    source="spec/10 section 3.1",
    fix="Save with LF: `sed -i 's/\\r$//' startup.sh`, and `*.sh text eol=lf` in .gitattributes",
    check=check,
)
