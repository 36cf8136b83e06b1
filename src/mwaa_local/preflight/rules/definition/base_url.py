"""DEF012: a custom domain that MWAA refuses."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _issues
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    return _issues.hits(workspace, "domain")


RULE = Rule(
    id="DEF012",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="Custom domain",
    why=(
        "webserver.base_url is how MWAA takes a custom domain: a fully qualified name without scheme or path, on "
        "a private web server"
    ),
    source="spec/01 sections 5.4 and 9, spec/04 section 4.2",
    fix="Write a bare host name",
    check=check,
)
