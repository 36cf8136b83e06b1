"""Which engine an environment's data belongs to, and what of the state folder an engine may take away."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from mwaa_local.engines.layout import Layout
from mwaa_local.errors import EngineError, MachineError
from mwaa_local.ground import atomic

# The file that stands for an engine's data, and where that data lies, in words.
_PLANS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "process": ("plan.json", "its data lies here"),
        "docker": ("docker/plan.json", "its data lies in Docker's volumes"),
    }
)
_NOTE = "engine"


def note(layout: Layout, engine: str) -> None:
    """Remember the engine that runs an environment."""
    atomic.replace(layout.state / _NOTE, f"{engine}\n".encode())


def of(state: Path) -> str | None:
    """The engine whose data a state folder holds; read off the data where its own note is damaged or gone."""
    try:
        name = (state / _NOTE).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        name = ""
    if name in _PLANS:
        return name
    return next((engine for engine in _PLANS if _has(state, engine)), None)


def refuse_other(layout: Layout, engine: str, environment: str) -> None:
    """Data of the other engine is neither used nor hidden behind a second, empty environment.

    Raises:
        EngineError: The folder holds another engine's data and none of this one's.
    """
    if _has(layout.state, engine):
        return
    for other, (_, where) in _PLANS.items():
        if other != engine and _has(layout.state, other):
            raise EngineError(
                f"{environment} was started with the {other} engine, and {where}",
                where=str(layout.state),
                hint=f"mwaa-local --engine {other} up; or `mwaa-local --engine {other} reset` first (wipes it); "
                "or give this environment another Name",
            )


def wipe(layout: Layout, engine: str) -> None:
    """Take an engine's data out of the state folder; another engine's stays, with the keys that it needs.

    Raises:
        MachineError: Something could not be removed.
    """
    others = [other for other in _PLANS if other != engine and _has(layout.state, other)]
    for path in layout.state.iterdir():
        if path == layout.up_lock or _belongs(path.name, engine, others):
            continue
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as error:
            raise MachineError(
                "the environment's data cannot be removed",
                where=str(path),
                why=str(error),
                hint="remove that folder by hand",
            ) from error
    if others:
        note(layout, others[0])


def _has(state: Path, engine: str) -> bool:
    return (state / _PLANS[engine][0]).exists()


def _belongs(name: str, engine: str, others: list[str]) -> bool:
    """Whether an entry of the state folder is another engine's, or both need it."""
    if not others:
        return False
    # The docker engine keeps its own in one folder; everything else is the process engine's, or both need it.
    own = name == "docker" if engine == "docker" else name not in ("docker", "secrets.json", "databases.json")
    return not own
