"""``mwaa-local validate``: what MWAA would say in half an hour, in seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mwaa_local.cli import output
from mwaa_local.cli.context import settings
from mwaa_local.errors import UsageError
from mwaa_local.model.cache import cache_folder

if TYPE_CHECKING:
    from mwaa_local.preflight.findings import Area
    from mwaa_local.preflight.report import Report
    from mwaa_local.preflight.run import Request

_FORMATS = ("text", "json", "sarif", "junit", "github")
_LEVELS = ("error", "warning", "info")


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command()(validate)


def validate(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help=(
                "Files or folders to look at, a project folder, s3://BUCKET/PREFIX, or an area: definition, "
                "requirements, plugins, startup, dags."
            )
        ),
    ] = None,
    target: Annotated[str, typer.Option(help="An Airflow version: what breaks there as well?")] = "",
    select: Annotated[
        list[str] | None, typer.Option(help="Only these rules: ids or prefixes, comma separated.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Not these rules.")] = None,
    format: Annotated[str | None, typer.Option(help="text, json, sarif, junit or github; text when left out.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output_file: Annotated[
        Path | None, typer.Option("--output", help="Write the report here instead of stdout.")
    ] = None,
    level: Annotated[
        str, typer.Option(help="Show findings from this severity on: error, warning or info.")
    ] = "warning",
    imports: Annotated[
        bool, typer.Option("--imports/--no-imports", help="Import DAGs and plugins on the real Airflow.")
    ] = True,
    untrusted: Annotated[
        bool,
        typer.Option(
            "--untrusted", help="For a stranger's pull request: run nothing of the project, neither imports nor builds."
        ),
    ] = False,
    airflow_version: Annotated[str | None, typer.Option(help="Airflow version; beats mwaa.yaml.")] = None,
    explain: Annotated[str, typer.Option(help="Tell all about one rule and leave.")] = "",
    list_rules: Annotated[bool, typer.Option("--list-rules", help="List every rule and leave.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Check again whenever a file changes.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Correct requirements.txt: shows the diff, then writes it.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what --fix would write, and write nothing.")] = False,
) -> None:
    """Check the workspace against the definition's Airflow version and class, without Docker, network or AWS account.

    Exit codes: 0 clean or warnings only, 1 errors found, 2 nothing worse, but not everything could be checked.
    """
    from mwaa_local.preflight import registry
    from mwaa_local.preflight.output import text
    from mwaa_local.preflight.output.json_report import rules_document

    format = _format(format, json)
    if explain or list_rules:
        told = [registry.rule(explain)] if explain else list(registry.rules())
        if format == "json":
            output.emit_json(rules_document(told))
        elif explain:
            text.explain(output.out, told[0])
        else:
            text.rule_table(output.out, told)
        return
    _one_of("level", level, _LEVELS)
    chosen = settings(context)
    project, named, areas = _split(chosen.project, paths or [])
    with _fetched(project, chosen.variables) as place:
        request = _request(
            place,
            named,
            areas,
            target,
            select,
            ignore,
            chosen.flags,
            airflow_version,
            chosen.variables,
            imports,
            untrusted,
        )
        if fix or diff:
            _correct(request, write=fix and not diff)
        if watch:
            from mwaa_local.preflight.watch import watch as follow

            follow(request, lambda result: _show(result, format, level, output_file), _note)
            return
        report = _run(request)
        _show(report, format, level, output_file)
    raise typer.Exit(report.exit_code)


def _format(given: str | None, json: bool) -> str:
    """The format, from the two ways to say it."""
    if json and given not in (None, "json"):
        raise UsageError(f"--json and --format {given} are two answers to one question", hint="use one of them")
    chosen = "json" if json else given or "text"
    _one_of("format", chosen, _FORMATS)
    return chosen


def _request(
    project: Path,
    named: tuple[Path, ...],
    areas: tuple[Area, ...],
    target: str,
    select: list[str] | None,
    ignore: list[str] | None,
    flags: Mapping[str, object],
    airflow_version: str | None,
    variables: Mapping[str, str],
    imports: bool,
    untrusted: bool,
) -> Request:
    from mwaa_local.preflight import sets
    from mwaa_local.preflight.run import Request

    return Request(
        project=project,
        paths=named,
        areas=areas,
        select=_words(select),
        ignore=_words(ignore),
        target=target,
        flags={**flags, "AirflowVersion": airflow_version},
        variables=variables,
        locate=sets.locator(cache_folder(variables), _Pulse.last) if imports and not untrusted else None,
        untrusted=untrusted,
    )


def _correct(request: Request, *, write: bool) -> None:
    """Show the corrected ``requirements.txt`` as a diff, and put it in place when asked to."""
    from mwaa_local.preflight.resolving.fix import fix
    from mwaa_local.preflight.workspace import Workspace

    flags = {**(request.flags or {}), **({"AirflowVersion": request.target} if request.target else {})}
    with Workspace(request.project, flags=flags, variables=request.variables, untrusted=request.untrusted) as workspace:
        found = fix(workspace)
    if found is None:
        output.note("there is no requirements.txt to correct")
        return
    output.err.print(found.diff, markup=False, highlight=False, end="")
    for change in found.changes:
        output.note(f"{found.file.name}{f' line {change.line}' if change.line else ''}: {change.why}")
    for text in found.remaining:
        output.warn(text)
    if not found.changes:
        output.note(f"{found.file.name}: nothing to correct")
    elif write:
        found.write()
        output.note(f"{found.file} was written")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(
            f"--{name} {value} is not known", why=f"allowed: {', '.join(allowed)}", hint=f"use --{name} {allowed[0]}"
        )


def _words(given: list[str] | None) -> tuple[str, ...]:
    return tuple(word.strip() for item in given or () for word in item.split(",") if word.strip())


def _split(project: Path, paths: list[str]) -> tuple[str | Path, tuple[Path, ...], tuple[Area, ...]]:
    """The project, the files to look at and the areas, from the words of the command line."""
    from mwaa_local.preflight.findings import Area

    named: list[Path] = []
    areas: list[Area] = []
    place: str | Path = project
    for word in paths:
        if word.startswith("s3://"):
            place = word
        elif word in [area.value for area in Area]:
            areas.append(Area(word))
        else:
            path = Path(word).expanduser()
            if not path.exists():
                raise UsageError(
                    f"there is no {word}",
                    hint="name a file, a folder, or an area: definition, requirements, plugins, startup, dags",
                )
            if path.is_dir() and _is_project(path):
                place = path
            else:
                named.append(path)
    return place, tuple(named), tuple(areas)


def _is_project(path: Path) -> bool:
    return (path / "mwaa.yaml").is_file() or (path / "dags").is_dir()


def _fetched(project: str | Path, variables: Mapping[str, str]):  # type: ignore[no-untyped-def]
    from contextlib import nullcontext

    if isinstance(project, Path):
        return nullcontext(project)
    from mwaa_local.preflight.bucket import fetched

    return fetched(project, variables, _note)


def _note(text: str) -> None:
    output.note(text)


class _Pulse:
    """Progress on stderr, for runs that take long enough to wonder about."""

    lock = threading.Lock()
    text = ""
    begin = 0.0
    shown = ""

    @classmethod
    def last(cls, text: str) -> None:
        """Remember what is going on; say it when it has gone on for a second, once per thing."""
        with cls.lock:
            cls.text = text
            if time.monotonic() - cls.begin > 1 and text != cls.shown and not output.err.is_terminal:
                cls.shown = text
                output.note(text)


def _run(request: Request) -> Report:
    from mwaa_local.preflight.run import validate as run

    _Pulse.begin = time.monotonic()
    if not output.err.is_terminal:
        return run(request, _Pulse.last)
    with output.err.status("checking") as status:

        def tell(text: str) -> None:
            status.update(escape(text))

        return run(request, tell)


def _show(report: Report, format_: str, level: str, file: Path | None) -> None:
    from mwaa_local.preflight.findings import Severity
    from mwaa_local.preflight.output import FORMATS, text
    from mwaa_local.preflight.run import at_least

    shown = at_least(report, Severity(level))
    if format_ == "text" and file is None:
        text.print_report(output.out, shown, hidden=len(report.findings) - len(shown.findings))
        return
    written = text.as_text(shown) if format_ == "text" else FORMATS[format_](shown)
    if file is not None:
        output.write_atomically(file, written)
        output.note(f"{file}: {len(shown.findings)} findings, {len(shown.unchecked)} not checked")
    else:
        sys.stdout.write(written)
