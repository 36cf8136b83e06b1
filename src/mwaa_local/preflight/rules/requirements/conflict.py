"""REQ001: lines that pip cannot install together with what MWAA fixes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mwaa_local.packages.paths import redact
from mwaa_local.preflight.findings import Area, Hit, Severity, Unchecked
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.resolving.conflict import Cause
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit | Unchecked]:
    outcome, causes = _requirements.causes(workspace)
    if outcome is None:
        return
    yield from outcome.unchecked
    error = _requirements.failure(workspace)
    for cause in causes:
        if not cause.core and not cause.missing:
            for number, entry in enumerate(cause.entries):
                fix = f"write {cause.write}" if cause.write and number == 0 else ""
                yield Hit(
                    _message(cause, number, error.pre_releases if error else {}),
                    outcome.place(entry.file),
                    entry.line,
                    fix=fix or _fix(cause),
                    key=entry.name or entry.text,
                )
    if error is not None and error.kind == "conflict" and not causes:
        yield Hit(f"{error.what}: {' '.join(error.explanation)[:400]}", outcome.file, 0, fix=error.hint)


def _message(cause: Cause, number: int, pre_releases: Mapping[str, str]) -> str:
    entry = cause.entries[number]
    line = redact(entry.text)
    if cause.pin:
        text = f"{line} cannot be installed: {cause.pin} is fixed ({cause.source})"
        if cause.requirers:
            text += f"; the image needs it for {_some(cause.requirers)}"
        if cause.detail and cause.pin.partition("==")[0] != entry.name:
            text += f" ({cause.detail})"
    elif len(cause.entries) > 1:
        others = ", ".join(f"line {other.line} ({redact(other.text)})" for other in cause.entries if other is not entry)
        text = f"{line} and {others} exclude each other" + (f": {cause.detail}" if cause.detail else "")
    else:
        text = f"{line} fits nothing else: {cause.detail}"
    if number == 0 and cause.fits:
        text += f"; {cause.fits} fits"
    elif number == 0 and cause.untold:
        text += f"; which version fits cannot be told here: {cause.untold}"
    elif number == 0 and pre_releases:
        would = ", ".join(f"{name} {version}" for name, version in pre_releases.items())
        text += f"; no stable version fits ({would} would, but pip takes a pre-release only where a line asks for it)"
    elif number == 0:
        text += "; no version fits"
    return text


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _fix(cause: Cause) -> str:
    if "essential" in cause.source and not cause.fits:
        return f"take another package: {cause.pin} is MWAA's own and cannot be moved"
    return "name a constraint file that allows it, or take another package"


RULE = Rule(
    id="REQ001",
    severity=Severity.ERROR,
    area=Area.REQUIREMENTS,
    title="Conflict with the constraints",
    why="pip resolves the whole file before it installs anything: one line that collides with the "
    "constraints or with MWAA's essential pins means that nothing of the file is installed. "
    "The environment starts without the packages and the DAGs show import errors",
    source="spec/04 section 12.1, spec/10 sections 4.1, 4.2 and 4.4",
    fix="Write the version that fits, or leave the version out",
    check=check,
)
