"""Compiling what was installed, once, for all components that share a set.

Measured on 3.2.1: importing Airflow without bytecode costs 5.2 s of processor time in every process, with it 2.4 s; all
7,400 files take 8.5 s on two cores. So the base set compiles the folders Airflow's own processes import from (a data
file), an image everything, a requirement set what it added; tests never. The rest Python writes at first use.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

from mwaa_local.packages import child

_TIMEOUT_S = 180.0
# The standard library's own command starts a pool of processes per folder: twenty seconds for these four hundred.
_SCRIPT = """
import compileall, multiprocessing, os, sys
flat = sys.argv[1] == "-l"
files = []
for target in sys.argv[1 + flat:]:
    if os.path.isfile(target):
        files.append(target)
    for folder, folders, names in os.walk(target):
        folders[:] = [name for name in folders if name not in ("tests", "test", "_tests", "testing")]
        files += [os.path.join(folder, name) for name in names if name.endswith(".py")]
        if flat:
            break
def work(path):
    try:
        compileall.compile_file(path, quiet=2)
    except Exception:
        pass
if __name__ == "__main__":
    if len(files) < 100:
        list(map(work, files))
    else:
        with multiprocessing.get_context("fork").Pool() as pool:
            for _ in pool.imap_unordered(work, files, chunksize=16):
                pass
"""


def compile_hot(python: Path, site_packages: Path) -> float:
    """Write bytecode of the folders Airflow's own processes import from; returns the seconds it took."""
    data = resources.files("mwaa_local.packages") / "data" / "hot_folders.txt"
    folders = (line for line in data.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return _compile(python, ("-l",), [path for name in folders if (path := site_packages / name).is_dir()])


def compile_all(python: Path, site_packages: Path) -> float:
    """Write all bytecode; returns the seconds it took."""
    return _compile(python, (), [site_packages])


def compile_names(python: Path, site_packages: Path, names: Iterable[str]) -> float:
    """Write bytecode of some packages and modules, paths relative to ``site-packages``; returns the seconds it took."""
    return _compile(python, (), [path for name in names if (path := site_packages / name).exists()])


def brought_by(site_packages: Path, distributions: Sequence[str]) -> list[str]:
    """Top-level packages and modules of some distributions (canonical names), from their ``RECORD`` files."""
    wanted = {name.replace("-", "_") for name in distributions}
    found: set[str] = set()
    for folder in site_packages.glob("*.dist-info"):
        if folder.name.partition("-")[0].lower().replace(".", "_").replace("-", "_") not in wanted:
            continue
        try:
            record = (folder / "RECORD").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        for line in record.splitlines():
            parts = line.partition(",")[0].strip('"').split("/")
            if parts[-1].endswith(".py") and parts[0] not in {"..", "bin", ""}:
                # A namespace that many distributions share must not mean all of it.
                found.add("/".join(parts[: 3 if parts[:2] == ["airflow", "providers"] else 1]))
    return sorted(found)


def borrow(site_packages: Path, donor: Path, names: Iterable[str]) -> None:
    """Share the bytecode another set has of the same packages, by hard links.

    What belongs to a source file of another time or size is left out: Python would not take it.

    Args:
        site_packages: The new set's folder of packages.
        donor: The other set's.
        names: Packages and modules, as ``brought_by`` gives them.
    """
    for name in names:
        for folder, _, files in os.walk(donor / name):
            cached = os.path.join(folder, "__pycache__")  # noqa: PTH118 - thousands of files: no Path for each
            here = os.path.join(site_packages, os.path.relpath(folder, donor))  # noqa: PTH118
            if not (os.path.isdir(cached) and os.path.isdir(here)):  # noqa: PTH112
                continue
            sources = {file[:-3] for file in files if file.endswith(".py") and _same(folder, here, file)}
            target = os.path.join(here, "__pycache__")  # noqa: PTH118
            os.makedirs(target, exist_ok=True)  # noqa: PTH103
            with os.scandir(cached) as entries:
                for entry in entries:
                    if entry.name.endswith(".pyc") and entry.name.partition(".")[0] in sources:
                        # It is there already, or links are not possible: Python compiles it at first use.
                        with contextlib.suppress(OSError):
                            os.link(entry.path, os.path.join(target, entry.name))  # noqa: PTH118


def _same(one: str, other: str, name: str) -> bool:
    try:
        first = os.stat(os.path.join(one, name))  # noqa: PTH116, PTH118
        second = os.stat(os.path.join(other, name))  # noqa: PTH116, PTH118
    except OSError:
        return False
    return (first.st_mtime_ns, first.st_size) == (second.st_mtime_ns, second.st_size)


def _compile(python: Path, options: Sequence[str], targets: Sequence[Path]) -> float:
    if not targets:
        return 0.0
    # A file that does not compile is no failure: templates and tests for other Pythons are among them, nothing
    # imports them. Nor is the time limit: Python compiles at first use what is missing.
    return child.run(
        child.python(python, "-c", _SCRIPT, *options, *targets), env={"PATH": os.defpath}, timeout_s=_TIMEOUT_S
    ).seconds
