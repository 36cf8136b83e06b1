"""REQ018: variables in the file that nothing sets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.workspace import Workspace

_BRACED = re.compile(r"\$\{([^}]*)\}")
_BARE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_COMMENT = re.compile(r"(^|\s)#.*$")


def check(workspace: Workspace) -> Iterator[Hit]:
    source = workspace.requirements
    if source is None:
        return
    known = resolve.container_variables(workspace)
    for number, raw in enumerate(source.lines, start=1):
        line = _COMMENT.sub("", raw)
        for name in _BRACED.findall(line):
            if not re.fullmatch(r"[A-Z0-9_]+", name):
                yield Hit(
                    f"pip does not replace ${{{name}}}: only capitals, digits and underscores",
                    source.path,
                    number,
                    key=name,
                )
            elif not known.get(name):
                yield Hit(
                    f"nothing sets ${{{name}}} for pip: it stays in the text as it is", source.path, number, key=name
                )
        for name in _BARE.findall(line):
            yield Hit(
                f"pip does not replace ${name} without braces",
                source.path,
                number,
                fix=f"${{{name.upper()}}}",
                key=name,
            )


RULE = Rule(
    id="REQ018",
    severity=Severity.WARNING,
    area=Area.REQUIREMENTS,
    title="Variable that is not replaced",
    why="pip replaces ${NAME} from its environment: configuration options (foo.user becomes "
    "AIRFLOW__FOO__USER) and what the startup script exports; an unset name stays literal and "
    "ends in a refused login",
    source="spec/07 B2.6",
    fix="Set the option in AirflowConfigurationOptions, or export the variable in the startup script",
    check=check,
)
