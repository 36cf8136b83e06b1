"""What of this machine a component sees: folders of workflow files, read-only; the caller's proxies and indexes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mwaa_local.catalog import limits
from mwaa_local.engines.docker.hosts import peers
from mwaa_local.model import Environment
from mwaa_local.runtime.inputs import host_variables

_PLACE = Path("/usr/local/mwaa")
_NAMES = {"requirements": "requirements.txt", "startup": "startup.sh"}
# Of the caller's variables, those that mean the same inside a container.
_INDEXES = re.compile(r"PIP_(EXTRA_)?INDEX_URL|PIP_TRUSTED_HOST|UV_(DEFAULT_|EXTRA_)?INDEX(_URL)?|UV_INSECURE_HOST|TZ")
_PROXIES = re.compile(r"(https?|all|ftp)_proxy", re.IGNORECASE)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def mounts(
    environment: Environment, folder: Path, host: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Folders the components see, read-only, and the variables that belong to them."""
    workflow, home = environment.workflow, limits().home
    empty = folder / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    extra: dict[str, str] = {}
    found = [_mount(workflow.dags if workflow.dags.is_dir() else empty, f"{home}/dags")]
    if workflow.plugins.is_file():
        # The runtime unpacks it, so the folder must be the container's own: a nameless volume takes the mount's place.
        found.append(_mount(workflow.plugins, str(_PLACE / "plugins.zip")))
        found.append({"type": "volume", "target": f"{home}/plugins"})
        extra["MWAA_LOCAL__PLUGINS_ZIP"] = str(_PLACE / "plugins.zip")
    else:
        found.append(_mount(workflow.plugins if workflow.plugins.is_dir() else empty, f"{home}/plugins"))
    found.append(
        _mount(_folder_of(workflow.requirements, environment.project, folder / "requirements"), f"{home}/requirements")
    )
    found.append(
        _mount(_folder_of(workflow.startup_script, environment.project, folder / "startup"), f"{home}/startup")
    )
    constraints = host.get("MWAA_CONSTRAINTS_DIR")
    if constraints and Path(constraints).expanduser().is_dir():
        found.append(_mount(Path(constraints).expanduser().resolve(), str(_PLACE / "constraints")))
        extra["MWAA_CONSTRAINTS_DIR"] = str(_PLACE / "constraints")
    for name, path in _aws_files(environment, host).items():
        found.append(_mount(path, str(_PLACE / "aws-files" / path.name)))
        extra[name] = str(_PLACE / "aws-files" / path.name)
    if environment.local.aws != "local":
        extra["AWS_PROFILE"] = environment.local.aws
    return found, {**outside(host, peers(environment)), **extra}


def _mount(source: Path, target: str) -> dict[str, Any]:
    return {"type": "bind", "source": str(source).replace("$", "$$"), "target": target, "read_only": True}


def _folder_of(file: Path, project: Path, folder: Path) -> Path:
    """A folder that holds the file under MWAA's name for it: its own, or one of ours with copies.

    The folder and not the file is mounted, for editors save by replacing, which a mounted file never notices.
    """
    wanted = _NAMES[folder.name]
    # Beside other things (mwaa.yaml, .git) the folder is not for the components to see.
    if file.name == wanted and file.is_file() and file.parent != project:
        return file.parent
    folder.mkdir(parents=True, exist_ok=True)
    copies = {wanted: file} if file.is_file() else {}
    if folder.name == "requirements" and file.is_file():
        copies = {**{item.name: item for item in file.parent.glob("*.txt") if item.is_file()}, **copies}
    for stale in folder.iterdir():
        if stale.name not in copies:
            stale.unlink()
    for target, source in copies.items():
        shutil.copyfile(source, folder / target)
    return folder


def _aws_files(environment: Environment, host: Mapping[str, str]) -> dict[str, Path]:
    """The user's AWS files, only where ``Local.Aws`` names a profile."""
    given = host_variables(host, environment.local.aws)
    names = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
    return {name: Path(given[name]) for name in names if name in given and Path(given[name]).is_file()}


def outside(host: Mapping[str, str], peers: Sequence[str]) -> dict[str, str]:
    """The caller's proxies and package indexes, where a container can reach them; its own peers need no proxy."""
    found: dict[str, str] = {}
    for name, value in host.items():
        if value and (_INDEXES.fullmatch(name) or _PROXIES.fullmatch(name)) and not _is_local(value):
            found[name] = value
    if any(_PROXIES.fullmatch(name) for name in found):
        given = host.get("NO_PROXY") or host.get("no_proxy") or ""
        names = [*(part for part in given.split(",") if part), *peers, *_LOOPBACK]
        found["NO_PROXY"] = found["no_proxy"] = ",".join(dict.fromkeys(names))
    return found


def _is_local(value: str) -> bool:
    """Whether an address names this machine by a name that means something else in a container."""
    return "://" in value and (urlsplit(value).hostname or "") in _LOOPBACK
