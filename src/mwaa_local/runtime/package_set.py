"""The package set a component runs from: the version's base set, or one with the user's requirements on top."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mwaa_local.errors import MachineError
from mwaa_local.runtime import files
from mwaa_local.runtime.inputs import RuntimeInputs


@dataclass(frozen=True)
class PackageSet:
    """An installed set, linked into place as ``.local``; ``verdict`` is the member ``requirements`` of ``status.json``."""

    folder: Path
    verdict: Mapping[str, Any]


def base(inputs: RuntimeInputs) -> PackageSet:
    """The version's own set, linked as ``.local``.

    Raises:
        MachineError: it is not installed.
    """
    folder = inputs.base_set
    if not (folder / "bin" / "python").exists():
        raise MachineError(
            f"Airflow {inputs.version.airflow} is not installed",
            where=str(folder),
            hint="run `mwaa-local up`, which installs it",
        )
    files.point(inputs.home / ".local", folder)
    return PackageSet(folder, {"verdict": "none"})


def prepare(
    inputs: RuntimeInputs, variables: Mapping[str, str], emit: Callable[[str], None], base_set: PackageSet
) -> PackageSet:
    return base_set
