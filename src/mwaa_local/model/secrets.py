"""Keys of one environment: made once, kept, never logged."""

from __future__ import annotations

import base64
import json
import os
import secrets as random_source
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from mwaa_local.errors import MachineError
from mwaa_local.ground import atomic, disk


@dataclass(frozen=True)
class Secrets:
    """Secrets of one environment.

    Attributes:
        fernet_key: Airflow's Fernet key: 32 random bytes, URL-safe base64.
        web_secret: Signs session cookies.
        database_password: Password of the metadata database's user.
    """

    fernet_key: str = field(repr=False)
    web_secret: str = field(repr=False)
    database_password: str = field(repr=False)


def _create() -> Secrets:
    return Secrets(
        fernet_key=base64.urlsafe_b64encode(random_source.token_bytes(32)).decode(),
        web_secret=random_source.token_urlsafe(32),
        # Letters and digits only: MWAA puts user and password into the URL without encoding them (spec/10 section 6.5).
        database_password=random_source.token_hex(16),
    )


def load_or_create(path: Path, *, data: Sequence[Path] = ()) -> Secrets:
    """The secrets kept at ``path``, made on first use (mode 0600, written whole or not at all).

    A key that changed would make every stored connection unreadable, so a damaged file is an error, never replaced.

    Args:
        path: The file.
        data: What was made with the keys; while any of it is there, no new keys are made.

    Raises:
        MachineError: The file cannot be read as secrets, is gone while its data are there, or cannot be written.
    """
    found = read(path)
    if found is not None:
        return found
    if orphans := [place for place in data if place.exists()]:
        raise MachineError(
            "the environment's keys are gone, and what they open is there",
            where=str(path),
            why=f"made with them: {', '.join(map(str, orphans))}",
            hint=f"restore the file; {_NEXT}",
        )
    created = _create()
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        atomic.replace(partial, json.dumps(asdict(created)).encode())
        try:
            os.link(partial, path)  # fails where another start was faster, whose keys then count
        except FileExistsError:
            return load_or_create(path)
        finally:
            partial.unlink()
        disk.sync_folder(path.parent)
    except OSError as error:
        raise MachineError("the environment's secrets cannot be written", where=str(path), why=str(error)) from error
    return created


_NEXT = "`mwaa-local doctor --state` says what can be done; `mwaa-local reset` begins anew (all data are lost)"


def read(path: Path) -> Secrets | None:
    """The secrets kept at ``path``; ``None`` if there is no such file.

    Raises:
        MachineError: The file cannot be read as secrets.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, str(error)) from error
    if why := fault(value):
        raise _unreadable(path, why)
    return Secrets(**value)


def fault(value: object) -> str:
    """Why a document is no secrets; empty if it is."""
    names = [item.name for item in fields(Secrets)]
    if not isinstance(value, dict) or sorted(value) != sorted(names):
        return f"it must have exactly the members {', '.join(names)}"
    for name in names:
        if not isinstance(value[name], str) or not value[name] or not value[name].isprintable():
            return f"{name} is no text"
    try:
        key = base64.b64decode(value["fernet_key"].encode(), altchars=b"-_", validate=True)
    except ValueError:
        key = b""
    return "" if len(key) == 32 else "fernet_key is not 32 bytes in URL-safe base64"


def _unreadable(path: Path, why: str) -> MachineError:
    return MachineError(
        "the environment's secrets cannot be read", where=str(path), why=why, hint=f"restore the file; {_NEXT}"
    )
