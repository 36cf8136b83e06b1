"""Running programs in the Docker tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run(
    command: Sequence[str], *, check: bool = True, limit: float = 900, **extra: object
) -> subprocess.CompletedProcess[str]:
    """Run a program; with its output in the failure's text."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, cwd=ROOT, **extra)  # type: ignore[call-overload]
    if check and done.returncode:
        pytest.fail(
            f"{' '.join(command[:6])} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done


def ca_arguments() -> list[str]:
    """The build's secret, where this machine's own programs are told of a CA bundle."""
    bundle = os.environ.get("SSL_CERT_FILE", "")
    return ["--secret", f"id=ca,src={Path(bundle).resolve()}"] if bundle and Path(bundle).is_file() else []
