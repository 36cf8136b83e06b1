"""``validate requirements --fix``: the file with what can be corrected corrected, as a diff first.

It changes as little as it can: the constraint line of the environment's Airflow, versions that fit where a line does
not, an exact version where nothing holds one. Comments, order and what it has no better text for stay as they are.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from mwaa_local import catalog
from mwaa_local.packages import lines
from mwaa_local.packages import requirements as reader
from mwaa_local.packages.constraints import ConstraintFinder
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.fetch import write_atomically
from mwaa_local.packages.paths import redact
from mwaa_local.packages.requirements import Reading
from mwaa_local.preflight.resolving import conflict as resolve_conflict
from mwaa_local.preflight.resolving import foreign as resolve_foreign
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.resolving import uv as resolve_uv
from mwaa_local.preflight.resolving.resolve import Outcome
from mwaa_local.preflight.workspace import Workspace

_NOTHING = "no version of it fits; remove it or name another package"
_COMMENT = re.compile(r"(^|\s+)#.*$")


@dataclass(frozen=True)
class Change:
    """One changed line.

    Attributes:
        line: Its number in the original, from 1; 0 for a line added at the top.
        before: What stood there.
        after: What stands there now.
        why: The reason, one sentence.
    """

    line: int
    before: str
    after: str
    why: str


@dataclass(frozen=True)
class Fix:
    """A corrected file.

    Attributes:
        file: The file.
        original: Its text.
        corrected: The corrected text; the original where nothing could be done.
        changes: What was changed.
        remaining: What is still wrong and why it was not touched.
        verified: The corrected text resolves; ``None`` where it could not be tried.
    """

    file: Path
    original: str
    corrected: str
    changes: tuple[Change, ...]
    remaining: tuple[str, ...]
    verified: bool | None

    @property
    def diff(self) -> str:
        """The change as a unified diff; empty where there is none."""
        return "".join(
            difflib.unified_diff(
                self.original.splitlines(keepends=True), self.corrected.splitlines(keepends=True),
                f"a/{self.file.name}", f"b/{self.file.name}",
            )
        )  # fmt: skip

    def write(self) -> None:
        """Put the corrected text in the file's place, whole or not at all.

        Raises:
            OSError: the folder cannot be written.
        """
        write_atomically(self.file, self.corrected)


def fix(workspace: Workspace) -> Fix | None:
    """Correct a workspace's requirements file; nothing is written.

    Args:
        workspace: The workspace; its version is what the file is corrected for, also one of ``--target``.

    Returns:
        The corrected text with its diff; ``None`` where there is no requirements file.

    Raises:
        UnmetRequirementsError: the file cannot be decoded.
    """
    outcome = resolve.outcome(workspace)
    if outcome is None:
        return None
    try:
        original = lines.decode(outcome.file.read_bytes())
    except lines.UNREADABLE as error:
        raise UnmetRequirementsError(
            "The requirements file cannot be decoded", kind="syntax", where=str(outcome.file), why=str(error),
            hint="save it as UTF-8",
        ) from error  # fmt: skip
    draft = _Draft(original.replace("\r\n", "\n").splitlines())
    _constraint(draft, outcome, workspace)
    reading = _read(draft.text, outcome, workspace) or outcome.reading
    remaining: list[str] = []
    verified: bool | None = None
    if reading is None:
        remaining.append(str(outcome.error.what) if outcome.error else "the constraints could not be fetched")
    else:
        verified = _versions(draft, reading, outcome, remaining)
    if reading is not None and any(part.source.kind == "image" for part in reading.parts[1:]):
        remaining.append("versions that only Airflow's constraint file holds were not looked at: it was not to be had")
    if not draft.changes:
        return Fix(outcome.file, original, original, (), tuple(remaining), verified)
    return Fix(outcome.file, original, draft.text, tuple(draft.changes), tuple(remaining), verified)


class _Draft:
    """The lines while they change; numbers stay those of the original."""

    def __init__(self, rows: list[str]) -> None:
        self.top: list[str] = []
        self.rows = rows
        self.changes: list[Change] = []

    @property
    def text(self) -> str:
        return "".join(f"{row}\n" for row in (*self.top, *self.rows))

    def replace(self, number: int, after: str, why: str) -> bool:
        """Change a line that stands on its own; a trailing comment stays."""
        before = self.rows[number - 1]
        if before.rstrip().endswith("\\"):
            return False
        comment = _COMMENT.search(before)
        tail = f"  {comment[0].strip()}" if comment else ""
        if before != after + tail:
            self.rows[number - 1] = after + tail
            self.changes.append(Change(number, before, after + tail, why))
        return True


def _constraint(draft: _Draft, outcome: Outcome, workspace: Workspace) -> None:
    """The constraint line of the environment's Airflow: added where it is missing, corrected where it is another's."""
    version = workspace.version
    address = catalog.limits().constraint_url.format(airflow=version.airflow, python=version.python)
    line = f'--constraint "{address}"'
    seen = False
    for number, row in enumerate(draft.rows, start=1):
        plain = _COMMENT.sub("", row).strip()
        if not plain.startswith(("-c", "--constraint")):
            continue
        seen = True
        foreign = reader.foreign_to(version, plain)
        if foreign and "://" in plain:
            draft.replace(number, line, f"the constraints were those of {foreign}")
    closed = any(_COMMENT.sub("", row).strip() == "--no-index" for row in draft.rows)
    asks = any(_COMMENT.sub("", row).strip() for row in draft.rows)
    if not seen and asks and not closed and not lines.has_constraints("\n".join(draft.rows)):
        draft.top.append(line)
        draft.changes.append(Change(0, "", line, "MWAA would add its own; a line in the file tells every reader"))


def _read(text: str, outcome: Outcome, workspace: Workspace) -> Reading | None:
    """The draft, read in the place of the file."""
    uv = outcome.situation.uv
    folder = resolve._folder(workspace.variables.get(resolve.CONSTRAINTS_VARIABLE))
    beside = outcome.file.with_name(f".{outcome.file.name}.draft")
    try:
        beside.write_text(text, encoding="utf-8")
        return reader.read(
            beside, version=workspace.version, environment=resolve.container_variables(workspace),
            path_map=outcome.path_map, finder=ConstraintFinder(uv.cache, folder, uv.environment, uv.settings),
            settings=uv.settings,
        )  # fmt: skip
    except (UnmetRequirementsError, OSError):
        return None
    finally:
        beside.unlink(missing_ok=True)


def _versions(draft: _Draft, reading: Reading, outcome: Outcome, remaining: list[str]) -> bool | None:
    """Versions that fit; whether the result resolves is returned."""
    shift = len(draft.top)
    own = {entry.file for entry in reading.entries if entry.file.endswith(".draft")} or {reading.shown}
    entries = list(reading.entries)
    for item in resolve_foreign.moves(reading, outcome.situation.python):
        entry, why = item.entry, f"{item.pin} is fixed ({item.source})"
        if entry.file in own and not entry.hashes and draft.replace(entry.line - shift, item.write, why):
            new = resolve_foreign.moved_entry(entry, item.write)
            entries = [new if other is entry else other for other in entries]
    reading = replace(reading, entries=tuple(entries))
    try:
        found = resolve_uv.resolve(reading, outcome.situation)
    except UnmetRequirementsError as error:
        if error.kind not in {"conflict", "no-match"}:
            remaining.append(f"{error.what}: {error.hint}" if error.hint else error.what)
            return False if error.kind in {"syntax", "hash"} else None
        for cause in resolve_conflict.causes(reading, outcome.situation, error):
            entry = cause.entries[0]
            place = f"line {entry.line - shift}: {redact(entry.text)}"
            if not cause.write or entry.file not in own or entry.hashes:
                why = f"which version fits cannot be told here: {cause.untold}" if cause.untold else _NOTHING
                remaining.append(f"{place}: {why}")
                continue
            reason = (
                (cause.pin and f"{cause.pin} is fixed ({cause.source})")
                or (cause.core and f"it needs {cause.core}")
                or "it fits nothing else"
            )
            if draft.replace(entry.line - shift, cause.write, reason):
                entries = [
                    resolve_foreign.moved_entry(entry, cause.write) if item is entry else item for item in entries
                ]
        reading = replace(reading, entries=tuple(entries))
        try:
            found = resolve_uv.resolve(reading, outcome.situation)
        except UnmetRequirementsError:
            return False
    for entry in entries:
        package = found.packages.get(entry.name or "")
        exact = any(item.operator in {"==", "==="} and "*" not in item.version for item in entry.specifier)
        held = exact or reading.pin(entry.name or "") or (entry.name or "") in outcome.situation.present
        if (
            entry.kind == "index"
            and package
            and not held
            and not reading.indexes.no_index
            and entry.file in own
            and not entry.hashes
        ):
            draft.replace(
                entry.line - shift, resolve_conflict.rewritten(entry, package.version), "nothing held its version"
            )
    return True
