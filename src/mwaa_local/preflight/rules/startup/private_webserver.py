"""SUP008: downloads on a web server that has no way out."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog.image_tools import needs_network
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    script = workspace.startup
    mode = workspace.definition.values.get("WebserverAccessMode")
    if script is None or mode is None or mode.value != "PRIVATE_ONLY":
        return
    for command in script.commands:
        if "webserver" not in command.components or not needs_network(command.name, command.arguments):
            continue
        if command.name in ("pip", "pip3") and (
            "--no-index" in command.arguments
            or all(word.endswith(".whl") for word in command.arguments[1:] if not word.startswith("-"))
        ):
            continue
        yield Hit(
            f"{command.name} also runs on the private web server, which reaches no public address",
            script.source.path,
            command.line,
        )


RULE = Rule(
    id="SUP008",
    severity=Severity.WARNING,
    area=Area.STARTUP,
    title="Download on a private web server",
    why=(
        "with PRIVATE_ONLY the web server cannot reach public repositories: the installation hangs until the "
        "script's five minutes are over, which keeps the component from starting"
    ),
    source="spec/04 section 8.1, spec/01 section 6",
    fix='if [[ "${MWAA_AIRFLOW_COMPONENT}" != "webserver" ]]; then ...; fi, or ship the files in plugins.zip',
    check=check,
)
