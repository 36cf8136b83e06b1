"""A set's commands as MWAA's image has them: their first line names MWAA's Python.

pip wrote the scripts of MWAA's ``.local/bin`` for ``/usr/local/bin/pythonX.Y``, and no interpreter lies among them
(spec/10 sections 4.1 and 5.4). The set's own ``bin`` finds the Python beside it and serves wherever that path cannot
be had; this folder beside it is what components show as ``.local/bin``.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from mwaa_local.catalog import limits

# What a virtual environment has beside its commands; MWAA's packages are in none.
_NOT_COMMANDS = re.compile(r"python[\d.]*|activate|activate_this\.py|activate\.\w+|deactivate\.bat|pydoc\.bat")
# A first line for a Python, or the two lines (a shell's command and a string of Python's) that find it beside the file.
_HEAD = re.compile(rb"#![^\n]*/python[\d.]*[^\n]*\n|#!/bin/sh\n'''exec' [^\n]*\n' '''\n")


def write(package_set: Path, minor: str) -> None:
    """Write the folder anew from the set's own ``bin``.

    Args:
        package_set: The set; its commands are installed.
        minor: Its Python, ``3.12``.

    Raises:
        OSError: the disk is full, for example.
    """
    place = package_set / limits().scripts_folder
    shutil.rmtree(place, ignore_errors=True)  # a clone's files are shared with the set it grew from
    place.mkdir()
    head = f"#!{limits().python_path(minor)}\n".encode()
    for script in (package_set / "bin").iterdir():
        if _NOT_COMMANDS.fullmatch(script.name) or script.is_dir():
            continue
        copy = place / script.name
        data = script.read_bytes()
        if found := _HEAD.match(data):
            copy.write_bytes(head + data[found.end() :])
            copy.chmod(script.stat().st_mode)
        else:
            try:
                os.link(script, copy)
            except OSError:
                shutil.copy2(script, copy)
