"""Print the operating system packages of one image base, one name a line.

Runs inside an image that is being built, under whatever Python 3.11+ the base has, before anything of ours is
installed:
standard library only. The list itself is the catalog's ``os_packages.toml`` (spec/10 section 5.4).

    python3 os_packages.py os_packages.toml --base al2023 --python 3.12 [--groups "core build"]
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any


class PackageListError(Exception):
    """The list cannot answer: an unknown group or base, or a name with no Debian counterpart."""


def packages(data: dict[str, Any], base: str, minor: str, groups: list[str]) -> list[str]:
    """Give the packages of the groups on one base, in the order of the list and each once.

    Args:
        data: the parsed ``os_packages.toml``.
        base: ``al2023`` or ``debian``.
        minor: Airflow's Python as ``3.12``; on al2023 its headers come with the group ``build``.
        groups: names of groups; empty for the base's own default.

    Raises:
        PackageListError: with what is unknown and what there is.
    """
    if base not in data["defaults"]:
        raise PackageListError(f"no such base: {base!r}; there is {', '.join(data['defaults'])}")
    wanted: list[str] = []
    for group in groups or data["defaults"][base]:
        if group not in data["groups"]:
            raise PackageListError(f"no such group: {group!r}; there is {', '.join(data['groups'])}")
        wanted += data["groups"][group]["al2023"]
        if base == "al2023" and group == "build":
            wanted += [name.format(minor=minor) for name in data["python"]["build"]]
    if base == "debian":
        missing = [name for name in wanted if name not in data["debian"]]
        if missing:
            raise PackageListError(f"no Debian name for {', '.join(missing)} in the table [debian] of os_packages.toml")
        wanted = [debian for name in wanted for debian in data["debian"][name]]
    return list(dict.fromkeys(wanted))


def main(argv: list[str]) -> int:
    """Parse the command line, print the names, give the exit status."""
    parser = argparse.ArgumentParser(description="Print the OS packages of an image base, one a line.")
    parser.add_argument("list", type=Path, help="the catalog's os_packages.toml")
    parser.add_argument("--base", required=True)
    parser.add_argument("--python", required=True, metavar="MINOR", help="Airflow's Python, as 3.12")
    parser.add_argument("--groups", default="", help="blank or comma separated; default: those of the base")
    args = parser.parse_args(argv)
    data = tomllib.loads(args.list.read_text(encoding="utf-8"))
    try:
        names = packages(data, args.base, args.python, args.groups.replace(",", " ").split())
    except PackageListError as error:
        print(f"os_packages.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(names))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
