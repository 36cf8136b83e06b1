"""PLG005: plugins that are too large."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog import limits
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit]:
    limit = limits().plugins_zip_bytes
    cap = workspace.environment.local.max_plugins_bytes
    for source in workspace.plugin_sources:
        size = source.unpacked_bytes
        if size > cap:
            yield Hit(
                f"unpacked it is {_mb(size)}, above the cap of {_mb(cap)}",
                source.path,
                fix="leave out what is not needed, or raise Local.MaxPluginsBytes",
                severity=Severity.ERROR,
            )
        elif size > limit or source.compressed_bytes > limit:
            yield Hit(f"unpacked it is {_mb(size)}; MWAA recommends less than {_mb(limit)}", source.path)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


RULE = Rule(
    id="PLG005",
    severity=Severity.WARNING,
    area=Area.PLUGINS,
    title="Plugins too large",
    why=(
        "every component unpacks the archive at each start; when that takes longer than ten minutes Fargate "
        "gives up and MWAA rolls the environment back"
    ),
    source="spec/04 section 11.1",
    fix="Keep it below 1 GB: large data belongs into S3, packages into requirements.txt",
    check=check,
)
