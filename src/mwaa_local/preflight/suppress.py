"""Comments that silence a rule: ``# mwaa: ignore[DAG005]`` on the line, or on the first lines for the whole file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_COMMENT = re.compile(r"#\s*mwaa:\s*ignore(?:\[([A-Za-z0-9,\s]*)\])?")
# A comment of its own among the first lines counts for the whole file: below a shebang, a coding line and a title.
HEAD_LINES = 5


@lru_cache(maxsize=4096)
def _words(line: str) -> tuple[str, ...] | None:
    match = _COMMENT.search(line)
    if match is None:
        return None
    if match.group(1) is None:
        return ("",)  # every rule's id begins with it
    return tuple(word.strip().upper() for word in match.group(1).split(",") if word.strip())


def silenced(rule_id: str, lines: Sequence[str], line: int) -> bool:
    """Whether a comment in a file silences a rule at a line (1-based; 0 for the whole file)."""
    candidates = [text for text in lines[:HEAD_LINES] if text.lstrip().startswith("#")]
    if 0 < line <= len(lines):
        candidates.append(lines[line - 1])
    return any(rule_id.startswith(word) for text in candidates for word in _words(text) or ())
