"""The CI smoke test of a project's DAGs."""

from __future__ import annotations

import json as json_module
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mwaa_local.cli import lifecycle, output
from mwaa_local.cli.context import settings
from mwaa_local.errors import MwaaLocalError, UsageError
from mwaa_local.observability import smoke as smoke_test
from mwaa_local.observability.airflow_api import AirflowApi
from mwaa_local.observability.smoke import RunResult, SmokeResult


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

    Exit codes: 0 all succeeded, 1 something failed, 2 the test could not be made.
    """
    values = _conf(conf)
    chosen = settings(context)
    environment = chosen.environment(AirflowVersion=airflow_version)
    engine = chosen.choose(environment).engine
    was_running = engine.addresses() is not None
    limit = timeout or float(environment.local.smoke.timeout_seconds)
    result = SmokeResult()
    try:
        try:
            up, engine, _ = lifecycle.bring_up(chosen, environment, timeout_s=lifecycle.DEFAULT_TIMEOUT_S)
        except MwaaLocalError as error:
            result = SmokeResult(problems=(str(error),))
            raise NotMadeError(error.what, where=error.where, why=error.why, hint=error.hint) from error
        problems = [] if environment.local.allow_failed_requirements else [str(verdict) for verdict in up.verdicts]
        api = AirflowApi(up.addresses.web, environment.version.major)
        progress = output.StepProgress()
        begin = time.monotonic()
        with progress.step("parsing DAGs") as step:
            names = dag or environment.local.smoke.dags
            dags, errors = smoke_test.wait_until_parsed(
                api, environment.workflow.dags, names, timeout_s=min(limit, 120)
            )
            step.note(f"{len(dags)} DAGs, {len(errors)} import errors")
        runs: list[RunResult] = []
        if not errors or dag:
            selected = smoke_test.choose(dags, environment.local.smoke, dag or (), tag)
            with progress.step(f"running {len(selected)} DAGs"):
                runs = smoke_test.run(
                    api, selected, values, timeout_s=max(1.0, limit - (time.monotonic() - begin)), on_result=_show_run
                )
        result = SmokeResult(tuple(errors), tuple(runs), tuple(problems))
    except UsageError as error:
        result = SmokeResult(problems=(str(error),))
        raise
    finally:
        if junit:
            smoke_test.write_junit(result, junit)
        if not was_running and not keep:
            with output.StepProgress().step("taking the environment down"):
                engine.down(timeout_s=60)
    if json:
        output.emit_json(result.as_dict())
    _show(result, quiet=json)
    raise typer.Exit(0 if result.passed else 1)


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
    for task in run.failed_tasks:
        output.note(f"    {task.cause}")
        output.note(f"    {task.task_id} is {task.state}; its last lines:")
        for line in task.log_tail:
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
                causes = [task.cause for task in run.failed_tasks] or [f"ended {run.state}"]
                for cause in causes:
                    output.out.print(f"  {run.dag_id}: {cause}", markup=False)
