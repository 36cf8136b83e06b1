"""``.airflowignore`` as Airflow reads it: which files under a folder are looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

IGNORE_FILE = ".airflowignore"


@dataclass(frozen=True)
class _Pattern:
    base: str  # folder of the file it stands in, relative to the root; empty for the root
    text: str


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> tuple[re.Pattern[str], bool, bool, bool]:
    """A gitignore pattern as ``(expression, negated, folders only, anchored)``."""
    negated = pattern.startswith("!")
    body = pattern[1:] if negated else pattern
    folders = body.rstrip().endswith("/")
    body = body.strip().rstrip("/")
    anchored = "/" in body
    body = body.lstrip("/")
    out, at = "", 0
    while at < len(body):
        if body.startswith("**/", at):
            out += "(?:.*/)?"
            at += 3
        elif body.startswith("**", at):
            out += ".*"
            at += 2
        elif body[at] == "*":
            out += "[^/]*"
            at += 1
        elif body[at] == "?":
            out += "[^/]"
            at += 1
        elif body[at] == "[" and "]" in body[at + 2 :]:
            end = body.index("]", at + 2)
            out += "[" + body[at + 1 : end].replace("!", "^", 1).replace("\\", "\\\\") + "]"
            at = end + 1
        else:
            out += re.escape(body[at])
            at += 1
    return re.compile(out + r"(?:/.*)?"), negated, folders, anchored


def _matches(relative: str, is_folder: bool, patterns: list[_Pattern], syntax: str) -> bool:
    matched = False
    for pattern in patterns:
        within = relative[len(pattern.base) + 1 :] if pattern.base else relative
        if syntax == "regexp":
            try:
                # Expressions count from the root, wherever their file lies; globs from their file's folder.
                if re.search(pattern.text, relative):
                    return True
            except re.error:
                pass
            continue
        expression, negated, folders, anchored = _glob(pattern.text)
        if folders and not is_folder:
            continue
        if expression.fullmatch(within if anchored else within.rpartition("/")[2]):
            matched = not negated
    return matched


def _read(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    # As Airflow does it: what follows a `#` is a comment, wherever it stands.
    return [text for line in lines if (text := re.sub(r"\s*#.*", "", line)).strip()]


def looked_at(root: Path, syntax: str, *, limit: int = 100_000) -> Iterator[Path]:
    """Every file below a folder that no ``.airflowignore`` hides.

    Args:
        root: The DAG or plugins folder.
        syntax: ``glob`` or ``regexp``.
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
            if name != "__pycache__" and not _matches(f"{relative}/{name}".lstrip("/"), True, patterns, syntax)
        ]
        for name in sorted(files):
            if name != IGNORE_FILE and not _matches(f"{relative}/{name}".lstrip("/"), False, patterns, syntax):
                yield Path(folder) / name
                count += 1
                if count >= limit:
                    return
