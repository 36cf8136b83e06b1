"""The package set a component runs from: the version's base set, or one with the user's requirements on top.

Whatever happens to ``requirements.txt``, there is a set to start Airflow from, as on MWAA (spec/10 section 4.2); what
went wrong is the verdict in ``status.json``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mwaa_local.catalog import limits
from mwaa_local.errors import MachineError, RequirementsError
from mwaa_local.runtime import files
from mwaa_local.runtime.inputs import RuntimeInputs

NONE, OK, FAILED = "none", "ok", "failed"

_TAIL_LINES = 30


@dataclass(frozen=True)
class InstalledSet:
    """A set linked into place as ``.local``; ``verdict`` is the member ``requirements`` of ``status.json``."""

    folder: Path
    verdict: Mapping[str, Any]


def base(inputs: RuntimeInputs) -> InstalledSet:
    """The version's own set, linked as ``.local``.

    Raises:
        MachineError: it is not installed.
    """
    folder = inputs.base_set
    if not (folder / "bin" / "python").exists():
        what = f"Airflow {inputs.version.airflow} is not installed"
        raise MachineError(what, where=str(folder), hint="run `mwaa-local up`, which installs it")
    if files.point(inputs.home / ".local", folder):
        _register(inputs)
    return InstalledSet(folder, {"verdict": NONE})


def prepare(
    inputs: RuntimeInputs, variables: Mapping[str, str], emit: Callable[[str], None], start: InstalledSet
) -> InstalledSet:
    """The set for the component's requirements file, found or installed, and linked as ``.local``.

    Args:
        inputs: The component's inputs.
        variables: What pip sees: the merged environment, so that exports of the startup script count.
        emit: Takes the lines of the ``requirements_install`` stream.
        start: The base set.
    """
    file = inputs.home / "requirements" / "requirements.txt"
    if inputs.requirements_path is not None and not str(inputs.requirements_path).startswith(limits().home):
        file = inputs.requirements_path
    if inputs.requirements_path is None or not _asks_for_something(file):
        return start
    # Only now: an environment without requirements need not import the resolver's half of the tool.
    from mwaa_local.packages import links, sets

    tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def line(text: str) -> None:
        tail.append(text)
        emit(text)

    constraints = variables.get("MWAA_CONSTRAINTS_DIR")
    try:
        found = sets.ensure(
            inputs.version,
            file,
            base=sets.load(start.folder),
            cache=inputs.cache_dir,
            environment=variables,
            path_map={limits().home: inputs.home},
            constraints_dir=Path(constraints) if constraints else None,
            resolver=inputs.resolver,
            emit=line,
        )
    except RequirementsError as error:
        conflicts = [str(conflict) for conflict in getattr(error, "conflicts", ())]
        return InstalledSet(
            start.folder,
            {
                "verdict": FAILED,
                "error": error.as_dict(),
                "conflict": conflicts,
                "tail": list(tail),
                "installed": False,
            },
        )
    links.link(inputs.home, found, inputs.cache_dir)
    return InstalledSet(
        found.path,
        {
            "verdict": OK,
            "set": found.key,
            "source": found.source,
            "installed": found.installed_now,
            "seconds": round(found.seconds, 3),
            "changed": len(found.changed or {}),
            "notes": list(found.notes),
            "conflict": [],
            "tail": list(tail) if found.installed_now else [],
        },
    )


def _register(inputs: RuntimeInputs) -> None:
    """Tell the cache that the base set is in use, so that clearing up keeps it."""
    from mwaa_local.packages.store import Store

    Store(inputs.cache_dir / "package-sets").register(inputs.home / ".local")


def _asks_for_something(file: Path) -> bool:
    """Whether a requirements file has a line that is neither blank nor a comment."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # the resolver says what is wrong with it
    # UTF-16 and the like have zero bytes everywhere: better one look too many than a file overlooked.
    return b"\0" in data or any(line.strip() and not line.strip().startswith(b"#") for line in data.splitlines())
