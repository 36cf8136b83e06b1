"""Keys of one environment: made once, kept, never logged."""

from __future__ import annotations

import base64
import json
import os
import secrets as random_source
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mwaa_local.errors import MachineError


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


def load_or_create(path: Path) -> Secrets:
    """The secrets kept at ``path``, made on first use (mode 0600, written whole or not at all).

    A key that changed would make every stored connection unreadable, so a damaged file is an error, never replaced.

    Raises:
        MachineError: the file cannot be read as secrets, or not be written.
    """
    try:
        return Secrets(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError) as error:
        raise MachineError(
            "the environment's secrets cannot be read",
            where=str(path),
            why=str(error),
            hint="restore the file; or `mwaa-local reset` to begin anew (connections and variables are lost)",
        ) from error
    created = _create()
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(asdict(created), stream)
        try:
            os.link(partial, path)  # fails where another start was faster, whose keys then count
        except FileExistsError:
            return load_or_create(path)
        finally:
            partial.unlink()
    except OSError as error:
        raise MachineError("the environment's secrets cannot be written", where=str(path), why=str(error)) from error
    return created
