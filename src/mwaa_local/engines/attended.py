"""A command that a person, or a script, waits for: their input, their Ctrl-C, its exit code."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO


def run(
    words: Sequence[str],
    *,
    variables: Mapping[str, str],
    folder: Path | str,
    interactive: bool,
    stdin: IO[bytes] | Path | None,
) -> int:
    """Run it to its end.

    Args:
        words: The command.
        variables: All it gets.
        folder: Where it runs.
        interactive: Whether a person types into it.
        stdin: What it reads; the caller's own input when not given.

    Returns:
        Its exit code; 128 and the signal's number when a signal ended it, as a shell would say.
    """
    source = stdin.open("rb") if isinstance(stdin, Path) else stdin
    # Ctrl-C is for the command: it decides whether to end, and its exit code is the answer.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if interactive else None
    try:
        code = subprocess.Popen(list(words), env=dict(variables), cwd=str(folder), stdin=source).wait()
    finally:
        if interactive:
            signal.signal(signal.SIGINT, before)
        if isinstance(stdin, Path) and source is not None:
            source.close()
    return code if code >= 0 else 128 - code
