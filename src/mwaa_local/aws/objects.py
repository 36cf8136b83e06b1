"""S3's objects on the disk: held against the list of buckets, and each object against what is said of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mwaa_local.ground.damage import Damage

_SIDE = ".meta.json"
_VERSIONS = ".versions"
_OWN = frozenset({_VERSIONS})


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
        if account.is_dir() and account.name not in _OWN:
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
        if name.endswith(_SIDE):
            yield from _versions(path, root)
        if name.endswith(_SIDE) and name.removesuffix(_SIDE) not in names:
            said = _said(path)
            if said is None:
                yield Damage(path, "cannot be read")
            elif not said.get("is_delete_marker"):
                yield Damage(path.with_name(name.removesuffix(_SIDE)), "is missing, and the object was stored")
        elif not name.endswith((_SIDE, ".tmp")) and not name.startswith("."):
            yield from _object(path, path.with_name(name + _SIDE), has_side=name + _SIDE in names)


def _object(path: Path, side: Path, *, has_side: bool) -> Iterator[Damage]:
    if not has_side:
        yield Damage(side, "is missing, and with it all that is said of the object")
        return
    said = _said(side)
    if said is None:
        yield Damage(side, "cannot be read")
    elif not said.get("is_delete_marker") and isinstance(said.get("size"), int):
        size = path.stat().st_size
        if size != said["size"] and "etag" in said:
            yield Damage(path, f"has {size} bytes, and {said['size']} were stored")


def _said(side: Path) -> dict[str, Any] | None:
    try:
        said = json.loads(side.read_bytes())
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def _versions(side: Path, root: Path) -> Iterator[Damage]:
    """Older versions of an object lie in a tree of their own."""
    said = _said(side) or {}
    account, bucket, *key = side.with_name(side.name.removesuffix(_SIDE)).relative_to(root).parts
    versions = said.get("versions")
    for version in versions if isinstance(versions, list) else ():
        name = version.get("version_id") if isinstance(version, dict) else None
        if not isinstance(name, str) or version.get("is_delete_marker") or name in (said.get("version_id"), "null"):
            continue
        path = root.joinpath(_VERSIONS, account, bucket, name, *key)
        if not path.is_file():
            yield Damage(path, "is missing, and that version of the object was stored")
        elif isinstance(version.get("size"), int) and path.stat().st_size != version["size"]:
            yield Damage(path, f"has {path.stat().st_size} bytes, and {version['size']} were stored")
