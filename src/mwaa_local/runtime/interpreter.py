"""The Python behind a package set, and what of it a namespace shows at MWAA's place, ``/usr/local`` (spec/10 5.4).

MWAA compiles Python with ``make install``, so its ``sys.prefix`` is ``/usr/local``, and Airflow lies in the user's
site-packages below ``~/.local``. An interpreter whose own files appear there says the same by itself.
"""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.catalog import limits

# Folders of an installation that hold its standard library: Red Hat's family has the second.
_LIBRARIES = ("lib", "lib64")


@dataclass(frozen=True)
class Shown:
    """A Python to be shown at MWAA's prefix.

    Attributes:
        minor: ``3.12``.
        executable: The interpreter itself, no link.
        files: Files and folders by the place below the prefix at which they are shown.
        empty: Folders below the prefix that are shown empty: what this machine's user installed for this Python is
            not in MWAA's image.
        home: For a Python that looks for packages where MWAA's does not (Debian's): the folder of its executable. It
            is then shown as a virtual environment at MWAA's prefix, and keeps its own standard library.
    """

    minor: str
    executable: Path
    files: dict[str, Path]
    empty: tuple[str, ...]
    home: Path | None = None

    @property
    def path(self) -> Path:
        """Where Airflow's processes find it."""
        return Path(limits().python_path(self.minor))


def behind(package_set: Path) -> Shown | None:
    """The Python of a set; ``None`` where it cannot be shown elsewhere, and the set's own path must do.

    Args:
        package_set: The set; need not exist. Its Python may be another one than MWAA's, if that was not found.
    """
    try:
        executable = (package_set / "bin" / "python").resolve(strict=True)
        minor = next(package_set.glob("lib/python3.*")).name.removeprefix("python")
    except (OSError, StopIteration):
        return None
    prefix = executable.parent.parent
    library = next((name for name in _LIBRARIES if (prefix / name / f"python{minor}" / "os.py").is_file()), None)
    if library is None or _holds_the_tool(minor):
        return None
    site = tuple(f"{name}/python{minor}/site-packages" for name in dict.fromkeys(("lib", library)))
    standard = prefix / library / f"python{minor}"
    if _looks_elsewhere(standard):
        return Shown(minor, executable, {}, site, executable.parent)
    files = {f"{library}/python{minor}": standard}
    # What extensions are compiled against, and the library that some interpreters find beside them.
    headers = prefix / "include" / f"python{minor}"
    files |= {f"include/python{minor}": headers} if headers.is_dir() else {}
    for shared in sorted((prefix / library).glob(f"libpython{minor}.so*")):
        files[f"{library}/{shared.name}"] = shared.resolve()
    return Shown(minor, executable, files, site)


def of_image(minor: str) -> Path | None:
    """The image's Python at MWAA's path; ``None`` in an image that has none there."""
    path = Path(limits().python_path(minor))
    return path if path.exists() else None


def _holds_the_tool(minor: str) -> bool:
    """Whether the tool itself is installed where this Python would be shown: hiding its modules would break it."""
    hidden = [Path(limits().python_prefix) / name / f"python{minor}" for name in _LIBRARIES]
    own = Path(sysconfig.get_path("purelib"))
    return any(own.is_relative_to(folder) for folder in hidden)


def _looks_elsewhere(standard_library: Path) -> bool:
    try:
        return "dist-packages" in (standard_library / "site.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
