"""The commands and the options they share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mwaa_local import __version__
from mwaa_local.cli import (
    config,
    doctor,
    everywhere,
    inside,
    inspect,
    lifecycle,
    output,
    package,
    rehearse,
    smoke,
    validate,
)
from mwaa_local.cli.context import Settings


class _Commands(TyperGroup):
    """Ends that Typer would pass over without a word, which looks like a success in a terminal."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except KeyboardInterrupt:
            output.note("interrupted")
            raise typer.Exit(130) from None
        except BrokenPipeError as error:
            # `| head` ends the command quietly, as with every other tool; not by the signal, which would also end it
            # for a child that reads no input or a server that hangs up, and would leave behind what was begun.
            if not output.reader_gone():
                raise RuntimeError(f"a child or a server closed the connection: {error}") from error
            raise typer.Exit(141) from None


app = typer.Typer(
    cls=_Commands,
    help="Amazon MWAA on your own machine. stdout is the result, stderr the progress.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mwaa-local {__version__}")
        raise typer.Exit


@app.callback()
def shared(
    context: typer.Context,
    project: Annotated[Path, typer.Option(help="Folder with mwaa.yaml and the workflow files.")] = Path(),
    name: Annotated[
        str | None, typer.Option(help="Another environment of the project; beats Name in mwaa.yaml.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="auto, docker or process; beats mwaa.yaml.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Options every command shares; :mod:`mwaa_local.cli.everywhere` gives them to each."""
    del version  # already acted on
    if debug:
        output.show_tracebacks()
    context.obj = Settings(project=project, flags={"Local.Engine": engine, "Name": name}, variables=dict(os.environ))


for _group in (lifecycle, inspect, config, inside, smoke, rehearse, validate, package, doctor):
    _group.register(app)


def command() -> TyperGroup:
    """The whole command line, ready to be called."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup), "it has more than one command"
    return everywhere.spread(group)
