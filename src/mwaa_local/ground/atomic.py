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
from mwaa_local.ground import disk


def replace(path: Path, content: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Put content at a path so that a reader, or a start after a crash, sees the old file or the new one.

    Args:
        path: The file; its folder is made (mode 0700) if it is missing.
        content: All of it.
        mode: Permissions of the file.
        durable: Return only when the disk has it, so that a power cut cannot take it back.

    Raises:
        OSError: The disk refused; the old file stands and nothing half-written lies beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = disk.CALLS.open(partial, disk.NEW, mode)
        try:
            disk.write_all(descriptor, content)
            if durable:
                disk.CALLS.sync(descriptor)
        finally:
            disk.CALLS.close(descriptor)
        disk.CALLS.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if durable:
        disk.sync_folder(path.parent)


def write_json(path: Path, value: Any, *, mode: int = 0o600, durable: bool = False) -> None:
    """Replace a file; see :func:`replace`.

    Raises:
        MachineError: The disk is full or the folder cannot be written.
    """
    try:
        replace(path, json.dumps(value, indent=1, sort_keys=True).encode(), mode=mode, durable=durable)
    except OSError as error:
        raise disk_error(error, path) from error


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; ``None`` when it is missing, unreadable or something else."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
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
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return MachineError(
            "a file stands where a folder should be, or the other way round",
            where=str(path),
            why=str(error),
            hint="move it away, then run the command again",
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
