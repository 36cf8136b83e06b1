"""Run a command as a component would: its environment, its folders, its namespace."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mwaa_local.errors import UsageError
from mwaa_local.runtime import files, host_tools, interpreter, namespace, package_set, status
from mwaa_local.runtime.reading import read_inputs

# Of the caller's terminal, not of the component.
TERMINAL = ("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")


def run(component: str, argv: Sequence[str], variables: Mapping[str, str]) -> int:
    """Replace this process by the command; returns only when that is not possible.

    Args:
        component: Whose environment.
        argv: The command; its words are not read by a shell.
        variables: Inputs of the component, as for its boot.

    Raises:
        UsageError: the component has never been started, or there is no command.
    """
    if not argv:
        raise UsageError("no command was given", hint="python -m mwaa_local.runtime exec COMPONENT -- COMMAND ...")
    run_dir = Path(variables.get("MWAA_LOCAL__RUN_DIR") or "/usr/local/mwaa/run")
    try:
        kept = json.loads((run_dir / files.ENVIRONMENT_FILE).read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the {component} component has not been started yet",
            where=str(run_dir),
            why=str(error),
            hint="run `mwaa-local up`",
        ) from error
    home = kept["home"]
    if not _enter(component, kept, run_dir, variables):
        home = str(Path(variables.get("MWAA_LOCAL__HOME") or home))
    os.chdir(home)
    environment = {**kept["variables"], **{name: variables[name] for name in TERMINAL if name in variables}}
    try:
        os.execvpe(argv[0], list(argv), environment)
    except OSError as error:
        raise UsageError(f"{argv[0]} cannot be run", why=error.strerror or str(error)) from error
    return 127


def _enter(component: str, kept: Mapping[str, str], run_dir: Path, variables: Mapping[str, str]) -> bool:
    """Enter the component's namespace, or make one like it when it does not run; whether its home is seen."""
    known = status.read(run_dir) or {}
    if (known.get("namespace") or {}).get("mode") != "mount":
        return Path(kept["home"]).is_dir()
    if known.get("state") in (status.BOOTING, status.RUNNING, status.DRAINING) and namespace.join(int(kept["pid"])):
        return True
    inputs = read_inputs(component, variables)
    placement = namespace.enter(
        inputs.namespace,
        home=inputs.home,
        scratch=run_dir / f"namespace-{os.getpid()}",
        binds=files.binds(inputs),
        python=interpreter.behind(inputs.base_set),
        tools=host_tools.stand_ins(variables.get("PATH", "")),
    )
    if placement.mode != "mount":
        return False
    inputs = replace(inputs, visible_home=placement.home, placement=placement.mode)
    package_set.place(inputs, (run_dir / package_set.LINK).resolve())
    return True
