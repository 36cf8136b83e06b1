"""Workflow files and Airflow's helper packages, put where MWAA has them (spec/04 section 14.1)."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from mwaa_local.catalog import limits
from mwaa_local.errors import MachineError, WorkflowFileError
from mwaa_local.model.plugins import ARCHIVE_NAME, holds_something
from mwaa_local.runtime import plugins
from mwaa_local.runtime.inputs import RuntimeInputs
from mwaa_local.runtime.namespace import Bind

# Loaded inside Airflow's own processes; nothing else of the tool may be importable there.
_AIRFLOW_PACKAGES = ("mwaa", "mwaa_airflow")

ENVIRONMENT_FILE = "environment.json"
_SHELL_FILE = "environment.sh"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def binds(inputs: RuntimeInputs) -> list[Bind]:
    """Folders of the workspace that are shown, not copied: a saved DAG counts at once."""
    dags = inputs.workflow.get("dags")
    return [Bind(dags, "dags")] if dags and dags.is_dir() else []


def roots(inputs: RuntimeInputs) -> dict[str, list[Path]]:
    """Where the user's files may be said to be: by MWAA's name, in the component's home, in the workspace."""
    homes = [Path(limits().home), inputs.visible_home, inputs.home]
    return {
        name: list(dict.fromkeys([*(home / name for home in homes), *filter(None, [inputs.workflow.get(name)])]))
        for name in ("dags", "plugins")
    }


def place(inputs: RuntimeInputs, note: Callable[[str], None] = lambda _text: None) -> list[str]:
    """Put plugins, requirements and startup script under the home; in an image they are mounted there already.

    Args:
        inputs: Of the component.
        note: Told what a user should know though MWAA would say nothing.

    Returns:
        What was done, for the phase's detail.

    Raises:
        WorkflowFileError: ``plugins.zip`` is refused, or a file cannot be read.
    """
    home, done = inputs.home, []
    for folder in ("dags", "plugins", "requirements", "startup", "logs"):
        with contextlib.suppress(OSError):  # a read-only mount is there already
            (home / folder).mkdir(parents=True, exist_ok=True)
    archive = inputs.plugins_zip
    source = inputs.workflow.get("plugins")
    if archive is None and source is not None and source.is_file():
        archive = source
    if archive is not None and archive.exists():
        count = plugins.unpack(archive, home / "plugins", cap_bytes=inputs.max_plugins_bytes)
        done.append(f"{count} entries of plugins.zip")
        if [entry.name for entry in (home / "plugins").iterdir()] == ["plugins"]:
            note(
                "everything in plugins.zip lies below plugins/, so it ends up in plugins/plugins/ as on MWAA, where no "
                "import finds it; zip the content of the folder: cd plugins && zip -r ../plugins.zip ."
            )
    elif source is None and (home / "plugins" / ARCHIVE_NAME).is_file() and not holds_something(home / "plugins"):
        note(
            "the folder plugins/ holds plugins.zip only, and that is not unpacked when containers are started without "
            "the tool: start with `mwaa-local up`, or unpack it"
        )
    elif source is not None and (changed := plugins.mirror(source, home / "plugins")):
        done.append(f"{changed} plugin files")
    if "startup_script" in inputs.workflow:
        _copy(inputs.workflow["startup_script"], home / "startup" / "startup.sh")
    if "requirements" in inputs.workflow:
        _copy_requirements(inputs.workflow["requirements"], home / "requirements")
    if not inputs.in_image:
        link_packages(inputs.python_folder)
    settings = inputs.python_folder / "mwaa_airflow" / "local_settings.py"
    with contextlib.suppress(OSError):  # a home that cannot be written is the user's own arrangement
        (home / "config").mkdir(exist_ok=True)
        point(home / "config" / "airflow_local_settings.py", settings)  # MWAA's own (spec/10 section 5.2)
        if inputs.version.has("web_config_in_home"):
            point(home / "webserver_config.py", inputs.python_folder / "mwaa" / "webserver" / "webserver_config.py")
    return done


def link_packages(folder: Path) -> None:
    """A folder with Airflow's side of the tool and nothing else, for PYTHONPATH.

    Raises:
        MachineError: the tool's own installation is not whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in _AIRFLOW_PACKAGES:
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            raise MachineError(
                f"the package {name} is missing beside mwaa_local", hint="install mwaa-local anew: `make install`"
            )
        point(folder / name, Path(places[0]))
    # Python runs it at each start: what pip installs in a component is the component's own.
    point(folder / "sitecustomize.py", folder / "mwaa_airflow" / "sitecustomize.py")


def point(link: Path, target: Path) -> bool:
    """Make a symbolic link point somewhere, in one step; whether anything changed."""
    if link.is_symlink() and link.readlink() == target:
        return False
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    partial = link.with_name(f".{link.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target)
    partial.replace(link)
    return True


def keep_environment(inputs: RuntimeInputs, variables: Mapping[str, str]) -> None:
    """Keep the environment of Airflow's processes for later commands: ``exec``, and a shell in the container.

    MWAA appends it to ``.bashrc`` in clear text (spec/10 section 2.2); here a file that only the owner can read is
    named there.
    """
    kept = {"variables": dict(variables), "home": str(inputs.visible_home), "pid": os.getpid()}
    _write_private(inputs.run_dir / ENVIRONMENT_FILE, json.dumps(kept))
    script = inputs.run_dir / _SHELL_FILE
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items() if _IDENTIFIER.match(name)]
    _write_private(script, "\n".join(lines) + "\n")
    line = f"[ -r {shlex.quote(str(script))} ] && . {shlex.quote(str(script))}\n"
    for name in (".bashrc", ".bash_profile"):
        with contextlib.suppress(OSError):
            file = inputs.home / name
            if not file.exists() or line not in file.read_text(encoding="utf-8", errors="replace"):
                with file.open("a", encoding="utf-8") as stream:
                    stream.write(line)


def _write_private(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(
        os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", errors="surrogateescape"
    ) as stream:
        stream.write(text)
    partial.replace(path)


def _copy_requirements(source: Path, folder: Path) -> None:
    """The requirements file, and the text files beside it that its ``-r`` and ``-c`` lines may name."""
    beside = {item.name: item for item in source.parent.glob("*.txt")} if source.parent.is_dir() else {}
    wanted = {**beside, "requirements.txt": source}
    for stale in folder.iterdir():
        if stale.name not in wanted:
            stale.unlink()
    for name, item in wanted.items():
        _copy(item, folder / name)


def _copy(source: Path, target: Path) -> None:
    """A copy, so that a file saved while the component runs has no effect until the next start, as on MWAA."""
    try:
        if source.is_file():
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copy2(source, partial)
            partial.replace(target)
        else:
            target.unlink(missing_ok=True)
    except OSError as error:
        raise WorkflowFileError(f"{target.name} cannot be put in place", where=str(source), why=str(error)) from error
