"""Files written whole or not at all, and an operating system's refusal to write as the tool's own error."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

from mwaa_local.errors import MachineError


def write_json(path: Path, value: Any, *, mode: int = 0o600) -> None:
    """Replace a file so that a reader, or a crash, sees the old text or the new one.

    Raises:
        MachineError: The disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            json.dump(value, file, indent=1, sort_keys=True)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise disk_error(error, path) from error


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; ``None`` when it is missing, unreadable or something else."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def disk_error(error: OSError, path: Path) -> MachineError:
    """An operating system's refusal to write, as the tool's own error."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
        return MachineError(
            "the disk is full",
            where=str(path),
            why=str(error),
            hint="free some space and run `make up` again: what was half written is never used",
        )
    return MachineError("a file cannot be written", where=str(path), why=str(error), hint="check its owner and mode")


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder and stop at the first file that cannot be written; ``shutil.copytree`` goes on and collects.

    Raises:
        MachineError: The disk is full or the folder cannot be written.
    """

    def copy(one: str, other: str) -> str:
        try:
            return str(shutil.copy2(one, other, follow_symlinks=False))
        except OSError as error:
            raise disk_error(error, Path(other)) from error

    try:
        shutil.copytree(source, target, symlinks=True, copy_function=copy)
    except shutil.Error as error:  # folders, whose errors it collects all the same
        first = error.args[0][0] if error.args and error.args[0] else (source, target, str(error))
        raise disk_error(OSError(errno.EIO, str(first[2])), target) from error
    except OSError as error:
        raise disk_error(error, target) from error
