"""Finding an interpreter for a Python minor version.

The one named, or the one whose patch level is nearest to MWAA's among PATH, pyenv's versions folder (its shims may be
off) and uv's managed store, or, if allowed, one fetched by uv. Where the exact minor is nowhere, the nearest one that
Airflow supports serves, and the result says so in words.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mwaa_local import catalog
from mwaa_local.catalog.packaging_facts import supported_pythons
from mwaa_local.errors import MachineError
from mwaa_local.packages import child, uv_tool
from mwaa_local.packages.pip_settings import PipSettings

_PROBE = (
    "import json,platform,sys,sysconfig,ssl,sqlite3,ctypes,lzma,bz2,venv;"
    "print(json.dumps({'executable':sys.executable,'prefix':sys.base_prefix,'version':platform.python_version(),"
    "'implementation':platform.python_implementation(),'platform':sysconfig.get_platform(),"
    "'build':sys.version,'base':getattr(sys,'_base_executable',sys.executable)}))"
)
_PROBE_S = 20.0
_FETCH_S = 180.0


@dataclass(frozen=True)
class Interpreter:
    """A Python that was run and answered.

    Attributes:
        path: The interpreter itself, never a shim or a virtual environment's link.
        version: ``3.12.1``.
        source: How it was found.
        build: What identifies this build; package sets for one build do not serve another.
        warning: What differs from MWAA's Python, for the user; ``None`` if the minor is the same.
    """

    path: Path
    version: str
    source: str
    build: str
    warning: str | None = None

    @property
    def minor(self) -> str:
        """``3.12``."""
        return ".".join(self.version.split(".")[:2])


def find(
    version: catalog.Version,
    *,
    environment: Mapping[str, str],
    cache: Path,
    explicit: Path | None = None,
    fetch: bool = True,
    nearest: bool = True,
) -> Interpreter:
    """The interpreter for an Airflow version.

    Args:
        version: The version.
        environment: ``PATH``, ``PYENV_ROOT``, ``HOME``, ``UV_PYTHON_INSTALL_DIR``, proxies.
        cache: The tool's cache folder.
        explicit: An interpreter the user named; nothing else is tried.
        fetch: uv may download one.
        nearest: Another minor that Airflow supports may stand in.

    Raises:
        MachineError: there is none, or the named one does not run or has a minor Airflow does not support.
    """
    supported = supported_pythons(version.airflow)
    if explicit is not None:
        found = probe(explicit, "named")
        if found is None or found.minor not in supported:
            raise MachineError(
                f"{explicit} cannot run Airflow {version.airflow}",
                where=str(explicit),
                why="it does not start" if found is None else f"it is Python {found.version}",
                hint=f"name a Python {version.python} (Airflow supports {', '.join(supported)})",
            )
        return _compared(found, version)
    if (found := _nearest_patch(version, environment)) is not None:
        return found
    why = "downloads are off"
    if fetch:
        found, why = _fetch(version.python, environment, cache)
        if found is not None:
            return found
    if nearest:
        wanted = int(version.python.split(".")[1])
        for minor in sorted(supported, key=lambda text: (abs(int(text.split(".")[1]) - wanted), text)):
            for candidate, source in _candidates(minor, environment):
                if (found := probe(candidate, source)) is not None and found.minor == minor:
                    return _compared(found, version)
    raise MachineError(
        f"No Python {version.python} for Airflow {version.airflow}",
        where="PATH, pyenv's versions, uv's managed Pythons",
        why=f"none there; {why}",
        hint=f"install Python {version.python} (for example `pyenv install {version.python}` or "
        f"`uv python install {version.python}`), or use the docker engine",
    )


def probe(candidate: Path, source: str) -> Interpreter | None:
    """Run an interpreter and ask it what it is; ``None`` if it does not answer or lacks parts Airflow needs."""
    try:
        answer = child.ask(
            child.python(candidate.absolute(), "-c", _PROBE), env={"PATH": os.defpath}, timeout_s=_PROBE_S
        )
        told = json.loads(answer.stdout)
    except (OSError, ValueError):
        return None
    if told["implementation"] != "CPython":
        return None
    path = Path(told["base"] or told["executable"])
    return Interpreter(path, told["version"], source, f"{told['build']} {told['platform']} {told['prefix']}")


def _nearest_patch(version: catalog.Version, environment: Mapping[str, str]) -> Interpreter | None:
    """Of the interpreters with MWAA's minor the one with the nearest patch level, the newer of two as near."""
    answers = [probe(candidate, source) for candidate, source in _candidates(version.python, environment)]
    found = [one for one in answers if one is not None and one.minor == version.python]
    wanted = _patch(version.python_patch)
    return min(found, key=lambda one: (abs(_patch(one.version) - wanted), -_patch(one.version)), default=None)


def _patch(version: str) -> int:
    digits = re.match(r"\d+\.\d+\.(\d+)", version)
    return int(digits[1]) if digits else -1


def patch_note(version: catalog.Version, python: str) -> str | None:
    """What a user should know of the patch level that runs; ``None`` when it is the image's, or another minor.

    Args:
        version: Airflow's version.
        python: The Python that runs it, ``3.12.1``.
    """
    if python == version.python_patch or python.split(".")[:2] != version.python.split("."):
        return None
    return f"Python {python} runs Airflow here, {version.python_patch} on MWAA: the nearest found on this machine"


def available(version: catalog.Version, environment: Mapping[str, str]) -> list[str]:
    """Files that may be a Python with MWAA's minor; none of them is run."""
    return [str(path) for path, _ in _candidates(version.python, environment)]


def _compared(found: Interpreter, version: catalog.Version) -> Interpreter:
    if found.minor == version.python:
        return found
    return replace(
        found,
        warning=f"MWAA runs Airflow {version.airflow} on Python {version.python}; here it runs on {found.version} "
        f"({found.path}). Packages are resolved for {found.minor}: other wheels and other markers may count.",
    )


def _candidates(minor: str, environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    seen: set[Path] = set()
    for path, source in (*_on_path(minor, environment), *_pyenv(minor, environment), *_managed(minor, environment)):
        real = path.resolve()
        # A pyenv shim answers only for the version that is switched on; the folder behind it is looked at next.
        if path.parent.name == "shims" or real in seen or not os.access(path, os.X_OK):
            continue
        seen.add(real)
        yield path, source


def _on_path(minor: str, environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    for folder in (environment.get("PATH") or os.defpath).split(os.pathsep):
        if Path(folder).is_absolute():
            for name in (f"python{minor}", "python3", "python"):
                if (found := shutil.which(name, path=folder)) and _may_be(Path(found), minor):
                    yield Path(found), "PATH"


def _may_be(path: Path, minor: str) -> bool:
    """Whether a plain ``python3`` may have the minor, judged by the file it leads to: probing each would cost time."""
    name = path.resolve().name
    return name == f"python{minor}" or not name.startswith("python3.")


def _home(environment: Mapping[str, str]) -> Iterator[Path]:
    if environment.get("HOME"):
        yield Path(environment["HOME"])
    try:
        yield Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return


def _pyenv(minor: str, environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    roots = [Path(environment["PYENV_ROOT"])] if environment.get("PYENV_ROOT") else []
    for root in dict.fromkeys([*roots, *(home / ".pyenv" for home in _home(environment))]):
        for folder in _newest_first((root / "versions").glob(f"{minor}*"), minor):
            yield folder / "bin" / f"python{minor}", "pyenv"


def _managed(minor: str, environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    stores = [Path(environment["UV_PYTHON_INSTALL_DIR"])] if environment.get("UV_PYTHON_INSTALL_DIR") else []
    if environment.get("XDG_DATA_HOME"):
        stores.append(Path(environment["XDG_DATA_HOME"]) / "uv" / "python")
    for store in dict.fromkeys([*stores, *(home / ".local/share/uv/python" for home in _home(environment))]):
        for folder in _newest_first(store.glob(f"cpython-{minor}*"), minor):
            yield folder / "bin" / f"python{minor}", "uv"


def _newest_first(folders: Iterator[Path], minor: str) -> Sequence[Path]:
    def patch(folder: Path) -> int:
        digits = folder.name.removeprefix("cpython-").removeprefix(f"{minor}.").split("-")[0]
        return int(digits) if digits.isdigit() else -1

    return sorted((folder for folder in folders if folder.is_dir()), key=patch, reverse=True)


def _fetch(minor: str, environment: Mapping[str, str], cache: Path) -> tuple[Interpreter | None, str]:
    uv = uv_tool.Uv(cache, environment, PipSettings())
    variables = uv.variables() | {"UV_PYTHON_DOWNLOADS": "manual", "UV_HTTP_RETRIES": "1"}
    done = child.run([uv_tool.binary(), "python", "install", minor], env=variables, timeout_s=_FETCH_S)
    if done.code == 0:
        for candidate, _ in _managed(minor, environment):
            if (found := probe(candidate, "uv, fetched now")) is not None and found.minor == minor:
                return found, ""
    last = next((line.strip() for line in reversed(done.lines) if line.strip()), "no answer")
    return None, f"uv could not fetch one: {last}"
