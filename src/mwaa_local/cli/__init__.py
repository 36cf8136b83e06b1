"""The command line: thin, one module per group of commands."""

from __future__ import annotations

import os

from mwaa_local.cli import output
from mwaa_local.errors import MwaaLocalError


def main() -> None:
    """Entry point of ``mwaa-local``: the one place where an exception becomes text and an exit code.

    Exit codes: 0 good, 1 failed, 2 wrong use or a definition MWAA refuses, 130 interrupted, 141 nobody reads stdout any
    more; a child's own code passes through.
    """
    if os.environ.get("MWAA_LOCAL_DEBUG"):
        output.show_tracebacks()
    try:
        from mwaa_local.cli.app import command

        command()(prog_name="mwaa-local")
    except MwaaLocalError as error:
        output.show_error(error, debug=output.tracebacks_shown())
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        output.note("interrupted")
        raise SystemExit(130) from None
    except Exception as error:
        if output.tracebacks_shown():
            raise
        output.show_unexpected(error)
        raise SystemExit(1) from None
