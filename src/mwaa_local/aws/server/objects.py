"""S3's objects on the disk: held against the list of buckets, and each object against what is said of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mwaa_local.ground.damage import Damage

SIDE = ".meta.json"
"""What MiniStack adds to an object's file name for what is said of the object."""
VERSIONS = ".versions"
"""Folder of the older versions of objects, beside those of the accounts."""


def check(objects: Path, services: Path) -> Iterator[Damage]:
    """Every bucket and object that is not as it was stored.

    Args:
        objects: Folder of the objects, ``<account>/<bucket>/<key>`` and beside each ``<key>.meta.json``.
        services: Folder of the state files; S3's names the buckets.
    """
    for owner, bucket in _buckets(services / "s3.json"):
        if not (objects / owner / bucket).is_dir():
            yield Damage(objects / owner / bucket, f"is missing, and the bucket {bucket} was made")
    for account in objects.iterdir() if objects.is_dir() else ():
        if account.is_dir() and account.name != VERSIONS:
            for place, _folders, names in os.walk(account):
                yield from _objects(Path(place), set(names), objects)


def _buckets(state: Path) -> list[tuple[str, str]]:
    try:
        document: Any = json.loads(state.read_bytes())
        data = document["payload"]["buckets_meta"]["data"]
        return [(key.split("\x00")[0], key.split("\x00")[1].strip("'\"")) for key in data]
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return []  # told of as a state file


def _objects(folder: Path, names: set[str], root: Path) -> Iterator[Damage]:
    for name in sorted(names):
        path = folder / name
        if name.endswith(SIDE):
            yield from _said_of(path, path.with_name(name.removesuffix(SIDE)), root)
        elif not name.endswith(".tmp") and not name.startswith(".") and name + SIDE not in names:
            yield Damage(path.with_name(name + SIDE), "is missing, and with it all that is said of the object")


def _said_of(side: Path, data: Path, root: Path) -> Iterator[Damage]:
    """Hold what is said of an object against its file and those of its older versions."""
    try:
        said = json.loads(side.read_bytes())
    except (OSError, ValueError):
        said = None
    if not isinstance(said, dict):
        yield Damage(side, "cannot be read")
        return
    yield from _versions(said, data, root)
    if said.get("is_delete_marker"):
        return
    if not data.is_file():
        yield Damage(data, "is missing, and the object was stored")
    elif "etag" in said and not data.name.startswith("."):
        yield from _size(data, said.get("size"))


def _versions(said: dict[str, Any], data: Path, root: Path) -> Iterator[Damage]:
    account, bucket, *key = data.relative_to(root).parts
    versions = said.get("versions")
    for version in versions if isinstance(versions, list) else ():
        name = version.get("version_id") if isinstance(version, dict) else None
        if not isinstance(name, str) or version.get("is_delete_marker") or name in (said.get("version_id"), "null"):
            continue
        path = root.joinpath(VERSIONS, account, bucket, name, *key)
        if path.is_file():
            yield from _size(path, version.get("size"))
        else:
            yield Damage(path, "is missing, and that version of the object was stored")


def _size(path: Path, stored: object) -> Iterator[Damage]:
    size = path.stat().st_size
    if isinstance(stored, int) and size != stored:
        yield Damage(path, f"has {size} bytes, and {stored} were stored")
