"""Commands of MWAA's image that this machine keeps where MWAA's PATH does not lead, for the process engine.

A component's PATH is MWAA's (spec/10 section 2.5), so that no DAG passes here on a program that MWAA lacks. What MWAA
does have (spec/10 section 5.4) may lie elsewhere on this machine, or beside the tool itself (``aws``): it is shown in
``/usr/local/bin`` of the component's namespace, or linked into a folder at the PATH's end where there is none.
"""

from __future__ import annotations

import os
import re
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from mwaa_local.catalog import limits
from mwaa_local.catalog.image_tools import present_tools

FOLDER = "tools"


def standard_path() -> str:
    """MWAA's PATH without the folders that a namespace shows anew."""
    prefix = limits().python_prefix
    return ":".join(folder for folder in limits().path.split(":") if not Path(folder).is_relative_to(prefix))


def stand_ins(host_path: str) -> dict[str, Path]:
    """Commands of MWAA's image that are found, but not in the standard folders: on the user's PATH, or beside the tool.

    Args:
        host_path: The user's PATH.
    """
    # A version manager's shim answers only for the version that is switched on where it is called.
    folders = [folder for folder in (host_path or os.defpath).split(":") if Path(folder).name != "shims"]
    own = sysconfig.get_path("scripts")
    path = ":".join([f"{limits().python_prefix}/bin", *(folder for folder in folders if folder != own), own])
    return {
        name: Path(place)
        for name in present_tools()
        if not shutil.which(name, path=standard_path()) and (place := shutil.which(name, path=path))
    }


def link(folder: Path, tools: Mapping[str, Path]) -> Path | None:
    """Link what MWAA's PATH does not lead to; the folder, or ``None`` when nothing had to be linked.

    Args:
        folder: Where; emptied first.
        tools: See ``stand_ins``.
    """
    wanted = {name: place for name, place in tools.items() if not shutil.which(name, path=limits().path)}
    shutil.rmtree(folder, ignore_errors=True)
    if not wanted:
        return None
    folder.mkdir(parents=True)
    for name, place in wanted.items():
        (folder / name).symlink_to(place)
    return folder


def missing(script: str, path: str) -> list[str]:
    """Commands of MWAA's image that a shell script names and that a PATH does not lead to.

    Args:
        script: Its text; words in comments do not count.
        path: The PATH it runs with.
    """
    code = re.sub(r"(^|\s)#.*", "", script)
    words = set(re.findall(r"(?<![\w./$-])[a-z][\w+-]*(?![\w./=-])", code))
    return [name for name in present_tools() if name in words and not shutil.which(name, path=path)]
