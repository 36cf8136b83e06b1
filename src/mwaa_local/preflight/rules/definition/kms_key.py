"""DEF015: a KMS key that MWAA cannot use."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _issues
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    return _issues.hits(workspace, "key")


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
