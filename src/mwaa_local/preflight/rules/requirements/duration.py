"""REQ019: an installation that may not end in time, or is too large."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local import catalog
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.resolving.types import Resolution
from mwaa_local.preflight.workspace import Workspace

# Fitted to one measurement: seven common packages (33 archives, 139 MB) take pip about 75 s in containers of MWAA's
# image on a machine with two processors (design section 10).
_START_S = 8.0
_ARCHIVE_S = 0.6
_BYTES_PER_S = 3e6
_BUILD_S = 45.0
_RECOMMENDED_BYTES = 1_000_000_000
_WORTH_SAYING_S = 120.0


def check(workspace: Workspace) -> Iterator[Hit]:
    outcome = resolve.outcome(workspace)
    if outcome is None or outcome.resolution is None:
        return
    found, limit = outcome.resolution, catalog.limits().requirements_seconds
    seconds, size = estimate(found), found.size
    if seconds < _WORTH_SAYING_S and size < _RECOMMENDED_BYTES / 2:
        return
    sizes = {name: item.archive.size or 0 for name, item in found.changes.items() if item.archive}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
    names = ", ".join(f"{name} {count / 1e6:.0f} MB" for name, count in largest)
    text = (
        f"about {seconds / 60:.0f} min for {len(found.changes)} packages and {size / 1e6:.0f} MB "
        f"(an estimate from sizes; {names})"
    )
    if seconds > limit:
        yield Hit(
            f"{text}: MWAA stops pip after {limit // 60} min, and gives the whole update up after 20",
            outcome.file,
            0,
            severity=Severity.ERROR if seconds > 2 * limit else Severity.WARNING,
            key="time",
        )
    elif size > _RECOMMENDED_BYTES:
        yield Hit(
            f"{text}: more than the 1 GB the guide recommends", outcome.file, 0, severity=Severity.WARNING, key="size"
        )
    else:
        yield Hit(f"{text}, at every start of every container", outcome.file, 0, key="time")


def estimate(found: Resolution) -> float:
    """Seconds that pip needs in a small container: downloads, unpacking, builds."""
    changes = found.changes.values()
    builds = sum(1 for item in changes if item.local or (item.archive is not None and not item.archive.wheel))
    return _START_S + len(found.changes) * _ARCHIVE_S + found.size / _BYTES_PER_S + builds * _BUILD_S


RULE = Rule(
    id="REQ019",
    severity=Severity.INFO,
    area=Area.REQUIREMENTS,
    title="Installation time and size",
    why="every container installs the file by itself at each start. pip is stopped after nine "
    "minutes, a start that is not done after ten is rolled back, and an update after twenty",
    source="spec/04 section 12.1, spec/10 section 4.1, spec/05 (T-12)",
    fix="Ship wheels in plugins.zip, and leave out what the DAGs do not need",
    check=check,
)
