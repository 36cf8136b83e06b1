#!/usr/bin/python3
"""A ``dnf`` for the offline stand-in of Amazon Linux 2023: it translates package names to Debian's and calls apt-get.

It knows the names in /usr/share/mwaa-local/os_packages.toml (a copy of the catalog's list) and nothing else. A
name that it does not know
is an error, as it is for dnf itself, never skipped: an image with a hole in it would fail much later and much
less clearly.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

LIST = Path("/usr/share/mwaa-local/os_packages.toml")
PYTHONS = Path("/usr/local/libexec/pythons")
# Not /usr/bin, where Amazon Linux has them: Debian's own Python 3.11 lives there, and its AWS CLI runs on it.
TARGETS = Path("/usr/local/bin")
IGNORED = tuple(
    "-y --assumeyes -q --quiet -v --verbose -b --best --nobest --allowerasing --nodocs --refresh --skip-broken -C"
    " --setopt= --releasever= --disablerepo= --enablerepo= --color=".split()
)
CA = Path("/run/secrets/ca")


class RefusedError(Exception):
    """Something this stand-in cannot do; the text goes to the user."""


class Translator:
    """Amazon Linux names to Debian names.

    Args:
        tables: the parsed list.
        installed: the folder where ``python3.N`` of this image wait to be installed.
    """

    def __init__(self, tables: dict[str, dict[str, list[str]]], installed: Path = PYTHONS) -> None:
        self._names = {**tables["debian_extra"], **tables["debian"]}
        self._pythons = installed

    def python_of(self, name: str) -> str | None:
        """Give ``3.12`` for a package that this image's own copy of Python provides (``python3.12``, ``python3.12-devel``)."""
        match = re.fullmatch(r"python(3\.\d+)(-devel|-pip|-libs|-setuptools)?", name)
        return match[1] if match and (self._pythons / f"python{match[1]}").is_file() else None

    def debian(self, names: Sequence[str]) -> list[str]:
        """Translate; every unknown name is reported, not only the first.

        Raises:
            RefusedError: with dnf's own words for a name it does not find.
        """
        unknown = [name for name in names if name not in self._names and self.python_of(name) is None]
        if unknown:
            lines = [f"No match for argument: {name}" for name in unknown]
            lines.append(f"Error: Unable to find a match: {' '.join(unknown)}")
            lines.append(
                "This is the offline stand-in of Amazon Linux 2023: it knows only the packages of mwaa-local's catalog"
                " (os_packages.toml, tables"
                " [debian] and [debian_extra]). Add the name there, or use the real image."
            )
            raise RefusedError("\n".join(lines))
        return list(dict.fromkeys(debian for name in names for debian in self._names.get(name, [])))


def parse(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Split a dnf command line into its command and the names, dropping options that mean nothing here.

    Raises:
        RefusedError: an option or a kind of argument that would change what gets installed.
    """
    words = []
    for argument in arguments:
        if not argument.startswith("-"):
            words.append(argument)
        elif argument not in IGNORED and not argument.startswith(tuple(name for name in IGNORED if name.endswith("="))):
            raise RefusedError(f"Error: the stand-in of dnf has no option {argument}")
    for word in words[1:]:
        if "://" in word or word.endswith(".rpm"):
            raise RefusedError(f"Error: {word} is an RPM file, which this stand-in (Debian underneath) cannot install")
    return (words[0], words[1:]) if words else ("help", [])


def apt(*arguments: str) -> None:
    """Run apt-get, with the build's CA bundle where there is one."""
    options = ["-o", f"Acquire::https::CaInfo={CA}"] if CA.is_file() else []
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    status = subprocess.run(
        ["apt-get", "-qq", *options, *arguments], env=environment, stdout=sys.stderr, check=False
    ).returncode
    if status:
        raise RefusedError(f"Error: apt-get {' '.join(arguments[:2])} ended with status {status}")


def install(names: list[str], translator: Translator) -> None:
    """Install Debian's counterparts and put this image's Pythons on PATH."""
    debian = translator.debian(names)
    if debian:
        apt("update")
        apt("install", "-y", "--no-install-recommends", *debian)
    for minor in {minor for name in names if (minor := translator.python_of(name))}:
        link = TARGETS / f"python{minor}"
        if not link.exists():
            link.symlink_to(PYTHONS / link.name)
    print(f"Complete! ({len(names)} names, {len(debian)} Debian packages)")


def remove(names: list[str], translator: Translator) -> None:
    """Remove Debian's counterparts, except what Debian cannot be without."""
    keep = {"passwd", "debianutils"}
    debian = [name for name in translator.debian(names) if name not in keep]
    if debian:
        apt("purge", "-y", *debian)
    print("Complete!")


def clean(_: list[str], __: Translator) -> None:
    """Forget package lists and downloads."""
    apt("clean")
    subprocess.run("rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log", shell=True, check=True)


def update(_: list[str], __: Translator) -> None:
    """Bring what is installed up to date."""
    apt("update")
    apt("upgrade", "-y")
    print("Complete!")


def makecache(_: list[str], __: Translator) -> None:
    """Fetch package lists."""
    apt("update")


COMMANDS: dict[str, Callable[[list[str], Translator], None]] = {
    "install": install,
    "reinstall": install,
    "remove": remove,
    "erase": remove,
    "clean": clean,
    "update": update,
    "upgrade": update,
    "makecache": makecache,
}


def main(arguments: list[str]) -> int:
    """Run one command as dnf would; 0 done, 1 refused or failed."""
    try:
        command, names = parse(arguments)
        if command not in COMMANDS:
            raise RefusedError(f"Error: the stand-in of dnf has no command {command!r}; it has {', '.join(COMMANDS)}")
        COMMANDS[command](names, Translator(tomllib.loads(LIST.read_text(encoding="utf-8"))))
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
