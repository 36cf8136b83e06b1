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

# Read by mwaa_airflow.log_to_stderr, in the command's own process.
_LOG_TO_STDERR = "MWAA_LOCAL__LOG_TO_STDERR"


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
    """Run the Airflow command line in the environment: mwaa-local airflow dags list. Its exit code is kept.

    Airflow's log lines go to stderr, so that stdout is the answer: mwaa-local airflow dags list -o json | jq.
    """
    engine = _running(context)
    words = ["env", f"{_LOG_TO_STDERR}=true", "airflow", *context.args]
    raise typer.Exit(engine.run("scheduler", words, interactive=sys.stdin.isatty()))
