"""One run: rules over a workspace, or over two of them when an upgrade is asked about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mwaa_local.errors import MwaaLocalError, UsageError
from mwaa_local.preflight import registry, suppress
from mwaa_local.preflight.findings import Area, Hit, Severity, Unchecked, When
from mwaa_local.preflight.readings import archives
from mwaa_local.preflight.readings.text import TextFile
from mwaa_local.preflight.report import Finding, Report, Rule
from mwaa_local.preflight.sets import Locator
from mwaa_local.preflight.workspace import Correction, Workspace

_EXCERPT = 200
_UNTRUSTED = (
    "nothing of the project was run (--untrusted): DAG files and plugins were read and not imported, source archives "
    "not built, the startup script's variables used only to find packages"
)


@dataclass(frozen=True)
class Request:
    """What to validate.

    Attributes:
        project: Folder with ``mwaa.yaml``.
        paths: Files or folders to look at; none for all.
        areas: Areas to look at; none for all.
        select: Rule ids or prefixes, beside those of ``mwaa.yaml``.
        ignore: The same, to leave out.
        target: Airflow version to compare with, or empty.
        flags: Dotted fields that beat ``mwaa.yaml``.
        variables: The process environment.
        locate: Finds package sets; ``None`` leaves imports out.
        untrusted: Run nothing of the project, build nothing.
    """

    project: Path
    paths: tuple[Path, ...] = ()
    areas: tuple[Area, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    target: str = ""
    flags: Mapping[str, Any] | None = None
    variables: Mapping[str, str] | None = None
    locate: Locator | None = None
    untrusted: bool = False


def validate(request: Request, progress: Callable[[str], None] | None = None) -> Report:
    """Check a workspace.

    Args:
        request: What and how.
        progress: Told about long steps, from any thread.

    Raises:
        UsageError: A rule or version that does not exist.
        DefinitionError: A flag or variable is wrong; faults of the file are findings.
    """
    begin = time.monotonic()
    project = request.project.expanduser().resolve()
    only = frozenset(path.expanduser().resolve() for path in request.paths) or None
    if only is not None and project in only:
        only = None
    areas = frozenset(request.areas)

    def workspace(version: str) -> Workspace:
        flags = dict(request.flags or {})
        if version:
            flags["AirflowVersion"] = version
        return Workspace(
            project,
            flags=flags,
            variables=request.variables,
            locate=request.locate,
            correct=_corrected,
            only=only,
            areas=areas or frozenset(Area),
            untrusted=request.untrusted,
            progress=progress,
        )

    with workspace("") as now:
        _refuse_strangers(now)
        settings = now.definition.values
        select = (*request.select, *(_names(settings, "Local.Validate.Select") if not request.select else ()))
        ignore = (*request.ignore, *_names(settings, "Local.Validate.Ignore"))
        chosen = registry.choose(select, ignore, areas or _areas_of(now))
        now.areas = frozenset(item.area for item in chosen)
        if not request.target or request.target == now.version.airflow:
            result = _check(now, chosen)
            return _report(request, now, result, chosen, time.monotonic() - begin)
        with workspace(request.target) as later:
            later.areas = now.areas
            _ = later.definition  # an unknown version is said before anything is run
            with ThreadPoolExecutor(2) as pool:
                first, second = pool.map(lambda item: _check(item, chosen), (now, later))
            merged = _Result(
                findings=_compared(first.findings, second.findings),
                unchecked=[*first.unchecked, *(item for item in second.unchecked if item not in first.unchecked)],
                suppressed=first.suppressed,
                timings={key: first.timings.get(key, 0) + value for key, value in second.timings.items()},
            )
            return _report(request, now, merged, chosen, time.monotonic() - begin, later)


def _refuse_strangers(workspace: Workspace) -> None:
    """Named files must belong to the project: nothing would be said about others, which reads like praise."""
    flow = workspace.environment.workflow
    homes = (workspace.project, flow.dags, flow.plugins, flow.requirements, flow.startup_script)
    for path in sorted(workspace.only or ()):
        if not any(path.is_relative_to(home) or home.is_relative_to(path) for home in homes):
            raise UsageError(
                f"{path} does not belong to the project",
                where=str(workspace.project),
                hint="name the project first: mwaa-local --project FOLDER validate FILE",
            )


def _names(settings: Mapping[str, Any], field: str) -> Sequence[str]:
    value = settings.get(field)
    return [str(item) for item in value.value] if value is not None else ()


def _areas_of(workspace: Workspace) -> tuple[Area, ...]:
    """With named files: the areas they belong to; all without."""
    if workspace.only is None:
        return ()
    flow = workspace.environment.workflow
    folders = {
        Area.DEFINITION: workspace.definition.path,
        Area.DAGS: flow.dags,
        Area.PLUGINS: flow.plugins,
        Area.REQUIREMENTS: flow.requirements,
        Area.STARTUP: flow.startup_script,
    }
    found = {
        area
        for area, place in folders.items()
        for path in workspace.only
        if path == place or path.is_relative_to(place) or place.is_relative_to(path)
    }
    if workspace.only.intersection(flow.plugins_unused):
        found.add(Area.PLUGINS)
    # A file that belongs to no area is looked at by no rule; `definition` keeps the choice from meaning "all".
    return tuple(found) or (Area.DEFINITION,)


@dataclass
class _Result:
    findings: list[Finding]
    unchecked: list[Unchecked]
    suppressed: int
    timings: dict[str, float]


def _check(workspace: Workspace, rules: Iterable[Rule]) -> _Result:
    rules = list(rules)
    # Read before the threads start: every rule needs it.
    _ = workspace.definition
    result = _Result([], [], 0, {})
    lines: dict[Path, list[str]] = {}
    with ThreadPoolExecutor(max_workers=max(4, len(rules))) as pool:
        for rule, (outcomes, seconds) in zip(
            rules, pool.map(lambda item: _run_rule(item, workspace), rules), strict=True
        ):
            result.timings[rule.id] = round(seconds, 3)
            for outcome in outcomes:
                if isinstance(outcome, Unchecked):
                    marked = replace(outcome, rule=outcome.rule or rule.id, version=workspace.version.airflow)
                    if not any(same.what == marked.what and same.why == marked.why for same in result.unchecked):
                        result.unchecked.append(marked)
                    continue
                if workspace.only is not None and outcome.file is not None and not workspace._wanted(outcome.file):
                    continue
                text = lines.setdefault(outcome.file, _lines(outcome.file)) if outcome.file else []
                if suppress.silenced(rule.id, text, outcome.line):
                    result.suppressed += 1
                    continue
                result.findings.append(_finding(rule, outcome, workspace, text))
    result.findings = sorted(
        dict.fromkeys(result.findings),
        key=lambda item: (list(Area).index(item.rule.area), item.path, item.line, item.rule.id),
    )
    return result


def _corrected(workspace: Workspace) -> Correction | None:
    """What ``--fix`` would write; asked for seldom, and its import costs time."""
    from mwaa_local.preflight.resolving import fix

    return fix.fix(workspace)


def _run_rule(rule: Rule, workspace: Workspace) -> tuple[list[Hit | Unchecked], float]:
    begin = time.monotonic()
    try:
        outcomes = list(rule.check(workspace))
    except MwaaLocalError as error:
        outcomes = [Unchecked(rule.title, f"{error.what}{f' ({error.why})' if error.why else ''}", error.hint)]
    except Exception as error:  # noqa: BLE001 - one broken rule must not hide what the others found
        outcomes = [
            Unchecked(
                f"rule {rule.id} ({rule.title})",
                f"it failed with {type(error).__name__}: {error}",
                f"run with --ignore {rule.id}, and report it",
            )
        ]
    return outcomes, time.monotonic() - begin


def _lines(path: Path) -> list[str]:
    try:
        if path.suffix == ".zip":
            return []
        if path.is_file():
            return TextFile.read(path).shown
        member = archives.member_text(path)
        return member.shown if member else []
    except OSError:
        return []


def _finding(rule: Rule, hit: Hit, workspace: Workspace, lines: Sequence[str]) -> Finding:
    excerpt = hit.excerpt or (lines[hit.line - 1] if 0 < hit.line <= len(lines) else "")
    return Finding(
        rule=rule,
        severity=hit.severity or rule.severity,
        message=hit.message,
        path=workspace.relative(hit.file) if hit.file else "",
        line=hit.line,
        excerpt=excerpt.rstrip()[:_EXCERPT],
        fix=hit.fix or rule.fix,
        key=hit.key,
    )


def _compared(now: Iterable[Finding], later: Iterable[Finding]) -> list[Finding]:
    """The findings of both versions, each marked with when it counts; words of the target win."""
    before = {item.identity: item for item in now}
    after = {item.identity: item for item in later}
    merged = [replace(item, when=When.BOTH if key in before else When.TARGET) for key, item in after.items()]
    merged += [item for key, item in before.items() if key not in after]
    return sorted(merged, key=lambda item: (list(Area).index(item.rule.area), item.path, item.line, item.rule.id))


def _report(
    request: Request,
    now: Workspace,
    result: _Result,
    chosen: Sequence[Rule],
    seconds: float,
    later: Workspace | None = None,
) -> Report:
    notes = [_UNTRUSTED] if request.untrusted else []
    for workspace in (now, later) if later else (now,):
        imports = workspace.__dict__.get("imports")
        if imports is not None and imports.package_set is not None:
            found = imports.package_set
            hints = [found.note] if found.note else []
            if found.problem:
                used = "with what --fix would write instead of" if found.corrected else "without"
                why = found.problem.splitlines()[0]
                hints.append(f"{used} requirements.txt, which could not be installed: {why}")
            what = f"{len(imports.dags)} DAG files in {imports.seconds:.1f} s"
            tail = f" ({'; '.join(hints)})" if hints else ""
            notes.append(f"imported on Airflow {workspace.version.airflow}: {what}{tail}")
    return Report(
        project=now.project,
        version=now.version.airflow,
        target=later.version.airflow if later else "",
        environment_class=now.environment.environment_class.name,
        findings=tuple(result.findings),
        unchecked=tuple(result.unchecked),
        rules=tuple(rule.id for rule in chosen),
        suppressed=result.suppressed,
        seconds=seconds,
        timings=result.timings,
        notes=tuple(notes),
    )


def at_least(report: Report, level: Severity) -> Report:
    """The report without findings below a severity."""
    return replace(report, findings=tuple(item for item in report.findings if item.severity.rank <= level.rank))
