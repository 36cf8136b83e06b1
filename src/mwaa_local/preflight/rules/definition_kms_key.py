"""DEF015: a KMS key that MWAA cannot use."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    reading = workspace.definition
    value = reading.values.get("KmsKey")
    if value is None:
        return
    key = str(value.value)
    if key.startswith("alias/") or ":alias/" in key:
        yield Hit(f"KmsKey {key} is an alias", reading.path, reading.line("KmsKey"))
    elif key.rpartition("/")[2].startswith("mrk-"):
        yield Hit(f"KmsKey {key} is a multi-Region key", reading.path, reading.line("KmsKey"))


RULE = Rule(
    id="DEF015",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="KMS alias or multi-Region key",
    why="MWAA takes a customer managed key by key id or ARN only; aliases and multi-Region keys are not supported",
    source="spec/01 sections 5.3 and 5.4, spec/04 section 6.3",
    fix="Write the key's id or its ARN",
    check=check,
)
