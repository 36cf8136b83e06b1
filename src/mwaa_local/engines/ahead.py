"""Package sets are made before the components that run are stopped: what cannot be resolved must not cost what works.

An engine asks :func:`wanted` with what runs, has the set made where the components will look for it, and gives the
verdict to :func:`refuse`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mwaa_local.engines.plan import Plan
from mwaa_local.engines.verdicts import refused
from mwaa_local.errors import EngineError
from mwaa_local.workflow.revision import REQUIREMENTS, STARTUP

COMPONENT = "worker"
STEP = "packages of requirements.txt"
SECONDS = 3600.0


def wanted(before: Plan | None, digests: Mapping[str, str], version: str) -> bool:
    """Whether what runs would be started anew with other requirements than it has.

    Args:
        before: The plan of what runs; ``None`` for nothing.
        digests: The workflow files of now.
        version: The Airflow version of now.
    """
    item = before.component(COMPONENT) if before is not None else None
    if before is None or item is None or REQUIREMENTS not in digests:
        return False
    same_version = before.facts.get("airflow_version") == version
    same_script = item.inputs.get(STARTUP) == digests.get(STARTUP)
    if not same_script or (STARTUP in digests and not same_version):
        return False  # what the script exports may change pip, and it has not run yet: the boot will tell
    return not same_version or item.inputs.get(REQUIREMENTS) != digests[REQUIREMENTS]


def read(text: str) -> Mapping[str, Any]:
    """The verdict that ``mwaa_local.runtime packages`` printed.

    Raises:
        EngineError: It printed something else.
    """
    lines = text.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or "verdict" not in found:
        raise EngineError(
            "the package set could not be made ahead", why=text.strip()[-500:], hint="mwaa-local up again"
        )
    return found


def refuse(verdict: Mapping[str, Any]) -> None:
    """Leave what runs as it is where the requirements cannot be had.

    Raises:
        RequirementsError: They cannot.
    """
    if verdict["verdict"] == "failed":
        raise refused(verdict)
