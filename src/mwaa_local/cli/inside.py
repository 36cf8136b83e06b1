"""Commands that run inside a component."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mwaa_local.cli.context import settings
from mwaa_local.engines.protocol import Engine
from mwaa_local.errors import EngineError

# Everything from the first word on is Airflow's, whatever it looks like.
_PASS_ON = {
    "allow_extra_args": True,
    "allow_interspersed_args": False,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


def register(app: typer.Typer) -> None:
    """Mount the commands."""
    app.command()(shell)
    app.command(context_settings=_PASS_ON)(airflow)


def _running(context: typer.Context) -> Engine:
    chosen = settings(context)
    environment = chosen.environment()
    engine = chosen.choose(environment).engine
    if engine.addresses() is None:
        raise EngineError(f"{environment.name} does not run", where=str(environment.project), hint="mwaa-local up")
    return engine


def shell(
    context: typer.Context,
    component: Annotated[str, typer.Argument(help="scheduler, worker or webserver.")] = "worker",
    command: Annotated[str | None, typer.Option("-c", help="Run this instead of an interactive shell.")] = None,
) -> None:
    """A bash shell in a component, with its files, variables and packages."""
    engine = _running(context)
    argv = ["bash", "-c", command] if command else ["bash"]
    raise typer.Exit(engine.run(component, argv, interactive=command is None and sys.stdin.isatty()))


def airflow(context: typer.Context) -> None:
    """Run the Airflow command line in the environment: mwaa-local airflow dags list. Its exit code is kept."""
    engine = _running(context)
    raise typer.Exit(engine.run("scheduler", ["airflow", *context.args], interactive=sys.stdin.isatty()))
