"""The workspace as rules see it: each file read once, on first use, whichever rule asks."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from mwaa_local.catalog import Version, limits
from mwaa_local.catalog.airflow_names import option_names
from mwaa_local.catalog.parsing import Parsing, parsing
from mwaa_local.errors import MwaaLocalError
from mwaa_local.model import Environment
from mwaa_local.model.cache import cache_folder
from mwaa_local.preflight import imports as imports_module
from mwaa_local.preflight.findings import Area, Unchecked
from mwaa_local.preflight.imports import SETTINGS_FILE, Imports, Request
from mwaa_local.preflight.readings import definition, plugins
from mwaa_local.preflight.readings.dags import Dags
from mwaa_local.preflight.readings.definition import DefinitionReading
from mwaa_local.preflight.readings.plugins import Plugins
from mwaa_local.preflight.readings.shell_state import Surroundings
from mwaa_local.preflight.readings.startup import StartupScript
from mwaa_local.preflight.readings.text import TextFile
from mwaa_local.preflight.sets import Locator, PackageSet


class Correction(Protocol):
    """A requirements file as it would be corrected; see ``resolving.fix``, which reads workspaces."""

    @property
    def file(self) -> Path:
        """The file."""

    @property
    def corrected(self) -> str:
        """What would stand in it."""

    @property
    def changes(self) -> Sequence[object]:
        """What would change; nothing where it stays."""

    @property
    def verified(self) -> bool | None:
        """Whether that resolves."""


class Workspace:
    """One workspace checked against one Airflow version.

    Args:
        project: Folder with ``mwaa.yaml`` and the workflow files.
        flags: Dotted fields that beat the file (``AirflowVersion`` of ``--target``).
        variables: The process environment.
        locate: Finds the package set; ``None`` when imports are not wanted.
        correct: What ``--fix`` would make of requirements that cannot be installed; ``None`` leaves them out.
        only: Files to look at; none for all.
        areas: Areas whose rules run; decides what has to be imported.
        untrusted: The files are a stranger's: nothing of them is run, nothing is built.
        progress: Told about long steps.
    """

    def __init__(
        self,
        project: Path,
        *,
        flags: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
        locate: Locator | None = None,
        correct: Callable[[Workspace], Correction | None] | None = None,
        only: frozenset[Path] | None = None,
        areas: frozenset[Area] = frozenset(Area),
        untrusted: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.project = project.expanduser().resolve()
        self.flags = dict(flags or {})
        self.variables = dict(variables or {})
        self.only = only
        self.areas = areas
        self.untrusted = untrusted
        self.progress = progress or (lambda _text: None)
        self._locate = locate
        self._correct = correct
        self._lock = threading.RLock()
        self._import_lock = threading.Lock()
        self._cleanup = contextlib.ExitStack()

    def close(self) -> None:
        """Remove what was unpacked."""
        self._cleanup.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def definition(self) -> DefinitionReading:
        """The definition file, its faults and what it describes."""
        with self._lock:
            return definition.read(self.project, self.flags, self.variables)

    @property
    def environment(self) -> Environment:
        """The environment that the good fields of the definition describe."""
        return self.definition.environment

    @property
    def version(self) -> Version:
        """The Airflow version checked against."""
        return self.environment.version

    @property
    def parsing(self) -> Parsing:
        """How this version parses DAG files."""
        return parsing(self.version.airflow)

    def option(self, name: str, default: str) -> str:
        """A configuration option under any of its names, or what MWAA has for it."""
        for known in option_names(self.version.airflow).names(name):
            if known in self.environment.spec.options:
                return self.environment.spec.options[known]
        return default

    def option_number(self, name: str, default: float) -> float:
        """A numeric configuration option; the default where the text is no number (another rule says so)."""
        try:
            return float(self.option(name, str(default)))
        except ValueError:
            return default

    def _wanted(self, path: Path) -> bool:
        return self.only is None or any(path == chosen or chosen in path.parents for chosen in self.only)

    @cached_property
    def startup(self) -> StartupScript | None:
        """The startup script; ``None`` when there is none."""
        text = self._text(self.environment.workflow.startup_script)
        return StartupScript(text, self._surroundings()) if text else None

    def _surroundings(self) -> Surroundings:
        """What the startup script finds in a container, as far as the workspace tells (spec/10 sections 2.2, 2.5)."""
        environment, home = self.environment, limits().home
        flow = environment.workflow
        given = {
            **dict.fromkeys(("AIRFLOW_HOME", "AIRFLOW_USER_HOME", "HOME", "PWD"), home),
            **dict.fromkeys(("AIRFLOW_ENV_NAME", "MWAA_ENV_NAME"), environment.name),
            **dict.fromkeys(("AWS_REGION", "AWS_DEFAULT_REGION"), environment.local.region),
            "AIRFLOW_VERSION": environment.version.airflow,
            "AWS_EXECUTION_ENV": f"Amazon_MWAA_{environment.version.digits}",
            **environment.spec.option_variables(),
        }
        folders = {"dags": flow.dags, "plugins": flow.plugins, "requirements": flow.requirements.parent}
        return Surroundings(given, {f"{home}/{name}": place for name, place in folders.items()}, home)

    @cached_property
    def requirements(self) -> TextFile | None:
        """``requirements.txt``; ``None`` when there is none."""
        return self._text(self.environment.workflow.requirements)

    def _text(self, path: Path) -> TextFile | None:
        if not path.is_file():
            return None
        try:
            return TextFile.read(path)
        except OSError:
            return None

    @cached_property
    def plugins(self) -> Plugins | None:
        """The plugins that count (``mwaa_local.model.plugins``), whether a folder or an archive."""
        with self._lock:
            path = self.environment.workflow.plugins
            if path.is_file():
                return plugins.read_archive(path)
            return plugins.read_folder(path) if path.is_dir() and any(path.iterdir()) else None

    @cached_property
    def plugin_sources(self) -> tuple[Plugins, ...]:
        """The plugins that count, and archives beside them: archive rules look at all, for any may be uploaded."""
        found = [self.plugins] if self.plugins else []
        found += [plugins.read_archive(path) for path in self.environment.workflow.plugins_unused]
        return tuple(
            item
            for item in found
            if self.only is None
            or self._wanted(item.path)
            or any(chosen.is_relative_to(item.path) for chosen in self.only)
        )

    @cached_property
    def plugins_folder(self) -> Path:
        """A folder with the plugins as they lie on MWAA: the user's own, or the archive unpacked safely."""
        with self._lock:
            found = self.plugins
            if found is None or not found.archive:
                return self.environment.workflow.plugins
            target = Path(tempfile.mkdtemp(prefix="mwaa-validate-plugins-"))
            self._cleanup.callback(shutil.rmtree, target, ignore_errors=True)
            _unpack(found, target)
            return target

    @cached_property
    def dags(self) -> Dags:
        """The DAG folder."""
        with self._lock:
            folder = self.environment.workflow.dags
            only: frozenset[Path] | None = None
            if self.only is not None:
                every = Dags(folder, self.ignore_syntax).files
                only = frozenset(path for path in every if self._wanted(path))
            safe_mode = self.option("core.dag_discovery_safe_mode", "True").strip().lower() in ("true", "t", "1")
            return Dags(folder, self.ignore_syntax, only, self.parsing, safe_mode)

    @property
    def ignore_syntax(self) -> str:
        """How ``.airflowignore`` is read."""
        return self.option("core.dag_ignore_file_syntax", self.parsing.ignore_syntax)

    @property
    def import_timeout(self) -> float:
        """Seconds a DAG file may take to import."""
        return self.option_number("core.dagbag_import_timeout", self.parsing.dagbag_import_timeout)

    @property
    def processor_timeout(self) -> float:
        """Seconds a file processor may take for a file."""
        return self.option_number(self.parsing.processor_timeout_option, self.parsing.dag_file_processor_timeout)

    @cached_property
    def imports(self) -> Imports:
        """What happened when everything was imported in the version's real package set."""
        with self._import_lock:
            # Many rules ask; the first one in does the work.
            return self.__dict__.get("imports") or self._import()

    def _import(self) -> Imports:
        # Read outside of the import processes first: a fault there is a rule's, not theirs.
        files = list(self.dags.imported) if Area.DAGS in self.areas else []
        silent = list(self.dags.silent) if Area.DAGS in self.areas else []
        with_plugins = Area.PLUGINS in self.areas and self.plugins is not None and bool(self.plugins.python)
        settings = [
            path
            for path in (self.environment.workflow.dags / SETTINGS_FILE, self.plugins_folder / SETTINGS_FILE)
            if path.is_file()
        ]
        if not files and not silent and not with_plugins and not settings:
            return Imports(None)
        if self._locate is None or self.untrusted:
            why, hint = (
                ("--untrusted runs nothing of the project", "validate without it once the files were read")
                if self.untrusted
                else ("they were switched off", "leave --no-imports out")
            )
            return Imports(None, unchecked=(Unchecked("imports of DAGs and plugins", why, hint, chosen=True),))
        self.progress(f"package set of Airflow {self.version.airflow}")
        try:
            # Wheels and constraints of an archive lie where pip finds them only once it is unpacked.
            workflow = dataclasses.replace(self.environment.workflow, plugins=self.plugins_folder)
            package_set = self._package_set(workflow.requirements, workflow.plugins)
            if package_set.requirements is False:
                package_set = self._corrected(package_set)
        except MwaaLocalError as error:
            return Imports(
                None,
                unchecked=(
                    Unchecked(
                        f"imports of DAGs and plugins on Airflow {self.version.airflow}",
                        f"{error.what}{f' ({error.why})' if error.why else ''}",
                        error.hint,
                    ),
                ),
            )
        self.progress(f"importing {len(files)} DAG files on Airflow {self.version.airflow}")
        request = Request(
            environment=self.environment,
            dags=self.environment.workflow.dags,
            plugins=self.plugins_folder,
            files=files,
            silent=silent,
            safe_mode=self.dags.safe_mode,
            with_plugins=with_plugins,
            settings=settings if self.only is None else [],
            startup=self.startup,
            hard_timeout=max(self.processor_timeout, self.import_timeout + 5),
            path=self.variables.get("PATH", os.defpath),
            databases=cache_folder(self.variables) / "import-databases",
        )
        return imports_module.run(package_set, request)

    def _package_set(self, requirements: Path, plugins: Path) -> PackageSet:
        assert self._locate is not None, "the caller looked"
        workflow = dataclasses.replace(self.environment.workflow, plugins=plugins, requirements=requirements)
        return self._locate(
            dataclasses.replace(self.environment, workflow=workflow),
            self.variables,
            imports_module.startup_variables(self.startup, self.version.airflow),
        )

    def _corrected(self, failed: PackageSet) -> PackageSet:
        """The set of what ``--fix`` would write, so that files which need packages are imported; else the base set."""
        if self._correct is None:
            return failed
        try:
            found = self._correct(self)
            if found is None or not found.changes or not found.verified:
                return failed
            folder = Path(tempfile.mkdtemp(prefix="mwaa-validate-requirements-"))
            self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
            for path in found.file.parent.glob("*.txt"):  # constraints and included files that lie beside it
                shutil.copyfile(path, folder / path.name)
            place = folder / found.file.name
            place.write_text(found.corrected, encoding="utf-8")
            made = self._package_set(place, self.plugins_folder)
        except (MwaaLocalError, OSError):
            return failed
        if not made.requirements:
            return failed
        return dataclasses.replace(made, requirements=False, corrected=True, problem=failed.problem)

    def relative(self, path: Path) -> str:
        """A path as findings show it: relative to the project where it lies in it."""
        if path.is_relative_to(self.project):
            return path.relative_to(self.project).as_posix()
        unpacked = self.__dict__.get("plugins_folder")
        if unpacked is not None and self.plugins is not None and self.plugins.archive and path.is_relative_to(unpacked):
            return self.relative(self.plugins.path / path.relative_to(unpacked))
        return str(path)


def _unpack(found: Plugins, target: Path) -> None:
    """Unpack the well-behaved files of an archive; hostile names are left out (a rule reports them)."""
    root = target.resolve()
    for entry in found.files:
        place = (root / entry.name.replace("\\", "/")).resolve()
        if not place.is_relative_to(root) or place == root or ":" in entry.name:
            continue
        # A name that is too long, or that is a file to one entry and a folder to the next, costs no other entry.
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(entry.read(200_000_000))
