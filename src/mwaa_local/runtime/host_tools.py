"""Commands of MWAA's image that this machine keeps where MWAA's PATH does not lead, for the process engine.

A component's PATH is MWAA's (spec/10 section 2.5), so that no DAG passes here on a program that MWAA lacks. What MWAA
does have (spec/10 section 5.4) may lie elsewhere on this machine: it is then linked into a folder at the PATH's end.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mwaa_local.catalog import limits
from mwaa_local.catalog.image_tools import present_tools

FOLDER = "tools"


def standard_path(*, without: str = "") -> str:
    """The folders of MWAA's PATH below ``/usr`` and ``/``, but for those below ``without``."""
    folders = limits().path.split(":")
    return ":".join(folder for folder in folders if not without or not Path(folder).is_relative_to(without))


def only_in(prefix: str) -> frozenset[str]:
    """Commands of MWAA's image that the folders of MWAA's PATH hold only below a prefix."""
    outside, inside = standard_path(without=prefix), f"{prefix}/sbin:{prefix}/bin"
    return frozenset(
        name for name in present_tools() if not shutil.which(name, path=outside) and shutil.which(name, path=inside)
    )


def link(folder: Path, host_path: str) -> Path | None:
    """Link what is found only on the user's own PATH; the folder, or ``None`` when nothing had to be linked.

    Args:
        folder: Where; emptied first.
        host_path: The user's PATH.
    """
    found = {
        name: place
        for name in present_tools()
        if not shutil.which(name, path=standard_path()) and (place := _find(name, host_path))
    }
    shutil.rmtree(folder, ignore_errors=True)
    if not found:
        return None
    folder.mkdir(parents=True)
    for name, place in found.items():
        (folder / name).symlink_to(place)
    return folder


def _find(name: str, host_path: str) -> str | None:
    # A version manager's shim answers only for the version that is switched on where it is called.
    folders = [folder for folder in (host_path or os.defpath).split(":") if Path(folder).name != "shims"]
    return shutil.which(name, path=":".join(folders))
