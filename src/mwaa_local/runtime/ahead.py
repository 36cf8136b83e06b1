"""The package set of a component, made before the component that shall use it is started.

``python -m mwaa_local.runtime packages COMPONENT`` runs with the component's variables, touches nothing of one that
runs, and prints the verdict as one JSON document, its lines to stderr. The boot keeps the last word: a startup script
may export what changes pip. What the script exported in a component that runs is given in ``MWAA_LOCAL__EXPORTS``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mwaa_local.catalog import limits
from mwaa_local.errors import MachineError
from mwaa_local.runtime import environment, package_set
from mwaa_local.runtime.inputs import RuntimeInputs
from mwaa_local.runtime.package_set import InstalledSet
from mwaa_local.runtime.reading import read_inputs

EXPORTS = "MWAA_LOCAL__EXPORTS"


def verdict(component: str, variables: Mapping[str, str], emit: Callable[[str], None]) -> dict[str, Any]:
    """Make the set, or find it made; the member ``requirements`` of ``status.json`` that the boot would write.

    Args:
        component: ``worker``, say.
        variables: The component's own.
        emit: Takes the installer's lines.

    Raises:
        MachineError: The base set is not installed, or the disk is full.
    """
    exports = json.loads(variables.get(EXPORTS) or "{}")
    inputs = read_inputs(component, {name: value for name, value in variables.items() if name != EXPORTS})
    if not (inputs.base_set / "bin" / "python").exists():
        raise MachineError(
            f"Airflow {inputs.version.airflow} is not installed", where=str(inputs.base_set), hint="run `mwaa-local up`"
        )
    file, places = _files(inputs)
    if not package_set.asks_for_something(file):
        return {"verdict": package_set.NONE}
    # Nothing is linked into place here: what a variable names below `.local` is in the base set.
    local = f"{inputs.visible_home}/.local/"
    merged = {
        name: str(inputs.base_set / value.removeprefix(local)) if value.startswith(local) else value
        for name, value in environment.effective(inputs, exports or None).variables.items()
    }
    start = InstalledSet(inputs.base_set, {"verdict": package_set.NONE})
    return dict(package_set.make(inputs, merged, emit, start, file, places).verdict)


def _files(inputs: RuntimeInputs) -> tuple[Path, dict[str, Path]]:
    """The requirements file, and the folders that its lines may name: the workspace's, or those of the image."""
    home = limits().home
    given = inputs.workflow.get("requirements")
    if given is None:
        return inputs.home / "requirements" / "requirements.txt", {home: inputs.home}
    places = {f"{home}/{name}": Path(inputs.workflow[name]) for name in ("dags", "plugins") if name in inputs.workflow}
    return Path(given), {**places, f"{home}/requirements": Path(given).parent}
