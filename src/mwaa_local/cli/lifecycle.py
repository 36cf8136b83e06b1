"""Start, stop, restart, wipe."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel

from mwaa_local.cli import output
from mwaa_local.cli.context import Settings, settings
from mwaa_local.engines import lifecycle, names
from mwaa_local.engines.protocol import ComponentState, Engine, UpResult
from mwaa_local.errors import EngineError, UsageError
from mwaa_local.model import Environment

DEFAULT_TIMEOUT_S = 300.0


def register(app: typer.Typer) -> None:
    """Mount the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(restart)
    app.command()(scale)
    app.command()(reset)


def up(
    context: typer.Context,
    airflow_version: Annotated[str | None, typer.Option(help="Airflow version; beats mwaa.yaml.")] = None,
    allow_failed_requirements: Annotated[
        bool | None,
        typer.Option("--allow-failed-requirements", help="End with 0 although requirements failed, as MWAA would."),
    ] = None,
    allow_unsupported: Annotated[
        bool | None,
        typer.Option(
            "--allow-unsupported", help="Run a version whose support on MWAA has ended (mwaa-local versions)."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for every component to be healthy.")
    ] = DEFAULT_TIMEOUT_S,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
) -> None:
    """Start the environment, or apply what changed since it was started."""
    chosen = settings(context)
    environment = chosen.environment(
        **{
            "AirflowVersion": airflow_version,
            "Local.AllowFailedRequirements": allow_failed_requirements,
            "Local.AllowUnsupported": allow_unsupported,
        }
    )
    result, engine, seconds = bring_up(chosen, environment, timeout_s=timeout)
    if json:
        output.emit_json(up_document(environment, engine, result, seconds))
    else:
        _show(environment, engine, result, seconds)
    for verdict in result.verdicts:
        output.show_error(verdict)
    if result.verdicts and not environment.local.allow_failed_requirements:
        raise typer.Exit(1)


def bring_up(chosen: Settings, environment: Environment, *, timeout_s: float) -> tuple[UpResult, Engine, float]:
    """Run ``up`` in the engine that fits; returns its result, the engine, and the seconds it took."""
    begin = time.monotonic()
    choice = chosen.choose(environment)
    output.note(
        f"{environment.name}: Airflow {environment.version.airflow}, {choice.engine.name} engine ({choice.reason})"
    )
    if environment.workflow.plugins_choice:
        output.warn(environment.workflow.plugins_choice)
    progress = output.StepProgress()
    lifecycle.refuse_unsupported(choice.engine, environment)
    choice.engine.prepare(environment, progress)
    result = lifecycle.up(choice.engine, environment, progress, timeout_s=timeout_s)
    for warning in result.warnings:
        output.warn(warning)
    return result, choice.engine, time.monotonic() - begin


def component_document(component: ComponentState) -> dict[str, Any]:
    """One component for ``--json`` readers."""
    return {
        "name": component.name,
        "level": "site" if component.site else "environment",
        "state": component.state,
        "pid": component.pid,
        "started_at": component.started_at,
        "uptime_seconds": round(time.time() - component.started_at, 1) if component.started_at else None,
        "restarts": component.restarts,
        "memory_bytes": component.memory_bytes,
        "detail": component.detail,
        "crash": (component.status or {}).get("crash"),
        "runtime": component.status,
    }


def up_document(environment: Environment, engine: Engine, result: UpResult, seconds: float) -> dict[str, Any]:
    """The document of ``up --json``."""
    return {
        "schema": "mwaa-local/up/1",
        "name": environment.name,
        "airflow_version": environment.version.airflow,
        "engine": engine.name,
        "seconds": round(seconds, 2),
        "steps": result.seconds,
        "changes": result.changes,
        "web": result.addresses.web,
        "aws": result.addresses.aws,
        "bucket": result.addresses.bucket,
        "components": [component_document(component) for component in result.components],
        "verdicts": [verdict.as_dict() for verdict in result.verdicts],
        "warnings": [*filter(None, [environment.workflow.plugins_choice]), *result.warnings],
    }


def _show(environment: Environment, engine: Engine, result: UpResult, seconds: float) -> None:
    for change in result.changes:
        output.note(f"  {change}")
    if not result.changes:
        output.note("  nothing had changed")
    logs = environment.state / "logs"
    lines = [
        f"Airflow     [bold]{result.addresses.web}[/]   (Admin, no password, this machine only)",
        f'AWS         [bold]{result.addresses.aws}[/]   point a client at it: eval "$(mwaa-local env)"',
        f"Bucket      {result.addresses.bucket}",
        "Logs        mwaa-local logs [COMPONENT], mwaa-local logs task DAG"
        + (f"; files in {escape(str(logs))}" if engine.name == "process" else ""),
        "Next        mwaa-local status, mwaa-local smoke, mwaa-local down",
    ]
    title = f"{environment.name} is up: Airflow {environment.version.airflow}, {seconds:.1f} s"
    if output.out.is_terminal:
        output.out.print(Panel("\n".join(lines), title=title, expand=False))
    else:  # a frame would cut addresses at the width of no terminal
        output.out.print("\n".join([title, *lines]))


def down(
    context: typer.Context,
    timeout: Annotated[float, typer.Option(help="Seconds running tasks get to finish.")] = 100.0,
    keep_site: Annotated[
        bool, typer.Option("--keep-site", help="Leave the AWS endpoint running, which stops with its last environment.")
    ] = False,
) -> None:
    """Stop the environment and keep its data."""
    chosen = settings(context)
    environment = chosen.environment()
    engine = chosen.choose(environment).engine
    with output.StepProgress().step(f"stopping {environment.name}"):
        engine.down(timeout_s=timeout, keep_site=keep_site)


def restart(
    context: typer.Context,
    component: Annotated[
        str | None, typer.Argument(help="scheduler, worker, webserver; all of them when left out.")
    ] = None,
) -> None:
    """Restart a component, or all three Airflow components."""
    chosen = settings(context)
    environment = chosen.environment()
    engine = chosen.choose(environment).engine
    if engine.addresses() is None:
        raise EngineError(f"{environment.name} does not run", where=str(environment.project), hint="mwaa-local up")
    known = [state.name for state in engine.components()]
    airflow = [name for name in known if names.kind(name) in names.AIRFLOW]
    if component is not None and component not in known:
        raise UsageError(f"no component {component!r}", why=f"components: {', '.join(known)}", hint="name one of them")
    progress = output.StepProgress()
    for name in [component] if component else airflow:
        engine.restart(name, progress)


def scale(
    context: typer.Context,
    workers: Annotated[int, typer.Argument(help="How many workers, from 1 to MaxWorkers.")],
    timeout: Annotated[float, typer.Option(help="Seconds to wait for new workers to be healthy.")] = DEFAULT_TIMEOUT_S,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
) -> None:
    """Have more or fewer workers, as MWAA's autoscaling would; one with a running task is kept."""
    chosen = settings(context)
    environment = chosen.environment()
    engine = chosen.choose(environment).engine
    begin = time.monotonic()
    result = lifecycle.scale(engine, workers, output.StepProgress(), timeout_s=timeout)
    for warning in result.warnings:
        output.warn(warning)
    if json:
        output.emit_json(up_document(environment, engine, result, time.monotonic() - begin))
        return
    for change in result.changes or ["nothing had changed"]:
        output.note(f"  {change}")
    running = [one.name for one in result.components if names.kind(one.name) == "worker"]
    output.out.print(f"{len(running)} worker{'s' if len(running) > 1 else ''}: {', '.join(running)}")


def reset(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the environment and wipe its data: database, objects, queues, logs."""
    chosen = settings(context)
    environment = chosen.environment()
    if not yes:
        if not typer.get_text_stream("stdin").isatty():
            raise UsageError(
                "reset wipes data and nobody can be asked here", hint="mwaa-local reset --yes (make reset FORCE=1)"
            )
        typer.confirm(f"Wipe database, bucket, queues and logs of {environment.name}?", abort=True, err=True)
    engine = chosen.choose(environment).engine
    with output.StepProgress().step(f"wiping {environment.name}"):
        engine.reset()
