"""DEF014: a path into the bucket without the object's version."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_PAIRS = ("Plugins", "Requirements", "StartupScript")


def check(workspace: Workspace) -> Iterator[Hit]:
    reading = workspace.definition
    for name in _PAIRS:
        path, version = f"{name}S3Path", f"{name}S3ObjectVersion"
        if path in reading.values and version not in reading.values:
            yield Hit(
                f"{path} is given without {version}",
                reading.path,
                reading.line(path),
                fix=f"add {version}: the id that `aws s3api list-object-versions` shows",
            )
        elif version in reading.values and path not in reading.values:
            yield Hit(f"{version} is given without {path}", reading.path, reading.line(version), fix=f"add {path}")


RULE = Rule(
    id="DEF014",
    severity=Severity.WARNING,
    area=Area.DEFINITION,
    title="Object version missing",
    why=(
        "MWAA runs exactly the version of plugins.zip, requirements.txt and the startup script that the "
        "environment names; a newer upload changes nothing until its version is set"
    ),
    source="spec/04 sections 8.1, 11.1 and 14.4, spec/01 section 5.4",
    fix="Give path and version together",
    check=check,
)
