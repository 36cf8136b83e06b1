"""The one place that asks for a package set's Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.catalog import limits
from mwaa_local.model import Environment


@dataclass(frozen=True)
class PackageSet:
    """The Python of a package set.

    Attributes:
        python: Its interpreter.
        requirements: Whether ``requirements.txt`` is installed in it; ``None`` when there is none to install.
        note: What a reader should know about it (another Python minor version, where constraints came from).
        problem: Why the requirements could not be installed, empty when they could.
        corrected: What ``--fix`` would write is installed in the place of a file that cannot be; ``requirements`` is
            ``False`` all the same.
    """

    python: Path
    requirements: bool | None
    note: str = ""
    problem: str = ""
    corrected: bool = False


# (environment, variables of the user, variables the startup script exports) -> PackageSet; raises MwaaLocalError.
Locator = Callable[[Environment, Mapping[str, str], Mapping[str, str]], PackageSet]

# A check gives an index that does not answer up sooner than `up` does; the user's own settings win. Seconds.
_NETWORK = {"UV_HTTP_TIMEOUT": "15", "UV_HTTP_CONNECT_TIMEOUT": "5", "UV_HTTP_RETRIES": "1"}


def locator(cache: Path, progress: Callable[[str], None] = lambda _text: None) -> Locator:
    """A locator that makes what is missing, in the tool's cache folder.

    Args:
        cache: The folder all of the tool's commands share, so that ``up`` and ``validate`` install once.
        progress: Told what is being installed.
    """

    def locate(environment: Environment, variables: Mapping[str, str], exports: Mapping[str, str]) -> PackageSet:
        from mwaa_local.packages import UnmetRequirementsError, ensure, ensure_base

        variables = {**_NETWORK, **variables}
        base = ensure_base(environment.version, cache, environment=variables, emit=progress)
        note = _python_note(environment, base.minor)
        file = environment.workflow.requirements
        if not file.is_file():
            return PackageSet(base.interpreter, None, note)
        home = limits().home
        folders = {
            "dags": environment.workflow.dags,
            "plugins": environment.workflow.plugins,
            "requirements": file.parent,
        }
        constraints = variables.get("MWAA_CONSTRAINTS_DIR")
        try:
            made = ensure(
                environment.version,
                file,
                base=base,
                cache=cache,
                environment={**variables, **exports, **environment.spec.option_variables()},
                path_map={f"{home}/{name}": place for name, place in folders.items()},
                constraints_dir=Path(constraints) if constraints else None,
                resolver=environment.local.resolver,
                emit=progress,
            )
        except UnmetRequirementsError as error:
            return PackageSet(
                base.interpreter, False, note, f"{error.what}{f' ({error.why})' if error.why else ''}"[:500]
            )
        return PackageSet(made.interpreter, True, note)

    return locate


def _python_note(environment: Environment, minor: str) -> str:
    wanted = environment.version.python
    return "" if minor == wanted else f"on Python {minor}, since Python {wanted} is not on this machine"
