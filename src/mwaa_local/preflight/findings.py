"""What rules say: hits, and things that could not be checked."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path


class Severity(enum.StrEnum):
    """How sure it is that MWAA minds: ``error`` breaks something, ``warning`` may, ``info`` is good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


class Area(enum.StrEnum):
    """What a rule looks at. The words are also accepted as paths on the command line."""

    DEFINITION = "definition"
    REQUIREMENTS = "requirements"
    PLUGINS = "plugins"
    STARTUP = "startup"
    DAGS = "dags"


class When(enum.StrEnum):
    """With ``--target``: whether a finding is there now, only after the upgrade, or both."""

    NOW = "now"
    TARGET = "target"
    BOTH = "both"


@dataclass(frozen=True)
class Hit:
    """One finding as a rule yields it.

    Attributes:
        message: One sentence, what is wrong here.
        file: The file; ``None`` for the workspace as a whole.
        line: 1-based; 0 for the whole file.
        excerpt: The text that proves it; the runner reads the line when it is empty.
        fix: Replaces the rule's own.
        severity: Replaces the rule's own.
        key: Stands for the message when two runs are compared (``--target``); the message itself when empty.
    """

    message: str
    file: Path | None = None
    line: int = 0
    excerpt: str = ""
    fix: str = ""
    severity: Severity | None = None
    key: str = ""


@dataclass(frozen=True)
class Unchecked:
    """Something that could not be looked at, why, and what makes it possible.

    Attributes:
        chosen: The caller switched it off: it is named, and does not count against the result.
        brief: Words for the summary line, of what was checked against less than MWAA has. A result all the same, which
            is why it does not count against it.
    """

    what: str
    why: str
    hint: str = ""
    rule: str = ""
    version: str = ""
    chosen: bool = False
    brief: str = ""
