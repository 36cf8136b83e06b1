"""DAG022: symbolic links in the DAG folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    root = workspace.dags.path
    for path in workspace.dags.files:
        if path.is_symlink():
            target = str(path.readlink())
            if not path.exists():
                yield Hit(
                    f"the link points to {target}, which does not exist", path, excerpt=target, severity=Severity.ERROR
                )
            elif not path.resolve().is_relative_to(root.resolve()):
                yield Hit(f"a link to {target}: a bucket has no links", path, excerpt=target)
    for folder, names, _ in os.walk(root):
        for name in names:
            place = Path(folder) / name
            if place.is_symlink() and workspace.only is None:
                yield Hit(
                    f"a link to the folder {place.readlink()!s}: a bucket has no links",
                    place,
                    excerpt=str(place.readlink()),
                )


RULE = Rule(
    id="DAG022",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="Symbolic link",
    why=(
        "the bucket holds objects, not links: an upload follows a link or leaves it out, and what it points to "
        "may not be uploaded"
    ),
    source="spec/04 section 10.2",
    fix="Put the file itself there",
    check=check,
)
