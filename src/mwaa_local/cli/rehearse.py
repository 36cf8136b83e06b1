"""Try a change of the Airflow version before it is made: a second environment beside the one that runs, compared."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from mwaa_local import catalog
from mwaa_local.catalog.airflow_defaults import airflow_defaults
from mwaa_local.catalog.airflow_names import option_names
from mwaa_local.cli import output
from mwaa_local.cli.context import settings
from mwaa_local.engines import rehearsal
from mwaa_local.engines.protocol import Engine
from mwaa_local.engines.verdicts import verdicts
from mwaa_local.errors import EngineError, MwaaLocalError, UsageError
from mwaa_local.model import Environment
from mwaa_local.observability import smoke as smoke_test
from mwaa_local.observability import smoke_runs
from mwaa_local.observability.airflow_api import AirflowApi
from mwaa_local.observability.smoke_results import RunResult

_TIMEOUT_S = 400.0
_PARSE_S = 120.0
_SHOWN = 12


@dataclass(frozen=True)
class Seen:
    """What one of the two environments shows."""

    airflow_version: str
    import_errors: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What differs.

    Attributes:
        worse: What works now and would not then, one line each.
        findings: Errors of ``validate`` that only the target has.
        options: Configuration options of the definition that the target reads otherwise, or not at all.
        packages: Package to its version now and then, empty for none.
        warnings: What the target's start said.
        carried: What became of the data.
    """

    now: Seen
    then: Seen
    worse: tuple[str, ...]
    findings: tuple[str, ...]
    options: tuple[str, ...]
    packages: Mapping[str, tuple[str, str]]
    warnings: tuple[str, ...]
    carried: str

    @property
    def passed(self) -> bool:
        """Whether nothing became worse."""
        return not self.worse and not self.findings


class NotRehearsedError(MwaaLocalError):
    """The second environment could not be made, so nothing was compared."""

    exit_code = 2
    id = "not-rehearsed"


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command()(rehearse)


def rehearse(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="VERSION", help="The Airflow version to go to.")],
    keep: Annotated[bool, typer.Option("--keep", help="Leave the second environment up.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for it to be healthy.")] = _TIMEOUT_S,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
) -> None:
    """Show what another Airflow version would change: a second environment with the same files and a copy of the data.

    The environment that runs goes on; DAGs of the smoke test run in both. Exit codes: 0 nothing is worse, 1 something
    is, 2 the rehearsal could not be made.
    """
    chosen = settings(context)
    environment, engine, addresses = chosen.running()
    if addresses is None:
        raise EngineError(f"{environment.name} does not run", where=str(environment.project), hint="mwaa-local up")
    if target == environment.version.airflow:
        raise UsageError(f"{environment.name} runs on Airflow {target} already", hint="name another version")
    other = rehearsal.environment_of(environment, target)
    second = chosen.choose(other).engine
    if second.name != engine.name:
        raise UsageError(f"{other.name} belongs to the {second.name} engine", hint=f"mwaa-local --engine {second.name}")
    same_major = catalog.series(target) == environment.version.series
    progress = output.StepProgress()
    try:
        with tempfile.TemporaryDirectory(prefix="mwaa-local-") as folder:
            copy = Path(folder, "database.sql.gz")
            try:
                up = rehearsal.bring_up(engine, second, other, copy, progress, timeout_s=timeout)
            except MwaaLocalError as error:
                raise NotRehearsedError(error.what, where=error.where, why=error.why, hint=error.hint) from error
        now = _seen(environment, engine, AirflowApi(addresses.web, environment.version.airflow), progress)
        then = _seen(other, second, AirflowApi(up.addresses.web, target), progress)
        failed = [error.what for error in verdicts(up.components)]
        compared = Comparison(
            now=now,
            then=then,
            worse=(*_worse(now, then), *failed),
            findings=_findings(environment, target, chosen.variables, progress),
            options=_options(environment, target),
            packages=_packages(environment.version, catalog.version(target)),
            warnings=tuple(warning for warning in up.warnings if warning not in failed),
            carried="a copy of the data was taken along" if same_major else "no data: each major has its own database",
        )
    finally:
        if not keep:
            with progress.step(f"removing {other.name}"):
                second.reset()
    if json:
        output.emit_json({"schema": "mwaa-local/rehearse/1", "passed": compared.passed, **asdict(compared)})
    else:
        _show(compared)
    raise typer.Exit(0 if compared.passed else 1)


def _seen(environment: Environment, engine: Engine, api: AirflowApi, progress: output.StepProgress) -> Seen:
    """Import errors, and how the DAGs of the smoke test ended."""
    version, local = environment.version.airflow, environment.local.smoke
    with progress.step(f"DAGs on {version}") as step:
        dags, errors = smoke_test.wait_until_parsed(api, environment.workflow.dags, local.dags, timeout_s=_PARSE_S)
        try:
            selected = smoke_test.choose(dags, local, (), None)
        except MwaaLocalError:
            selected = []  # none has the tag: then nothing is run
        results: list[RunResult] = []
        if selected:
            smoke_runs.run(
                api,
                selected,
                {},
                slots=environment.spec.min_workers * environment.spec.tasks_per_worker,
                timeout_s=float(local.timeout_seconds),
                on_result=results.append,
            )
        step.note(f"{len(dags)} DAGs, {len(errors)} import errors, {len(results)} runs")
    return Seen(
        version,
        {error.file: error.trace.strip().splitlines()[-1] if error.trace.strip() else "" for error in errors},
        {result.dag_id: result.state for result in results},
    )


def _worse(now: Seen, then: Seen) -> list[str]:
    by_name = {Path(file).name for file in now.import_errors}
    lines = [
        f"{file} cannot be imported: {why}"
        for file, why in then.import_errors.items()
        if Path(file).name not in by_name
    ]
    lines += [
        f"{dag} ends {state}, and success on {now.airflow_version}"
        for dag, state in then.runs.items()
        if state != "success" and now.runs.get(dag) == "success"
    ]
    gone = [dag for dag in now.runs if dag not in then.runs]
    return [*lines, *(f"{dag} is not there" for dag in gone)]


def _findings(
    environment: Environment, target: str, variables: Mapping[str, str], progress: output.StepProgress
) -> tuple[str, ...]:
    """Errors that ``validate --target`` sees on the target only."""
    from mwaa_local.preflight.findings import Severity, When
    from mwaa_local.preflight.run import Request, validate

    with progress.step(f"validate for {target}") as step:
        flags = {"AirflowVersion": environment.version.airflow, "Name": environment.name}
        report = validate(Request(environment.project, target=target, flags=flags, variables=variables))
        found = [
            f"{one.rule.id} {one.path}:{one.line} {one.message}"
            for one in report.findings
            if one.when is When.TARGET and one.severity is Severity.ERROR
        ]
        step.note(f"{len(found)} errors that are not there today")
    return tuple(found)


def _options(environment: Environment, target: str) -> tuple[str, ...]:
    """Options of the definition that the target calls otherwise, or does not have."""
    names, known = option_names(target), airflow_defaults(target)
    new_of = {old: new for new, old in names.renamed.items()}
    was = airflow_defaults(environment.version.airflow)
    lines = []
    for option in environment.spec.options:
        if option in new_of:
            lines.append(f"{option} is called {new_of[option]} there; the old name still counts")
        elif option not in known and option in was:
            lines.append(f"{option} is gone there: it has no effect")
    return tuple(lines)


def _packages(now: catalog.Version, then: catalog.Version) -> dict[str, tuple[str, str]]:
    names = sorted({*now.packages, *then.packages})
    pairs = {name: (now.packages.get(name, ""), then.packages.get(name, "")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _show(found: Comparison) -> None:
    before, after = found.now.airflow_version, found.then.airflow_version
    _list(f"worse on {after}", found.worse)
    _list(f"errors of validate on {after} only", found.findings)
    _list("configuration options", found.options)
    _list("told at its start", found.warnings)
    shown = [f"{name} {old or '-'} -> {new or '-'}" for name, (old, new) in found.packages.items()]
    rest = len(shown) - _SHOWN
    _list(f"packages of the image, {len(shown)} differ", [*shown[:_SHOWN], *([f"and {rest} more"] if rest > 0 else [])])
    runs = f"{sum(state == 'success' for state in found.then.runs.values())} of {len(found.then.runs)} runs succeeded"
    verdict = "nothing is worse" if found.passed else "not as it was"
    output.out.print(f"{before} -> {after}: {verdict}; {found.carried}; {runs}", markup=False, highlight=False)


def _list(title: str, lines: Sequence[Any]) -> None:
    if lines:
        output.out.print(f"{title}:", markup=False)
        for line in lines:
            output.out.print(f"  {line}", markup=False, highlight=False)
