"""What components say about the user's files once they run: failures that stop nothing, and things worth knowing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mwaa_local.engines.protocol import ComponentState
from mwaa_local.errors import MwaaLocalError, RequirementsError

_TAIL = 12


def verdicts(states: Iterable[ComponentState]) -> list[MwaaLocalError]:
    """Failed requirements, told once though every component met them.

    On MWAA such an environment becomes available without the packages (spec/10 section 4.2); here it ends non-zero.
    """
    found: dict[str, tuple[list[str], Mapping[str, Any]]] = {}
    for state in states:
        told = (state.status or {}).get("requirements") or {}
        if told.get("verdict") == "failed":
            text = _text(told)
            found.setdefault(text, ([], told))[0].append(state.name)
    return [_verdict(text, names, told) for text, (names, told) in found.items()]


def _verdict(text: str, names: list[str], told: Mapping[str, Any]) -> MwaaLocalError:
    error = told.get("error") or {}
    hint = str(error.get("hint") or "correct the lines named above")
    return RequirementsError(
        str(error.get("what") or "requirements.txt could not be installed"),
        where=str(error.get("where") or "requirements.txt"),
        why=f"{text}\n{', '.join(names)}: Airflow runs without these packages, as it would on MWAA",
        hint=f"{hint}; then `make up` again, or accept it with --allow-failed-requirements",
    )


def _text(told: Mapping[str, Any]) -> str:
    conflict = [str(line) for line in told.get("conflict") or []]
    tail = [str(line) for line in told.get("tail") or []][-_TAIL:]
    return (
        str((told.get("error") or {}).get("why") or "") or "\n".join(conflict or tail) or "the installer said nothing"
    )


def warnings(states: Iterable[ComponentState]) -> list[str]:
    """Ends of startup scripts that MWAA would hide in a log stream, and what the runtime noted; each once."""
    found: dict[str, list[str]] = {}
    for state in states:
        status = state.status or {}
        for text in [*_startup(status.get("startup_script")), *_notes(status)]:
            found.setdefault(text, []).append(state.name)
    return [f"{', '.join(names)}: {text}" for text, names in found.items()]


def _startup(told: Mapping[str, Any] | None) -> list[str]:
    if not told:
        return []
    seconds = float(told.get("seconds") or 0.0)
    if told.get("timed_out"):
        return [f"the startup script did not end within its time ({seconds:.0f} s) and was ended"]
    code = told.get("exit_status")
    if code in (0, None):
        return []
    tail = "\n".join(f"    {line}" for line in list(told.get("tail") or [])[-5:])
    return [f"the startup script ended with exit status {code}" + (f"; its last lines:\n{tail}" if tail else "")]


def _notes(status: Mapping[str, Any]) -> list[str]:
    place = status.get("namespace") or {}
    notes = [str(note) for note in status.get("notes") or []]
    return [*notes, *([str(place["detail"])] if place.get("detail") else [])]
