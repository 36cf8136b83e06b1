"""What components say about the user's files once they run: failures that stop nothing, and things worth knowing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mwaa_local import errors
from mwaa_local.engines.protocol import ComponentState
from mwaa_local.errors import EngineError, MwaaLocalError, RequirementsError
from mwaa_local.runtime import crash

_TAIL = 12
# A process of a component that died once may do so by chance; again at once, it will not stop by itself.
_LOOP = 2


def verdicts(states: Iterable[ComponentState]) -> list[MwaaLocalError]:
    """Failed requirements, told once though every component met them.

    On MWAA such an environment becomes available without the packages (spec/10 section 4.2); here it ends non-zero.
    """
    found: dict[str, tuple[list[str], Mapping[str, Any]]] = {}
    for state in states:
        told = (state.status or {}).get("requirements") or {}
        if told.get("verdict") == "failed":
            found.setdefault(_kind(told), ([], told))[0].append(state.name)
    return [_verdict(_text(told), names, told) for names, told in found.values()]


def _kind(told: Mapping[str, Any]) -> str:
    """What makes two failures the same one: all components have the same file, and words differ from run to run."""
    error = told.get("error") or {}
    return str(error.get("kind") or error.get("what") or "")


def crashes(states: Iterable[ComponentState], since: float) -> tuple[list[MwaaLocalError], list[str]]:
    """Processes that died while an environment came up, though it answers now: errors for those that do so again and
    again, warnings for the others.

    Args:
        states: Of every component.
        since: When ``up`` began, seconds since the epoch; what died before may just have been mended.

    Returns:
        Errors, and warnings.
    """
    loops: list[MwaaLocalError] = []
    once: list[str] = []
    for state in states:
        last = (state.status or {}).get("crash")
        if not last:
            continue
        count = int(last.get("count") or 1)
        if float(last.get("at") or 0.0) < since:
            if count >= _LOOP:
                text = f"{state.name} ended {count} times in a row before this: {crash.sentence(last)}"
                once.append(f"{text}; unless that was mended since, it will again")
            continue
        if count < _LOOP:
            once.append(f"{state.name} was started again: {crash.sentence(last)}")
            continue
        file = last.get("file")
        loops.append(
            EngineError(
                f"{state.name} ends again and again ({count} times so far): {crash.sentence(last)}",
                where=str(file or state.name),
                why="\n".join(str(line) for line in last.get("trace") or []),
                hint=f"mend {file}: the component starts again by itself" if file else f"mwaa-local logs {state.name}",
            )
        )
    return loops, once


def refused(told: Mapping[str, Any]) -> MwaaLocalError:
    """Failed requirements that were found before anything was stopped for them."""
    return _requirements(told, f"{_text(told)}\nnothing was changed: what runs goes on with the packages it has")


def _verdict(text: str, names: list[str], told: Mapping[str, Any]) -> MwaaLocalError:
    who = ", ".join(names)
    return _requirements(told, f"{text}\n{who}: Airflow runs without these packages, as it would on MWAA")


def _requirements(told: Mapping[str, Any], why: str) -> MwaaLocalError:
    error = told.get("error") or {}
    hint = str(error.get("hint") or "correct the lines named above")
    return RequirementsError(
        str(error.get("what") or "requirements.txt could not be installed"),
        where=str(error.get("where") or "requirements.txt"),
        why=why,
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


def told(error: Mapping[str, Any], component: str, *, where: str, tail: Callable[[], str]) -> MwaaLocalError:
    """An error that a component's runtime wrote down, as the exception it was there.

    Args:
        error: As its status has it.
        component: Its name.
        where: The component's log or container, for an error that names no place.
        tail: The component's last lines, for an error that gives no reason.
    """
    kinds: dict[str, Callable[..., MwaaLocalError]] = {
        kind.id: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MwaaLocalError)
    }
    make = kinds.get(str(error.get("id")), EngineError)
    return make(
        f"{component}: {error.get('what')}",
        where=str(error.get("where") or where),
        why=str(error.get("why") or tail()),
        hint=str(error.get("hint") or f"mwaa-local logs {component}"),
    )
