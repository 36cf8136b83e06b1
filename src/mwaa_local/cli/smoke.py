"""The CI smoke test of a project's DAGs."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mwaa_local.cli import lifecycle, output
from mwaa_local.cli.context import Settings, settings
from mwaa_local.engines.protocol import Engine
from mwaa_local.errors import MwaaLocalError, UsageError
from mwaa_local.model import Environment
from mwaa_local.observability import smoke as smoke_test
from mwaa_local.observability import smoke_runs
from mwaa_local.observability.airflow_api import AirflowApi
from mwaa_local.observability.smoke_results import RunResult, SmokeResult, as_junit

# Of the scheduler's output, enough to reach back to a task of this test.
_SCHEDULER_LINES = 5000


class NotMadeError(MwaaLocalError):
    """The environment did not come up, so nothing was tested."""

    exit_code = 2
    id = "smoke-not-made"


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command()(smoke)


def smoke(
    context: typer.Context,
    dag: Annotated[list[str] | None, typer.Option(help="A DAG to run; repeat for more.")] = None,
    tag: Annotated[str | None, typer.Option(help="Run every DAG with this tag.")] = None,
    conf: Annotated[str, typer.Option(help="JSON object given to every run.")] = "{}",
    timeout: Annotated[float | None, typer.Option(help="Seconds for all runs together.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the environment up.")] = False,
    airflow_version: Annotated[str | None, typer.Option(help="Airflow version; beats mwaa.yaml.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
) -> None:
    """Bring the environment up, fail on any DAG import error, run DAGs and wait for them.

    Paused DAGs stay paused, and no run of a schedule arises from the test.
    Exit codes: 0 all succeeded, 1 something failed, 2 the test could not be made.
    """
    values = _conf(conf)
    chosen = settings(context)
    environment = chosen.environment(AirflowVersion=airflow_version)
    engine = chosen.choose(environment).engine
    was_running = engine.addresses() is not None
    limit = timeout or float(environment.local.smoke.timeout_seconds)
    result = SmokeResult()
    runs: list[RunResult] = []

    def note(run: RunResult) -> None:
        runs.append(run)
        _show_run(run)

    try:
        try:
            wanted = environment if was_running else _without_schedules(environment)
            up, engine, _ = lifecycle.bring_up(chosen, wanted, timeout_s=lifecycle.DEFAULT_TIMEOUT_S)
        except MwaaLocalError as error:
            result = SmokeResult(problems=(str(error),))
            raise NotMadeError(error.what, where=error.where, why=error.why, hint=error.hint) from error
        problems = [] if environment.local.allow_failed_requirements else [str(verdict) for verdict in up.verdicts]
        result = SmokeResult(problems=tuple(problems))
        api = AirflowApi(up.addresses.web, environment.version.airflow)
        progress = output.StepProgress()
        begin = time.monotonic()
        with progress.step("parsing DAGs") as step:
            names = dag or environment.local.smoke.dags
            dags, errors = smoke_test.wait_until_parsed(
                api, environment.workflow.dags, names, timeout_s=min(limit, 120)
            )
            step.note(f"{len(dags)} DAGs, {len(errors)} import errors")
        result = SmokeResult(tuple(errors), problems=tuple(problems))
        if not errors or dag:
            selected = smoke_test.choose(dags, environment.local.smoke, dag or (), tag)
            with progress.step(f"running {len(selected)} DAGs"):
                smoke_runs.run(
                    api,
                    selected,
                    values,
                    slots=environment.spec.min_workers * environment.spec.tasks_per_worker,
                    timeout_s=max(1.0, limit - (time.monotonic() - begin)),
                    on_result=note,
                    scheduler_lines=lambda: engine.logs("scheduler", follow=False, lines=_SCHEDULER_LINES),
                )
        result = SmokeResult(tuple(errors), tuple(runs), tuple(problems))
    except MwaaLocalError as error:
        if not isinstance(error, NotMadeError):
            # What is known by now is reported; the error itself ends the command.
            result = SmokeResult(result.import_errors, tuple(runs), (*result.problems, str(error)))
        raise
    finally:
        try:
            if junit:
                output.write_atomically(junit, as_junit(result))
        finally:
            if not was_running:
                _leave(chosen, environment, engine, keep=keep)
    if json:
        output.emit_json(result.as_dict())
    _show(result, quiet=json)
    raise typer.Exit(0 if result.passed else 1)


def _without_schedules(environment: Environment) -> Environment:
    """The environment with no run but those that the test triggers.

    Also a DAG that is not paused when it is created gets no run of its schedule then, so that none takes a worker.
    """
    return environment.having(options={**environment.spec.options, "scheduler.use_job_schedule": "False"})


def _leave(chosen: Settings, environment: Environment, engine: Engine, *, keep: bool) -> None:
    """Take down what the test brought up, or give it the schedules back."""
    if not keep:
        with output.StepProgress().step("taking the environment down"):
            engine.down(timeout_s=60)
    elif engine.addresses() is not None:
        output.note("schedules begin now, as the definition says")
        lifecycle.bring_up(chosen, environment, timeout_s=lifecycle.DEFAULT_TIMEOUT_S)


def _conf(text: str) -> dict[str, Any]:
    try:
        values = json_module.loads(text)
    except ValueError as error:
        raise UsageError("--conf is not JSON", why=str(error), hint="""--conf '{"key": "value"}'""") from error
    if not isinstance(values, dict):
        raise UsageError("--conf must be a JSON object", hint="""--conf '{"key": "value"}'""")
    return values


def _show_run(run: RunResult) -> None:
    output.note(f"  {run.dag_id}: {run.state} after {run.seconds:.1f} s")
    if run.state != "success" and not run.failed_tasks:
        output.note(f"    {run.causes[0]}")
        _show_lines("the scheduler's lines about it:", run.scheduler_lines)
    for task in run.failed_tasks:
        output.note(f"    {task.cause}")
        _show_lines(f"{task.task_id} is {task.state}; the last lines of its log:", task.log_tail)
        _show_lines("its log is empty; the scheduler's lines about it:", task.scheduler_lines)


def _show_lines(title: str, lines: Sequence[str]) -> None:
    if lines:
        output.note(f"    {title}")
        for line in lines:
            output.note(f"      {line}")


def _show(result: SmokeResult, *, quiet: bool) -> None:
    for error in result.import_errors:
        last = error.trace.strip().splitlines()[-1:] or [""]
        output.err.print(f"import error: {error.file}: {last[0]}", style="red", markup=False)
    for problem in result.problems:
        output.err.print(problem, style="red", markup=False)
    if not quiet:
        good = sum(run.state == "success" for run in result.runs)
        words = "passed" if result.passed else "failed"
        output.out.print(
            f"smoke {words}: {good} of {len(result.runs)} runs succeeded, {len(result.import_errors)} import errors"
        )
        for run in result.runs:
            if run.state != "success":
                for cause in run.causes:
                    output.out.print(f"  {run.dag_id}: {cause}", markup=False)
