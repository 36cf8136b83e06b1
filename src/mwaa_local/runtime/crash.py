"""Why an Airflow process ended: its last exception, the user's file it was about, from the last lines it printed."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Lines of a process that are kept: a traceback through Airflow, tenacity and SQLAlchemy has a hundred.
KEPT_LINES = 400
# A traceback that so many lines follow was logged and survived.
_NEAR_LINES = 60
_SHOWN_LINES, _CHARACTERS = 12, 300
_TRACEBACK = "Traceback (most recent call last)"
_FATAL = re.compile(r"Fatal Python error: (.+)")
# Boxes of rich tracebacks, bars of exception groups.
_EDGE = re.compile(r"^[\s|+│╭╰─╮╯-]*")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_BOXED_FRAME = re.compile(r"(/\S+\.py):(\d+) in ")
_RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*)?\Z")
_HANDLED = re.compile(r"mwaa-local: it ended while it handled (.+)")
# What C libraries and command lines say last.
_LAST_WORDS = re.compile(
    r"(?i)\berror\b|\bcritical\b|\bfatal\b|\babort|\bterminate called|invalid pointer|corruption|assert|overflow|killed"
)


def explain(process: str, code: int, lines: Sequence[str], roots: Mapping[str, Iterable[Path]]) -> dict[str, Any]:
    """What is known of a process that died.

    Args:
        process: Its name.
        code: Its exit code; below zero the number of the signal.
        lines: The last it printed, oldest first.
        roots: Name of a folder of the user's (``dags``, ``plugins``) to where it may be.

    Returns:
        ``process``, ``code``, ``ended`` (how, in words), ``cause`` (the exception, or the last words), ``file`` and
        ``line`` (the user's; empty and 0 where they cannot be known), ``trace`` (the lines that matter), ``at``
        (seconds since the epoch).
    """
    begin, raised = _exception(lines, code)
    told = lines[begin:] if begin >= 0 else lines
    file, line = _file(told, roots)
    return {
        "process": process,
        "code": code,
        "ended": _ended(code),
        "cause": (raised or _last_words(lines, code))[:_CHARACTERS],
        "file": file,
        "line": line,
        "trace": [text[:_CHARACTERS] for text in _matters(told, roots)],
        "at": round(time.time(), 1),
    }


def sentence(crash: Mapping[str, Any]) -> str:
    """A crash in one line: ``dag-processor: TypeError: unhashable type: 'list' (while it handled dags/greet.py)``."""
    cause = str(crash.get("cause") or crash.get("ended") or "")
    return f"{crash.get('process')}: {cause}{_about(crash)}"


def _about(crash: Mapping[str, Any]) -> str:
    if not crash.get("file"):
        return ""
    return f" ({crash['file']}:{crash['line']})" if crash.get("line") else f" (while it handled {crash['file']})"


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    # Nothing of ours kills a process of a component that nobody asked to stop.
    return f"was killed by {name}" + (" (the system does so when memory is short)" if name == "SIGKILL" else "")


def _exception(lines: Sequence[str], code: int) -> tuple[int, str]:
    """Where the last exception begins, and its own line; -1 and nothing when none ended the process."""
    for number in range(len(lines) - 1, -1, -1):
        if found := _FATAL.search(lines[number]):
            return number, found[1] if code >= 0 else f"{found[1]} ({_ended(code)})"
    if code < 0:  # a signal ended it; an exception before that was survived
        return -1, ""
    for number in range(len(lines) - 1, -1, -1):
        if _TRACEBACK in lines[number]:
            end, raised = _raised(lines, number)
            return (number, raised) if raised and len(lines) - end <= _NEAR_LINES else (-1, "")
    return -1, ""


def _raised(lines: Sequence[str], begin: int) -> tuple[int, str]:
    """The line that names the exception of a traceback: the last of a group's, the only one of others."""
    group = "Exception Group" in lines[begin] or lines[begin].lstrip().startswith(("|", "+"))
    indent = len(lines[begin]) - len(lines[begin].lstrip()) if not group else 0
    last, at = "", begin
    for number in range(begin + 1, len(lines)):
        text = lines[number]
        plain = _EDGE.sub("", text)
        outside = group or not text.startswith(" " * (indent + 1))
        if outside and not _FRAME.match(plain) and _RAISED.match(plain):
            last, at = plain, number
            if not group:
                break
    return at, last


def _last_words(lines: Sequence[str], code: int) -> str:
    words = [text.strip() for text in lines if text.strip()]
    said = next((text for text in reversed(words[-_SHOWN_LINES:]) if _LAST_WORDS.search(text)), "")
    if code < 0:
        return f"{_ended(code)}; its last words: {said}" if said else _ended(code)
    return said or (words[-1] if words else "it printed nothing")


def _file(lines: Sequence[str], roots: Mapping[str, Iterable[Path]]) -> tuple[str, int]:
    """The user's file: where the code that failed is, else what was handled, else one that the message names."""
    handled = next((found[1] for text in reversed(lines) if (found := _HANDLED.search(text))), "")
    # Of a Python traceback the innermost frame comes last, of faulthandler's first.
    order = lines if lines and _FATAL.search(lines[0]) else list(reversed(lines))
    for text in order:
        frame = _FRAME.search(text) or _BOXED_FRAME.search(text)
        if frame and (name := _relative(frame[1], roots)):
            return name, int(frame[2])
    if handled:
        return _relative(handled, roots) or handled, 0
    for text in reversed(lines[-3:]):
        for word in re.findall(r"/[^\s'\"():,]+\.(?:py|zip)", text):
            if name := _relative(word, roots):
                return name, 0
    return "", 0


def _relative(path: str, roots: Mapping[str, Iterable[Path]]) -> str:
    for name, folders in roots.items():
        for folder in folders:
            if Path(path).is_relative_to(folder):
                return f"{name}/{Path(path).relative_to(folder).as_posix()}"
    return ""


def _matters(lines: Sequence[str], roots: Mapping[str, Iterable[Path]]) -> list[str]:
    """The frames in the user's own files with their code, then the end."""
    end = [text for text in lines if text.strip() and not _HANDLED.search(text)]
    if lines and _FATAL.search(lines[0]):
        return end[:_SHOWN_LINES]
    own: list[str] = []
    for number, text in enumerate(end[:-_SHOWN_LINES]):
        frame = _FRAME.search(text)
        if frame and _relative(frame[1], roots):
            own += end[number : number + 2]
    return own[-_SHOWN_LINES:] + end[-_SHOWN_LINES:]
