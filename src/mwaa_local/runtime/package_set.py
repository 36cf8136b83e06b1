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
from mwaa_local.runtime import files, namespace
from mwaa_local.runtime.inputs import RuntimeInputs

NONE, OK, FAILED = "none", "ok", "failed"

# In the run folder: the set that the component uses, for the cache's clearing up and for later commands.
LINK = "package-set"

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
    place(inputs, folder)
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
    if inputs.requirements_path is None or not asks_for_something(file):
        return start
    found = make(inputs, variables, emit, start, file, {limits().home: inputs.home})
    if found.verdict["verdict"] == OK:
        place(inputs, found.folder)
    return found


def make(
    inputs: RuntimeInputs,
    variables: Mapping[str, str],
    emit: Callable[[str], None],
    start: InstalledSet,
    file: Path,
    path_map: Mapping[str, Path],
) -> InstalledSet:
    """The set for a requirements file, found or installed, and linked nowhere; the base set where it cannot be.

    Args:
        inputs: The component's inputs.
        variables: What pip sees.
        emit: Takes the installer's lines.
        start: The base set.
        file: The requirements file.
        path_map: Folders of MWAA's that its lines may name, to where they are.
    """
    # Only now: an environment without requirements need not import the resolver's half of the tool.
    from mwaa_local.packages import sets

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
            path_map=path_map,
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
    return InstalledSet(
        found.path,
        {
            "verdict": OK,
            "set": found.key,
            "source": found.source,
            "installed": found.installed_now,
            "seconds": round(found.seconds, 3),
            "changed": len(found.changed or {}),
            "names": sorted(found.changed or {}),
            "notes": list(found.notes),
            "conflict": [],
            "tail": list(tail) if found.installed_now else [],
        },
    )


def place(inputs: RuntimeInputs, folder: Path) -> None:
    """Put a set where MWAA has its packages, ``/usr/local/airflow/.local`` (spec/10 section 5.1); instead of another.

    In a namespace the set's folders themselves appear there, so that no path of ours is seen; an image has links, for
    containers may mount nothing; without either the whole set is one link, and its own Python serves.

    Raises:
        MachineError: a folder with content is in the way, or the system refuses.
    """
    _register(inputs, folder)
    local = inputs.visible_home / ".local"
    if inputs.placement == "folder":
        files.point(local, folder)
        return
    if local.is_symlink():  # of a start without namespace
        local.unlink()
    local.mkdir(parents=True, exist_ok=True)
    shown = {item.name: item for item in folder.iterdir() if item.is_dir() and not item.is_symlink()}
    shown["bin"] = shown.pop(limits().scripts_folder, folder / "bin")
    for name, source in shown.items():
        if inputs.placement == "image":
            files.point(local / name, source)
            continue
        try:
            namespace.show(source, local / name)
        except (OSError, namespace.NotAllowedError) as error:
            raise MachineError(
                "the package set cannot be put into place", where=str(local / name), why=str(error),
                hint=f"remove {inputs.home / '.local'} and run `mwaa-local up` again",
            ) from error  # fmt: skip


def _register(inputs: RuntimeInputs, folder: Path) -> None:
    """Tell the cache that a set is in use, so that clearing up keeps it."""
    link = inputs.run_dir / LINK
    if files.point(link, folder):
        from mwaa_local.packages.store import Store

        Store(inputs.cache_dir / "package-sets").register(link)


def asks_for_something(file: Path) -> bool:
    """Whether a requirements file has a line that is neither blank nor a comment."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # the resolver says what is wrong with it
    # UTF-16 and the like have zero bytes everywhere: better one look too many than a file overlooked.
    return b"\0" in data or any(line.strip() and not line.strip().startswith(b"#") for line in data.splitlines())
