"""Task logs as the UI shows them, and the place in the user's own code that a failed task ended at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mwaa_local.catalog import limits

# What the UI shows only when sources are asked for (Airflow 3.2, its log page).
_SOURCE_KEYS = frozenset({"logger", "chan", "lineno", "filename", "loc"})
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+),? in (?P<name>.+)$')
_HEADLINE = re.compile(r"^[A-Za-z_][\w.]*(: |$)")
_LIBRARY = frozenset({"site-packages", "dist-packages", "mwaa_airflow"})
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
_STANDARD_LIBRARY = re.compile(r"/lib(64)?/python3\.\d+/")


@dataclass(frozen=True)
class Failure:
    """How a task failed.

    Attributes:
        error: The exception that ended it: ``KeyError: 'month'``.
        where: The user's own file and line that it came through, ``dags/load.py:12 in month``; empty where no line
            of the user's took part (a Bash command that failed).
    """

    error: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.error}" if self.where else self.error


def render(event: Any) -> list[str]:
    """One structured event of an Airflow 3 task log as the lines of the UI."""
    if not isinstance(event, Mapping):
        return str(event).splitlines()
    text = f"[{event['timestamp']}] " if event.get("timestamp") else ""
    text += f"{str(event['level']).upper()} - " if event.get("level") else ""
    shown = {"timestamp", "level", "event", "error_detail", *_SOURCE_KEYS}
    text += str(event.get("event", ""))
    text += "".join(f" {key}={value}" for key, value in event.items() if key not in shown)
    return [*text.splitlines(), *(line for stack in _stacks(event) for line in _stack_lines(stack))]


def _stacks(event: Any) -> list[Mapping[str, Any]]:
    """The exception of an event and what caused it, outermost first."""
    return _mappings(event.get("error_detail")) if isinstance(event, Mapping) else []


def _mappings(found: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list; a user's own log call may put anything under these names."""
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, Sequence) else []


def _number(found: Any) -> int:
    return found if isinstance(found, int) else 0


def _headline(stack: Mapping[str, Any]) -> str:
    value = str(stack.get("exc_value") or "")
    return f"{stack.get('exc_type', 'Exception')}: {value}" if value else str(stack.get("exc_type", "Exception"))


def _stack_lines(stack: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for line in _headline(stack).splitlines():
        yield indent + line
    for frame in _mappings(stack.get("frames")):
        yield f'{indent}    File "{frame.get("filename")}", line {frame.get("lineno")} in {frame.get("name")}'
    for syntax in _mappings([stack.get("syntax_error")]):
        line = str(syntax.get("line") or "").strip()
        yield f'{indent}    File "{syntax.get("filename")}", line {syntax.get("lineno")}: {line}'
    notes = stack.get("exc_notes")
    for note in notes if isinstance(notes, Sequence) else ():
        yield f"{indent}    {note}"
    # An exception group carries the traces of its members.
    traces = stack.get("exceptions")
    for trace in traces if isinstance(traces, Sequence) else ():
        for member in _mappings(trace.get("stacks") if isinstance(trace, Mapping) else trace):
            yield from _stack_lines(member, indent + "    ")


def failure(events: Sequence[Any]) -> Failure | None:
    """How the task of a log failed: its last exception; ``None`` where the log holds none.

    Args:
        events: Structured events (Airflow 3) or lines of text (Airflow 2).
    """
    for event in reversed(events):
        if stacks := _stacks(event):
            places = (_place(_frames(stack)) for stack in stacks)
            return Failure(_first_line(_headline(stacks[0])), next(filter(None, places), ""))
    return _written([line for event in events for line in render(event)])


def says_nothing(events: Sequence[Any]) -> bool:
    """Whether a log holds no line of the task's own: only where it was looked for, and that it is not there."""
    return not any(
        event.get("timestamp") if isinstance(event, Mapping) else str(event).startswith("[") for event in events
    )


def _frames(stack: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    frames = [
        (str(frame.get("filename")), _number(frame.get("lineno")), str(frame.get("name")))
        for frame in _mappings(stack.get("frames"))
    ]
    for syntax in _mappings([stack.get("syntax_error")]):
        frames.append((str(syntax.get("filename")), _number(syntax.get("lineno")), ""))
    return frames


def _written(lines: Sequence[str]) -> Failure | None:
    """The last traceback of a text, as Python prints it: frames first, the exception below them."""
    frames: list[tuple[str, int, str]] = []
    found: Failure | None = None
    place, chained = "", False
    for line in lines:
        if line.endswith("Traceback (most recent call last):"):
            # A cause is printed before what it caused: the last exception counts, the nearest line of the user's tells.
            frames, place = [], place if chained else ""
        elif line.startswith(_CHAINED):
            chained = True
        elif match := _FRAME.match(line):
            frames.append((match["file"], int(match["line"]), match["name"]))
        elif frames and _HEADLINE.match(line):
            place = _place(frames) or place
            found, frames, chained = Failure(_first_line(line), place), [], False
    return found


def _place(frames: Sequence[tuple[str, int, str]]) -> str:
    """The innermost frame in a file of the user's own."""
    for file, line, name in reversed(frames):
        if _is_users(file):
            return f"{_short(file)}:{line}" + (f" in {name}" if name else "")
    return ""


def _is_users(file: str) -> bool:
    parts = PurePosixPath(file).parts
    ours = _LIBRARY.intersection(parts) or parts[-2:] == ("bin", "airflow")
    return file.startswith("/") and not ours and _STANDARD_LIBRARY.search(file) is None


def _short(file: str) -> str:
    return file.removeprefix(limits().home + "/")


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else text
