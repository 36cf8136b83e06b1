"""The report for people: what, where, why MWAA minds, what to write instead."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mwaa_local.preflight.findings import Area, Severity, When
from mwaa_local.preflight.report import Finding, Report, Rule

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def print_report(console: Console, report: Report, *, hidden: int = 0) -> None:
    """Print a report.

    Args:
        console: Where to.
        report: What is shown.
        hidden: Findings that the level keeps back; only their number is told.
    """
    explained: set[str] = set()
    for area, findings in groupby(report.findings, key=lambda item: item.rule.area):
        console.print(f"[bold]{area.value}[/]")
        for item in findings:
            _finding(console, item, report, explained)
        console.print()
    for missed in report.unchecked:
        how = "checked in part" if missed.brief else "not checked"
        console.print(f"[magenta]{how}[/] {escape(missed.what)}: {escape(missed.why)}")
        if missed.hint:
            console.print(f"  [dim]next:[/] {escape(missed.hint)}")
    if report.unchecked:
        console.print()
    _summary(console, report, hidden)


def _finding(console: Console, item: Finding, report: Report, explained: set[str]) -> None:
    when = ""
    if item.when is When.TARGET:
        when = f" [bold magenta]breaks on {report.target}[/]"
    elif item.when is When.NOW and report.target:
        when = f" [dim]gone on {report.target}[/]"
    style = _STYLES[item.severity]
    place = f"[bold]{escape(item.place)}[/] " if item.place else ""
    console.print(f"  [{style}]{item.severity.value} {item.rule.id}[/]{when} {place}{escape(item.message)}")
    if item.excerpt.strip():
        console.print(f"    [dim]{f'{item.line} ' if item.line else ''}|[/] {escape(item.excerpt.strip())}")
    if item.rule.id not in explained:
        explained.add(item.rule.id)
        console.print(f"    [dim]why:[/] {escape(item.rule.why)} [dim]({escape(item.rule.source)})[/]")
    console.print(f"    [dim]fix:[/] {escape(item.fix)}")


def _summary(console: Console, report: Report, hidden: int) -> None:
    def of(number: int, word: str) -> str:
        return f"{number} {word}{'' if number == 1 else 's'}"

    errors, warnings = report.count(Severity.ERROR), report.count(Severity.WARNING)
    parts = [of(errors, "error"), of(warnings, "warning")]
    if report.count(Severity.INFO):
        parts.append(of(report.count(Severity.INFO), "hint"))
    if hidden:
        parts.append(f"{of(hidden, 'hint')} not shown (--level info)")
    if report.suppressed:
        parts.append(f"{report.suppressed} silenced by comments")
    if missed := [item for item in report.unchecked if not item.brief]:
        parts.append(f"{of(len(missed), 'thing')} not checked")
    parts += [escape(words) for words in report.reservations]
    style = "red" if errors else "yellow" if warnings or report.unchecked else "green"
    target = f", also on {report.target}" if report.target else ""
    console.print(
        f"[{style}]{', '.join(parts)}[/] on Airflow {report.version}{target}, {report.environment_class}: "
        f"{len(report.rules)} rules in {report.seconds:.1f} s"
    )
    if report.target:
        breaking = sum(item.when is When.TARGET and item.severity is Severity.ERROR for item in report.findings)
        console.print(
            f"going from {report.version} to {report.target}: {of(breaking, 'error')} that "
            f"{'is' if breaking == 1 else 'are'} not there today"
        )
    for note in report.notes:
        console.print(f"[dim]{escape(note)}[/]")


def as_text(report: Report) -> str:
    """The same without colour, for a file."""
    stream = io.StringIO()
    print_report(Console(file=stream, soft_wrap=True, no_color=True, highlight=False, width=200), report)
    return stream.getvalue()


def explain(console: Console, rule: Rule) -> None:
    """Everything about one rule."""
    console.print(f"[bold]{rule.id}[/] {escape(rule.title)}")
    console.print(f"  [dim]area:[/] {rule.area.value}   [dim]severity:[/] {rule.severity.value}")
    console.print(f"  [dim]why:[/] {escape(rule.why)}")
    console.print(f"  [dim]source:[/] {escape(rule.source)}")
    console.print(f"  [dim]fix:[/] {escape(rule.fix)}")
    console.print(f"  [dim]silence one line:[/] # mwaa: ignore{escape('[')}{rule.id}]")


def rule_table(console: Console, rules: Sequence[Rule]) -> None:
    """All rules, one line each."""
    table = Table(box=None, pad_edge=False, show_header=True)
    for title in ("rule", "severity", "area", "title"):
        table.add_column(title, no_wrap=True)
    for area in Area:
        for rule in rules:
            if rule.area is area:
                table.add_row(
                    rule.id, f"[{_STYLES[rule.severity]}]{rule.severity.value}[/]", rule.area.value, escape(rule.title)
                )
    console.print(table)
