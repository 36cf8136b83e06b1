"""A CPython of this machine, found and copied so that it works inside an image.

Where no registry answers there is no official Python image, and Debian 12 packages one minor version only.
pyenv and uv keep
whole, movable installations; those are what is looked for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from commands import OfflineError

_PROBE = (
    "import json,platform,sys,sysconfig;"
    "print(json.dumps([platform.python_implementation(),platform.python_version(),sys.base_prefix,"
    "sysconfig.get_path('stdlib'),platform.machine(),platform.libc_ver()[1]]))"
)

# Parts of an installation that official images leave out as well: 60 % of its size.
_LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|test|tests|idlelib|turtledemo|tkinter|site-packages)(/|$)"
    r"|libpython[^/]*\.a$|(^|/)_tkinter[^/]*\.so$|(^|/)_(testcapi|testinternalcapi|testbuffer|ctypes_test|xxtestfuzz)[^/]*\.so$"
)


@dataclass(frozen=True)
class FoundPython:
    """A movable CPython installation.

    Attributes:
        version: full version, e.g. ``3.12.1``.
        prefix: its folder, e.g. ``<pyenv root>/versions/3.12.1``.
        executable: the interpreter in it.
    """

    version: str
    prefix: Path
    executable: Path

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])


def candidates(minor: str, environment: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Give interpreters that may be of the wanted minor version: pyenv's versions folder, uv's store, PATH.

    The versions folder is searched itself because a pyenv shim on PATH answers only where the version is switched on.
    """
    roots = [Path(environment["PYENV_ROOT"])] if environment.get("PYENV_ROOT") else []
    roots.append(home / ".pyenv")
    for root in roots:
        yield from sorted((root / "versions").glob(f"{minor}*/bin/python{minor}"))
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local/share")
    stores = [Path(environment["UV_PYTHON_INSTALL_DIR"])] if environment.get("UV_PYTHON_INSTALL_DIR") else []
    for store in [*stores, data / "uv/python"]:
        yield from sorted(store.glob(f"cpython-{minor}*/bin/python{minor}"))
    for folder in environment.get("PATH", "").split(os.pathsep):
        if folder and (Path(folder) / f"python{minor}").is_file():
            yield Path(folder) / f"python{minor}"


def probe(executable: Path) -> FoundPython | None:
    """Ask an interpreter what it is; None when it does not run or cannot be moved (a distribution's, under /usr)."""
    try:
        done = subprocess.run([executable, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=20, check=False)
        implementation, version, prefix, stdlib, _, _ = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    movable = Path(prefix) != Path("/usr") and Path(stdlib).is_relative_to(prefix)
    if done.returncode or implementation != "CPython" or not movable:
        return None
    return FoundPython(version, Path(prefix), executable)


def find(patch: str, environment: Mapping[str, str], home: Path) -> FoundPython:
    """Find the Python nearest to the wanted one: that very version, else the newest of the same minor version.

    Args:
        patch: MWAA's full version, e.g. ``3.12.13`` (catalog: ``python_patch``).

    Raises:
        OfflineError: none of that minor version is on the machine.
    """
    minor = ".".join(patch.split(".")[:2])
    found: dict[Path, FoundPython] = {}
    for path in candidates(minor, environment, home):
        python = probe(path)
        if python is not None and python.minor == minor:
            found.setdefault(python.prefix, python)
    same = list(found.values())
    if not same:
        raise OfflineError(
            f"no CPython {minor} on this machine that can be copied into an image"
            " (looked in pyenv's versions folder, uv's store, PATH)",
            f"`pyenv install {patch}` or `uv python install {minor}`, on a machine with network if need be:"
            " both folders can be carried over",
        )
    return max(
        same, key=lambda python: (python.version == patch, [int(part) for part in re.findall(r"\d+", python.version)])
    )


def copy(python: FoundPython, target: Path) -> None:
    """Copy an installation to ``target`` as it would be under /usr/local, without tests, packages and Tk."""
    if target.exists():
        shutil.rmtree(target)
    name = f"python{python.minor}"
    (target / "bin").mkdir(parents=True)
    (target / "lib").mkdir()
    shutil.copy2((python.prefix / "bin" / name).resolve(), target / "bin" / name)
    for library in sorted((python.prefix / "lib").glob("libpython3*.so*")):
        if python.minor in library.name or library.name == "libpython3.so":
            shutil.copy2(library, target / "lib" / library.name, follow_symlinks=False)
    shutil.copytree(
        python.prefix / "lib" / name,
        target / "lib" / name,
        symlinks=True,
        ignore=lambda folder, names: {
            entry
            for entry in names
            if _LEFT_OUT.search(str((Path(folder) / entry).relative_to(python.prefix / "lib" / name)))
        },
    )
    (target / "lib" / name / "site-packages").mkdir()
    headers = python.prefix / "include" / name
    if headers.is_dir():
        shutil.copytree(headers, target / "include" / name)
    _say_usr_local(python, target / "lib" / name)
    _strip(target)


def _strip(target: Path) -> None:
    """Drop debugging symbols, half of the size of a Python that somebody compiled; without strip nothing happens."""
    libraries = [path for path in (target / "lib").rglob("*.so*") if path.is_file() and not path.is_symlink()]
    if shutil.which("strip"):
        # A library that strip does not know (a linker script) stays as it is.
        subprocess.run(["strip", "--strip-unneeded", *libraries], capture_output=True, timeout=120, check=False)


def _say_usr_local(python: FoundPython, stdlib: Path) -> None:
    """Put /usr/local where the build wrote its own folder, or a compiler in the image is sent to a missing path."""
    for path in [*stdlib.glob("_sysconfigdata_*.py"), *stdlib.glob("config-*/Makefile")]:
        text = path.read_text(encoding="utf-8", errors="replace")
        path.write_text(text.replace(str(python.prefix), "/usr/local"), encoding="utf-8")


# Run inside the image: every shared library of the standard library must resolve, and what Airflow needs must import.
CHECK = r"""
import ctypes, glob, subprocess, sys, sysconfig
import bz2, ctypes.util, hashlib, lzma, readline, sqlite3, ssl, uuid, zlib
folder = sysconfig.get_path("platstdlib") + "/lib-dynload"
bad = []
for path in [sys.executable, *glob.glob(folder + "/*.so")]:
    text = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
    bad += [path + ": " + line.strip() for line in text.splitlines() if "not found" in line]
if bad:
    sys.exit("shared libraries that do not resolve in this image:\n" + "\n".join(bad))
print(sys.version.split()[0], ssl.OPENSSL_VERSION, "sqlite", sqlite3.sqlite_version)
"""
