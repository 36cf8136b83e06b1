"""A rule, what it found in one workspace, and the report of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mwaa_local.preflight.findings import Area, Hit, Severity, Unchecked, When
from mwaa_local.preflight.workspace import Workspace


@dataclass(frozen=True)
class Rule:
    """One rule; see the package's docstring for how to write one."""

    id: str
    severity: Severity
    area: Area
    title: str
    why: str
    source: str
    fix: str
    check: Callable[[Workspace], Iterable[Hit | Unchecked]] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Finding:
    """One finding of a report.

    Attributes:
        path: The file relative to the project where it lies in it, else absolute; empty for the whole workspace.
        when: ``now`` unless two versions were compared.
    """

    rule: Rule
    severity: Severity
    message: str
    path: str
    line: int
    excerpt: str
    fix: str
    when: When = When.NOW
    key: str = ""

    @property
    def place(self) -> str:
        """``dags/a.py:3``."""
        return f"{self.path}:{self.line}" if self.line else self.path

    @property
    def identity(self) -> tuple[str, str, int, str]:
        """What makes two findings the same one."""
        return (self.rule.id, self.path, self.line, self.key or self.message)


@dataclass(frozen=True)
class Report:
    """The result of one ``validate``.

    Attributes:
        version: Airflow version of the definition.
        target: The version asked for with ``--target``, or empty.
        rules: Ids of the rules that ran.
        suppressed: Findings that an inline comment silenced.
        timings: Seconds per rule.
        notes: Facts worth a line, such as which package set was used.
    """

    project: Path
    version: str
    target: str
    environment_class: str
    findings: tuple[Finding, ...]
    unchecked: tuple[Unchecked, ...]
    rules: tuple[str, ...]
    suppressed: int
    seconds: float
    timings: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        """Number of findings of one severity."""
        return sum(finding.severity is severity for finding in self.findings)

    @property
    def reservations(self) -> tuple[str, ...]:
        """What limits the whole verdict, in words for its summary line."""
        return tuple(dict.fromkeys(item.brief for item in self.unchecked if item.brief))

    @property
    def exit_code(self) -> int:
        """1 when something breaks, 2 when nothing does but not everything could be checked, else 0.

        What the caller switched off is no reason for 2.
        """
        if self.count(Severity.ERROR):
            return 1
        return 2 if any(not item.chosen and not item.brief for item in self.unchecked) else 0
