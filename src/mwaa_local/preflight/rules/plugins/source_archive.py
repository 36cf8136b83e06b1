"""PLG011: source archives beside the wheels."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    for source in workspace.plugin_sources:
        for entry in source.files:
            if entry.base.endswith((".tar.gz", ".tgz", ".tar.bz2")) and "/" not in entry.name:
                yield Hit(
                    f"{entry.base} is a source archive: pip has to build it on every component",
                    entry.path,
                    excerpt=entry.name,
                    key=entry.base,
                )


RULE = Rule(
    id="PLG011",
    severity=Severity.WARNING,
    area=Area.PLUGINS,
    title="Source archive in the plugins",
    why=(
        "building needs the package's build requirements, which a component without an index cannot fetch: with "
        "--no-index nothing of requirements.txt is installed"
    ),
    source="spec/07 B2.5, spec/01 section 6",
    fix="Put the wheel there: `pip wheel` on Linux x86_64 with the same Python, or `mwaa-local package --wheels`",
    check=check,
)
