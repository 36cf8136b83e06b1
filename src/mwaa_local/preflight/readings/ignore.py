"""``.airflowignore`` as Airflow reads it: which files under a folder are looked at."""

from __future__ import annotations

import importlib
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

IGNORE_FILE = ".airflowignore"

# Python's own reading of an expression, which has no public name.
_parser: Any = importlib.import_module("re._parser")


@dataclass(frozen=True)
class _Pattern:
    base: str  # folder of the file it stands in, relative to the root; empty for the root
    text: str


# What Python's expressions have and RE2's have not, by the name of the parsed part; and written so that RE2 refuses it.
_NOT_RE2 = {
    "ASSERT": "it looks ahead or behind", "ASSERT_NOT": "it looks ahead or behind",
    "GROUPREF": "it refers back to a group", "GROUPREF_EXISTS": "it depends on a group",
    "ATOMIC_GROUP": "it has an atomic group", "POSSESSIVE_REPEAT": "it has a possessive repetition",
}  # fmt: skip
_NOT_RE2_TEXT = re.compile(r"(?<!\\)(?:\\\\)*(\\Z|\\u|\\N|\(\?#|\(\?[a-zA-Z]*[aLux][a-zA-Z]*[:)])")
# Forms of RE2 that Python has not: what such a line hides is not known here.
_RE2_ONLY = re.compile(r"\\[pPQCz]|\(\?<\w")
_RE2_REPEATS = 1000


@lru_cache(maxsize=1024)
def expression(pattern: str, engine: str) -> tuple[re.Pattern[str] | None, str]:
    """A line of ``.airflowignore`` as a regular expression, or why Airflow drops it.

    Args:
        pattern: The line.
        engine: ``re2`` or ``re``. RE2's own library is not asked: what it refuses of Python's forms is listed here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = re.compile(pattern)
            why = _refused_by_re2(pattern) if engine == "re2" else ""
    except (re.error, OverflowError, RecursionError) as error:
        return None, "" if engine == "re2" and _RE2_ONLY.search(pattern) else str(error)
    return (None, why) if why else (compiled, "")


def _refused_by_re2(pattern: str) -> str:
    found = _NOT_RE2_TEXT.search(pattern)
    if found:
        return f"{found.group(1)} means nothing there"
    waiting: list[Any] = [_parser.parse(pattern)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, _parser.SubPattern | list | tuple):
            name = str(part[0]) if isinstance(part, tuple) and part else ""
            if name in _NOT_RE2:
                return _NOT_RE2[name]
            if name in ("MAX_REPEAT", "MIN_REPEAT"):
                counts = [int(item) for item in part[1][:2]]
                if counts[0] > _RE2_REPEATS or _RE2_REPEATS < counts[1] < int(_parser.MAXREPEAT):
                    return f"it repeats more than {_RE2_REPEATS} times"
            waiting.extend(part)
    return ""


@dataclass(frozen=True)
class _Glob:
    shape: GitIgnoreSpecPattern
    folders: bool  # it is about folders only
    anchored: bool  # it counts from its file's folder, not from any below it


def glob_fault(pattern: str) -> str:
    """Why a line is no gitignore pattern, empty if it is one. Airflow catches no such error: its walk ends there."""
    return _glob(pattern)[1]


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> tuple[_Glob | None, str]:
    """A gitignore pattern as Airflow reads it, with the library that Airflow reads it with, or why it is none."""
    try:
        shape = GitIgnoreSpecPattern(pattern)
    except (ValueError, re.error) as error:
        return None, str(error)
    if pattern.strip() == "/":
        return None, ""  # it hides nothing
    folders = pattern.lstrip("!").rstrip().endswith("/")
    return _Glob(shape, folders, pattern.startswith("/") or "/" in pattern.rstrip("/")), ""


def _matches(relative: str, is_folder: bool, patterns: list[_Pattern], syntax: str, engine: str) -> bool:
    matched = False
    for pattern in patterns:
        within = relative[len(pattern.base) + 1 :] if pattern.base else relative
        if syntax == "regexp":
            # Expressions count from the root, wherever their file lies; globs from their file's folder.
            compiled, _ = expression(pattern.text, engine)
            if compiled is not None and compiled.search(relative):
                return True
            continue
        found, _ = _glob(pattern.text)
        if found is None or found.shape.include is None or (found.folders and not is_folder):
            continue
        place = within if found.anchored else within.rpartition("/")[2]
        if found.shape.match_file(f"{place}/" if is_folder else place) is not None:
            matched = found.shape.include
    return matched


def _read(path: Path) -> list[str]:
    return [text for _, text in lines(path)]


def lines(path: Path) -> list[tuple[int, str]]:
    """The patterns of one ``.airflowignore``, each with its line.

    As Airflow has it: what follows a ``#`` is a comment wherever it stands, and blanks alone are a pattern too.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = enumerate((re.sub(r"\s*#.*", "", line) for line in text.split("\n")), 1)
    return [(number, kept) for number, kept in found if kept]


def hides(text: str, relative: str, syntax: str, engine: str) -> bool:
    """Whether one pattern, standing at the root, hides a file or a folder that it lies in."""
    parts = relative.split("/")
    places = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(_matches(place, place != relative, [_Pattern("", text)], syntax, engine) for place in places)


def looked_at(root: Path, syntax: str, *, engine: str = "re", limit: int = 100_000) -> Iterator[Path]:
    """Every file below a folder that no ``.airflowignore`` hides.

    Args:
        root: The DAG or plugins folder.
        syntax: ``glob`` or ``regexp``.
        engine: What compiles regular expressions: ``re2`` or ``re``.
        limit: Files after which the walk ends.
    """
    held: dict[str, list[_Pattern]] = {}
    count = 0
    for folder, names, files in os.walk(root, followlinks=True):
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        relative = "" if relative == "." else relative
        parent = relative.rpartition("/")[0]
        patterns = list(held.get(parent, [])) if relative else []
        patterns += [_Pattern(relative, text) for text in _read(Path(folder) / IGNORE_FILE)]
        held[relative] = patterns
        names[:] = [
            name
            for name in sorted(names)
            if name != "__pycache__" and not _matches(f"{relative}/{name}".lstrip("/"), True, patterns, syntax, engine)
        ]
        for name in sorted(files):
            if name != IGNORE_FILE and not _matches(f"{relative}/{name}".lstrip("/"), False, patterns, syntax, engine):
                yield Path(folder) / name
                count += 1
                if count >= limit:
                    return
