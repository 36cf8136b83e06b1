"""Faults of the definition file that the reading found, handed to the rule of their kind."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Hit
from mwaa_local.preflight.workspace import Workspace


def hits(workspace: Workspace, kind: str) -> Iterator[Hit]:
    """The issues of one kind as hits, in the model's own words."""
    reading = workspace.definition
    for issue in reading.issues:
        if issue.kind == kind:
            message = f"{issue.what}: {issue.why}" if issue.why and len(issue.why) < 200 else issue.what
            yield Hit(message, reading.path, issue.line, fix=issue.hint)
