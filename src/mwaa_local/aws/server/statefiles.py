"""The state files of MiniStack's services: written with a checksum, each with the one before it, and held against both.

``services/<name>.json`` is MiniStack's own format with two more members in front. ``<name>.json.before`` is the state
file that it replaced, for a repair. ``manifest.json`` names every service that ever had one: a file that is missing
later was lost, not never there.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mwaa_local.ground import atomic
from mwaa_local.ground.damage import Damage

MANIFEST = "manifest.json"
BEFORE = ".before"
JOURNAL = "mwaa_local_journal"
_CHECKSUM = "mwaa_local_checksum"
_PAYLOAD = b', "payload": '
_HEAD_BYTES = 4096


def document(payload: bytes, extra: Mapping[str, Any]) -> bytes:
    """A state file's content: ``extra`` first, so that it is found without reading the rest.

    Args:
        payload: The service's state as JSON.
        extra: Top-level members that MiniStack knows or ignores.
    """
    head = json.dumps({**extra, _CHECKSUM: f"{zlib.crc32(payload):08x}"}).encode()
    return head[:-1] + _PAYLOAD + payload + b"}"


def covered(folder: Path, service: str, which: str = "") -> int:
    """The journal generation inside the service's state file (or the one ``BEFORE`` it), 0 if there is none."""
    try:
        with (folder / f"{service}.json{which}").open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return 0
    members = _head(head)
    value = members.get(JOURNAL, 0) if members else 0
    return value if isinstance(value, int) else 0


def _head(content: bytes) -> dict[str, Any] | None:
    """The members in front of the payload; ``None`` when they cannot be read."""
    head, found, _payload = content.partition(_PAYLOAD)
    try:
        members = json.loads(head + b"}") if found else None
    except ValueError:
        return None
    return members if isinstance(members, dict) else None


def write(folder: Path, service: str, content: bytes) -> None:
    """Replace a service's state file and keep the one before it.

    Raises:
        OSError: The disk refused; the old file stands.
    """
    path = folder / f"{service}.json"
    before = path.with_name(path.name + BEFORE)
    if path.exists():
        before.unlink(missing_ok=True)
        os.link(path, before)
    atomic.replace(path, content)
    named = manifest(folder)
    if service not in named:  # after the file: named first, it would seem lost to a start after a kill in between
        text = json.dumps({"services": sorted({*named, *services(folder), service})})
        atomic.replace(folder / MANIFEST, text.encode())


def manifest(folder: Path) -> set[str]:
    """The services whose state was kept here; of a folder of before the manifest, none."""
    found = atomic.read_json(folder / MANIFEST) or {}
    named = found.get("services")
    return {str(name) for name in named} if isinstance(named, list) else set()


def services(folder: Path) -> list[str]:
    """The services that have a state file."""
    return sorted(path.stem for path in folder.glob("*.json") if path.name != MANIFEST)


def check(folder: Path) -> Iterator[Damage]:
    """Every state file that is not what was written, or is missing; reads each once."""
    path = folder / MANIFEST
    if path.exists() and not isinstance((atomic.read_json(path) or {}).get("services"), list):
        yield Damage(path, "is not the list of services that was written")
    for name in sorted(manifest(folder) - set(services(folder))):
        yield Damage(folder / f"{name}.json", "is missing, and the service had state")
    for name in services(folder):
        path = folder / f"{name}.json"
        why = fault(path)
        if why:
            yield Damage(path, why)


def fault(path: Path) -> str:
    """Why a state file is not what was written; empty if it is."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not content:
        return "is empty"
    members = _head(content[:_HEAD_BYTES]) or {}
    checksum = members.get(_CHECKSUM)
    if checksum is not None:
        payload = content.partition(_PAYLOAD)[2][:-1]
        whole = content.endswith(b"}") and checksum == f"{zlib.crc32(payload):08x}"
        return "" if whole else f"was written whole and is so no longer ({len(content)} bytes)"
    try:
        json.loads(content)  # of before the checksum, or MiniStack's own
    except (ValueError, RecursionError) as error:
        return f"is no JSON: {error}"
    return ""
