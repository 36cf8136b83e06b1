"""Packages that a startup script, or a task, installs with pip: the component's own, gone with its next start.

``mwaa_airflow/sitecustomize.py`` sends them there and lets Python find them, in both engines alike.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from mwaa_local.runtime.inputs import RuntimeInputs

# As mwaa_airflow.sitecustomize has it.
FOLDER = ".container-packages"


def clear(inputs: RuntimeInputs) -> None:
    """Begin without any, as a container of MWAA does."""
    shutil.rmtree(inputs.home / FOLDER, ignore_errors=True)


def commands(inputs: RuntimeInputs) -> str:
    """The folder of their commands, as it is seen; on MWAA they lie in ``.local/bin``."""
    return f"{inputs.visible_home / FOLDER}/bin"


def with_commands(inputs: RuntimeInputs, path: str) -> str:
    """PATH with their commands first, if there are any."""
    return f"{commands(inputs)}:{path}" if (inputs.home / FOLDER / "bin").is_dir() else path


def installed(inputs: RuntimeInputs) -> dict[str, str]:
    """Names and versions of what is there."""
    return {name: version for name, version, _ in _found(inputs)}


def give_way(inputs: RuntimeInputs, names: Iterable[str]) -> list[str]:
    """Remove what requirements.txt installs, too: on MWAA its version comes later and stays. The names removed."""
    wanted = {canonicalize_name(name) for name in names}
    gone = []
    for name, _, info in list(_found(inputs)):
        if name not in wanted:
            continue
        gone.append(name)
        try:
            files = [line.rsplit(",", 2)[0] for line in (info / "RECORD").read_text(encoding="utf-8").splitlines()]
        except OSError:
            files = []
        root = (inputs.home / FOLDER).resolve()
        for file in files:
            place = (info.parent / file.strip('"')).resolve()
            if place.is_relative_to(root):
                place.unlink(missing_ok=True)
        shutil.rmtree(info, ignore_errors=True)
    return gone


def _found(inputs: RuntimeInputs) -> Iterator[tuple[str, str, Path]]:
    for info in sorted((inputs.home / FOLDER).glob("lib/python3.*/site-packages/*.dist-info")):
        match = re.fullmatch(r"(.+)-([^-]+)\.dist-info", info.name)
        if match:
            yield canonicalize_name(match.group(1)), match.group(2), info
