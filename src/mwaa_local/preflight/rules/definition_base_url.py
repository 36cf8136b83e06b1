"""DEF012: webserver.base_url."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.workspace import Workspace

_OPTION = "webserver.base_url"


def check(workspace: Workspace) -> Iterator[Hit]:
    text = workspace.environment.options.get(_OPTION)
    if text is None:
        return
    reading = workspace.definition
    line = reading.option_line(_OPTION)
    if "://" in text or "/" in text:
        yield Hit(
            f"{_OPTION} {text!r} must be a bare host name",
            reading.path,
            line,
            fix="leave out scheme and path: airflow.example.com",
        )
    mode = reading.values.get("WebserverAccessMode")
    if mode is not None and mode.value != "PRIVATE_ONLY":
        yield Hit(
            f"{_OPTION} works with a private web server only, not with {mode.value}",
            reading.path,
            line,
            fix="set WebserverAccessMode: PRIVATE_ONLY, or remove the option",
        )


RULE = Rule(
    id="DEF012",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="Custom domain",
    why=(
        "webserver.base_url is how MWAA takes a custom domain: a fully qualified name without scheme or path, on "
        "a private web server"
    ),
    source="spec/04 section 4.2, spec/01 section 5.4",
    fix="Write a bare host name",
    check=check,
)
