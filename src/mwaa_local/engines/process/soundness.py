"""The whole state of an environment of the process engine: looked at without changing it, refused, or mended.

``up`` refuses to start on damage, since what it would not find it would make anew. What is written down twice is mended
by itself (see :meth:`Databases.heal`); the rest by ``doctor --state --repair``, after a copy.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mwaa_local.aws.server import soundness as aws
from mwaa_local.engines import plan
from mwaa_local.engines.databases import Databases
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.names import SITE
from mwaa_local.engines.process import keeper_client, postgres
from mwaa_local.errors import EngineError, MachineError
from mwaa_local.ground import atomic
from mwaa_local.ground.damage import Damage
from mwaa_local.model import secrets as keys

_KEPT = "kept.json"
_COPY = re.compile(r"-damaged-\d{8}-\d{6}$")
ENDPOINT_REPAIR = "takes the last whole state, and leaves out what cannot be read"


@dataclass(frozen=True)
class Finding:
    """One part of the state that is not as it was written.

    Attributes:
        damage: Where and what.
        repair: What ``--repair`` does about it; empty when only a backup or ``reset`` helps.
    """

    damage: Damage
    repair: str = ""


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Attributes:
        copies: Where the state lies as it was.
        done: One sentence for each part.
        left: What is still damaged.
    """

    copies: tuple[Path, ...]
    done: tuple[str, ...]
    left: tuple[Finding, ...]


@dataclass(frozen=True)
class Looked:
    """What a look at the state found.

    Attributes:
        engine: Whose data lie there: ``process``, ``docker``, or empty for none.
        looked_at: One line for each part that was read.
        passed_over: One line for each part that could not be.
        findings: What is damaged.
    """

    engine: str
    looked_at: tuple[str, ...]
    passed_over: tuple[str, ...]
    findings: tuple[Finding, ...]


def is_copy(folder: Path) -> bool:
    """Whether a folder beside the environments' is what :func:`repair` copied."""
    return _COPY.search(folder.name) is not None


def look(layout: Layout) -> Looked:
    """Read the whole state and change nothing.

    Raises:
        EngineError: The environment runs: what is being written cannot be judged.
    """
    if keeper_client.runs(layout):
        raise EngineError(
            "the environment runs, and what it is writing cannot be judged",
            where=str(layout.state),
            hint="mwaa-local down, then this again; while it runs, `mwaa-local status` tells what cannot be stored",
        )
    if not layout.state.is_dir():
        return Looked("", (), (), ())
    there = [path for path in _data(layout) if path.is_dir()]
    looked = [f"keys: {layout.secrets}"] if layout.secrets.exists() else []
    looked += [f"database: {path}" for path in there if path.name.startswith("postgres-")]
    if layout.aws.is_dir():
        kept = ", ".join(aws.kept(layout.aws)) or "nothing yet"
        looked.append(f"AWS endpoint: {layout.aws} ({kept})")
    volumes = "database: PostgreSQL's own volume of Docker, which it checks at each start"
    over = [volumes] if (layout.state / "docker").is_dir() else []
    engine = "process" if there else "docker" if over else ""
    return Looked(engine, tuple(looked), tuple(over), tuple(check(layout)))


def look_whole(own: Layout, shared: Layout) -> Looked:
    """:func:`look` at an environment and at its site; a site that runs for others is passed over.

    Raises:
        EngineError: The environment runs.
    """
    found = look(own)
    if keeper_client.runs(shared):
        line = f"AWS endpoint: {shared.aws}, which runs for another environment, and what it writes cannot be judged"
        return replace(found, passed_over=(*found.passed_over, line))
    beside = look(shared)
    return Looked(
        found.engine or beside.engine,
        (*found.looked_at, *beside.looked_at),
        found.passed_over,
        (*found.findings, *beside.findings),
    )


def repair_whole(own: Layout, shared: Layout) -> Repaired:
    """:func:`repair` of an environment and of its site, each only where something of it can be mended.

    Raises:
        MachineError: The disk is full, or something cannot be read.
    """
    layouts = [own] if keeper_client.runs(shared) else [own, shared]
    done = [repair(one) for one in layouts if any(finding.repair for finding in check(one))]
    return Repaired(
        tuple(copy for one in done for copy in one.copies),
        tuple(sentence for one in done for sentence in one.done),
        tuple(finding for one in layouts for finding in check(one)),
    )


def check(layout: Layout) -> list[Finding]:
    """Everything that is not as it was written; reads, and changes nothing."""
    return [*_lost(layout), *_secrets(layout, _from_plan(layout)), *_databases(layout), *_aws(layout)]


def refuse_damage(layout: Layout) -> None:
    """Raise what :func:`check` finds.

    Raises:
        MachineError: Some of the state is damaged or gone.
    """
    found = check(layout)
    if not found:
        return
    mended = [finding for finding in found if finding.repair]
    raise MachineError(
        "the environment's data are damaged, and nothing was started or changed",
        where=str(found[0].damage.path),
        why="\n".join(str(finding.damage) for finding in found),
        hint="restore what is named from a backup; "
        + ("or `mwaa-local doctor --state --repair`, which copies everything first; " if mended else "")
        + "or `mwaa-local reset` to begin anew (DAG runs, variables, connections, objects and logs are lost)",
    )


def note_kept(layout: Layout) -> None:
    """Write down which folders hold data now: one that is missing later was lost, not never there."""
    there = [path.name for path in _data(layout) if path.is_dir()]
    known = _kept(layout)
    if set(there) - known:
        atomic.write_json(layout.state / _KEPT, {"folders": sorted({*there, *known})}, durable=True)


def repair(layout: Layout) -> Repaired:
    """Mend what can be mended, after a copy of everything that is touched. Nothing of the environment runs.

    Raises:
        MachineError: The disk is full, or something cannot be read.
    """
    copy = layout.state.parent / f"{layout.state.name}-damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    atomic.copy_tree(layout.state, copy)
    done = []
    try:
        if (secrets := _from_plan(layout)) is not None and _secrets(layout, secrets):
            atomic.write_json(layout.secrets, secrets, durable=True)
            done.append(f"{layout.secrets.name}: the keys were taken from the last plan; nothing is lost")
        for home in layout.state.glob("postgres-*"):
            if postgres.fault(home) is not None and postgres.mend(home):
                done.append(f"{home.name}: described anew; nothing is lost")
        if layout.aws.is_dir():
            done += [f"aws/{sentence}" for sentence in aws.repair(layout.aws)]
    except OSError as error:
        raise atomic.disk_error(error, layout.state) from error
    return Repaired((copy,), tuple(done), tuple(check(layout)))


def _data(layout: Layout) -> list[Path]:
    return [*sorted(layout.state.glob("postgres-*")), layout.aws / "services"]


def _kept(layout: Layout) -> set[str]:
    names = (atomic.read_json(layout.state / _KEPT) or {}).get("folders")
    return {str(name) for name in names} if isinstance(names, list) else set()


def _lost(layout: Layout) -> list[Finding]:
    path = layout.state / _KEPT
    if path.exists() and not isinstance((atomic.read_json(path) or {}).get("folders"), list):
        found = [Finding(Damage(path, "is not the list of data folders that was written"))]
    else:
        found = []
    # Up to 0.1 the endpoint's data lay with the environment.
    endpoints = [layout.aws / "services", layout.state.parent / SITE / layout.aws.name / "services"]
    places = {"services": next((path for path in endpoints if path.is_dir()), endpoints[0])}
    noted = {f"postgres-{series}" for series in Databases(layout.state).majors()} if layout.plan.exists() else set()
    for name in sorted(_kept(layout) | noted):
        place = places.get(name, layout.state / name)
        if not place.is_dir():
            found.append(Finding(Damage(place, "is missing, and the environment's data were in it")))
    return found


def _secrets(layout: Layout, used: dict[str, Any] | None) -> list[Finding]:
    """What is wrong with the keys, held against those that the last plan used."""
    there = [path for path in _data(layout) if path.is_dir()]
    why = ""
    try:
        found = keys.read(layout.secrets)
        if found is None and any(path.name.startswith("postgres-") for path in there):
            why = "is missing, and the database was made with the keys in it"
        elif found is not None and used is not None and asdict(found) != used:
            why = "holds other keys than those that the database and its values were made with"
    except MachineError as error:
        why = f"cannot be read: {error.why}"
    if not why:
        return []
    way = "takes the keys from the last plan" if used is not None else ""
    return [Finding(Damage(layout.secrets, why), way)]


def _from_plan(layout: Layout) -> dict[str, Any] | None:
    """The keys that the last plan gave to the components."""
    made = plan.last(layout.plan)
    scheduler, database = (made.component(name) for name in ("scheduler", "postgres")) if made else (None, None)
    if scheduler is None or database is None:
        return None
    try:
        found = {
            "fernet_key": json.loads(scheduler.env["MWAA__CORE__FERNET_KEY"])["FernetKey"],
            "web_secret": json.loads(scheduler.env["MWAA__WEBSERVER__SECRET"])["secret_key"],
            "database_password": database.probe["password"],
        }
    except (KeyError, TypeError, ValueError):
        return None
    return None if keys.fault(found) else found


def _databases(layout: Layout) -> list[Finding]:
    found = []
    for home in sorted(layout.state.glob("postgres-*")):
        damage = postgres.fault(home)
        if damage is not None:
            way = "describes the database anew" if damage.path.parent == home and damage.path.suffix == ".json" else ""
            found.append(Finding(damage, way))
    return found


def _aws(layout: Layout) -> list[Finding]:
    if not layout.aws.is_dir():
        return []
    return [Finding(damage, ENDPOINT_REPAIR) for damage in aws.check(layout.aws)]
