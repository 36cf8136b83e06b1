"""A package set made in a container of its own, with the worker's variables and folders, while the worker runs on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mwaa_local.engines import ahead
from mwaa_local.engines.docker import apart, commands
from mwaa_local.engines.docker.client import Docker
from mwaa_local.engines.docker.plan import Made
from mwaa_local.engines.protocol import Progress
from mwaa_local.runtime.ahead import EXPORTS


def make(docker: Docker, made: Made, folder: Path, exports: Mapping[str, str], progress: Progress) -> Mapping[str, Any]:
    """Have the worker's package set made, or found made, in the volume that all components use.

    Args:
        docker: The client.
        made: What the components shall be; none of it is written where the next ``up`` would take it for applied.
        folder: For the file that Compose needs meanwhile.
        exports: What the startup script exported in the worker that runs.
        progress: Shows the installer's lines.

    Returns:
        The member ``requirements`` of ``status.json`` that a boot would write.

    Raises:
        MwaaLocalError: The container could not be run.
    """
    variables = {**made.variables, EXPORTS: json.dumps(dict(exports))}
    with apart.composed(made, folder, "ahead") as words, progress.step(ahead.STEP) as step:
        words += [*apart.run_words(made, "packages", [EXPORTS]), "--entrypoint", commands.PYTHON, ahead.COMPONENT]
        words += ["-m", "mwaa_local.runtime", "packages", ahead.COMPONENT]
        return ahead.read(commands.told(docker, words, variables, step.note, timeout_s=ahead.SECONDS))
