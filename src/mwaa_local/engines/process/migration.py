"""A migration of the metadata database, run for a server that lives as long as that takes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from mwaa_local.engines.process import postgres
from mwaa_local.errors import EngineError
from mwaa_local.ground import processes

_KEPT = 12  # tail of the migration's output that goes into an error


def run(
    words: Sequence[str], variables: Mapping[str, str], folder: Path, *, log: Path, seconds: float, failed: str
) -> None:
    """Run it to its end.

    Args:
        words: The command.
        variables: All it gets.
        folder: Where it runs.
        log: Takes its output.
        seconds: Limit in seconds.
        failed: What to say if it fails.

    Raises:
        EngineError: It did, with its last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            postgres.launched("same", words, parent=os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(variables),
            cwd=str(folder),
            start_new_session=True,
        )
        try:
            code = child.wait(seconds)
        except BaseException:
            processes.kill(processes.tree([child.pid]))
            child.wait(10)
            raise
    if code != 0:
        tail = log.read_text(errors="replace").splitlines()[-_KEPT:]
        raise EngineError(
            f"{failed} (exit code {code})",
            where=str(log),
            why="\n".join(tail),
            hint="run `make up` again; if it fails again, `mwaa-local doctor`",
        )
