"""What happens when every DAG file and plugin is imported in the real package set of a version.

The work is done by ``inside/check.py`` in the package set's own Python; this module starts it, bounds it, and reads
its answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mwaa_local.catalog import AIRFLOW_COMPONENTS, configuration_rows, is_protected, limits, reserved_variables
from mwaa_local.model import Environment
from mwaa_local.packages import child
from mwaa_local.preflight.findings import Unchecked
from mwaa_local.preflight.readings.silent import Silent
from mwaa_local.preflight.readings.startup import StartupScript
from mwaa_local.preflight.sets import PackageSet

if TYPE_CHECKING:
    from subprocess import Popen

COMPONENTS = AIRFLOW_COMPONENTS
QUEUE = "mwaa-local-validate-queue"
# Stands for what only MWAA, or a run of the startup script, would tell.
PLACEHOLDER = "mwaa-local-validate"
SETTINGS_FILE = "airflow_local_settings.py"
# Airflow and, once per version, its database; user code is not running yet. A cold disk on a busy machine needs most
# of it.
START_SECONDS = 200.0
# Imported once, before any file: what nearly every DAG file needs. Names of both major versions; missing ones are
# skipped.
_PRELOAD = (
    "airflow.dag_processing.dagbag",
    "airflow.models.dagbag",
    "airflow.plugins_manager",
    "airflow.serialization.serialized_objects",
    "airflow.sdk",
    "airflow.decorators",
    "airflow.operators.bash",
    "airflow.operators.python",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.python",
)


@dataclass(frozen=True)
class ImportProblem:
    """One failed import: the line that names the exception, and where in the user's code it was raised.

    Attributes:
        message: All of what the exception says; ``text`` is its first line.
        last: Where it was raised, which may be inside an installed package.
        stage: ``import``; ``serialise`` for a DAG that Airflow then shows as an import error; ``store`` for one whose
            exception nobody catches.
        dag: The DAG that cannot be stored.
    """

    text: str
    file: Path | None
    line: int
    traceback: str = ""
    message: str = ""
    last: tuple[Path, int] | None = None
    stage: str = "import"
    dag: str = ""


@dataclass(frozen=True)
class Access:
    """Something a file reached for while it was imported: ``kind`` is ``network``, ``variable`` or ``connection``."""

    kind: str
    target: str
    file: Path
    line: int


@dataclass(frozen=True)
class FileImport:
    """What became of one file (or of all plugins in one component)."""

    name: str
    seconds: float
    late: bool
    problems: tuple[ImportProblem, ...]
    accesses: tuple[Access, ...]
    dags: tuple[Mapping[str, Any], ...] = ()
    plugins: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imports:
    """Everything that was imported.

    Attributes:
        dags: By file.
        silent: By file that Airflow passes over for want of certain words: which DAGs it would give.
        plugins: By component.
        settings: By ``airflow_local_settings.py``.
        parsed: Files Airflow's own discovery would parse; ``None`` when files were named by the user.
        listed: The same without its safe mode.
        unchecked: What could not be imported at all.
        seconds: The whole, and of it ``start_seconds`` for importing Airflow.
        view: What of a component's surroundings could be had: ``network_cut``, ``home_mounted``.
    """

    package_set: PackageSet | None
    dags: Mapping[Path, FileImport] = field(default_factory=dict)
    silent: Mapping[Path, FileImport] = field(default_factory=dict)
    plugins: Mapping[str, FileImport] = field(default_factory=dict)
    settings: Mapping[Path, FileImport] = field(default_factory=dict)
    parsed: frozenset[Path] | None = None
    listed: frozenset[Path] | None = None
    unchecked: tuple[Unchecked, ...] = ()
    seconds: float = 0.0
    start_seconds: float = 0.0
    view: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What to import.

    Attributes:
        files: ``None`` lets Airflow discover them.
        silent: Files it passes over.
        databases: Folder that keeps fresh metadata databases for the next time.
    """

    environment: Environment
    dags: Path
    plugins: Path
    files: Sequence[Path] | None
    with_plugins: bool
    settings: Sequence[Path]
    startup: StartupScript | None
    hard_timeout: float
    path: str = ""
    silent: Sequence[Silent] = ()
    safe_mode: bool = True
    databases: Path | None = None


def startup_variables(
    startup: StartupScript | None, airflow_version: str, component: str = "scheduler"
) -> dict[str, str]:
    """What a startup script exports, as far as it can be told without running it; reserved names stay MWAA's.

    Args:
        startup: The script, if there is one.
        airflow_version: Decides which names are reserved.
        component: Whose branches count; DAG files are parsed in the scheduler component (spec/10 section 1.2).
    """
    if startup is None:
        return {}
    reserved = {item.name for item in reserved_variables(airflow_version)}
    return {
        name: next((text.replace("\0", "") for text in item.values if text is not None), PLACEHOLDER)
        for name, item in startup.exported(component).variables.items()
        if name not in reserved
        and not is_protected(name, airflow_version)
        and name not in ("PATH", "HOME", "LD_LIBRARY_PATH", "LD_PRELOAD")
    }


def variables(request: Request, home: Path, component: str = "scheduler") -> dict[str, str]:
    """The environment of the import processes of one component: nothing of the user's own but ``PATH``."""
    environment = request.environment
    essential = {row.name for row in configuration_rows(environment.version.airflow) if row.layer == "essential"}
    # Options that name servers, log handlers or secret stores would be used for real.
    kept = {
        name: value
        for name, value in environment.spec.option_variables().items()
        if name not in essential
        and not name.startswith(
            (
                "AIRFLOW__SECRETS__",
                "AIRFLOW__WORKERS__SECRETS",
                "AIRFLOW__LOGGING__",
                "AIRFLOW__DATABASE__",
                "AIRFLOW__METRICS__",
                "AIRFLOW__TRACES__",
            )
        )
    }
    return {
        "MWAA_ENV_NAME": environment.name,
        **startup_variables(request.startup, environment.version.airflow, component),
        **kept,
        "PATH": request.path,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TMPDIR": str(home),
        "AIRFLOW_HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AIRFLOW_CONFIG": str(home / "airflow.cfg"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(request.dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(request.plugins),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "40",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__OPERATORS__DEFAULT_QUEUE": QUEUE,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_VERSION": environment.version.airflow,
        "AIRFLOW_ENV_NAME": environment.name,
        "AWS_EXECUTION_ENV": f"Amazon_MWAA_{environment.version.digits}",
        "MWAA_AIRFLOW_COMPONENT": component,
        "MWAA_COMMAND": component,
        # A client made at import finds a Region and credentials on MWAA; here they lead nowhere.
        "AWS_DEFAULT_REGION": environment.local.region,
        "AWS_REGION": environment.local.region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
    }


def run(package_set: PackageSet, request: Request, progress: Callable[[str], None] | None = None) -> Imports:
    """Import everything; never raises for what user code does.

    Args:
        package_set: Where to import.
        request: What to import.
        progress: Told after each file.
    """
    begin = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="mwaa-validate-"))
    try:
        (home / "config").mkdir()
        # As on MWAA, Airflow finds a settings module before the user's: theirs is run apart (spec/10 section 5.2).
        (home / "config" / SETTINGS_FILE).write_text("", encoding="utf-8")
        # What a file opens below AIRFLOW_HOME or /usr/local/airflow is found where MWAA has it.
        for name, place in (
            ("dags", request.dags),
            ("plugins", request.plugins),
            ("requirements", request.environment.workflow.requirements.parent),
        ):
            (home / name).symlink_to(place)
        answers = _Answers(request)
        answers.read(package_set, home, progress)
        return answers.result(package_set, time.monotonic() - begin)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _changes(request: Request, home: Path, component: str) -> dict[str, str | None]:
    """What a component's environment has other than that of the scheduler component; ``None`` for what it lacks."""
    base, own = variables(request, home), variables(request, home, component)
    return {name: own.get(name) for name in {**base, **own} if base.get(name) != own.get(name)}


class _Answers:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.start: dict[str, Any] = {}
        self.found: dict[str, Any] | None = None
        self.jobs: list[dict[str, Any]] = []
        self.ended = False
        self.stderr = ""
        self.waited_out = ""

    def read(self, package_set: PackageSet, home: Path, progress: Callable[[str], None] | None) -> None:
        request = self.request
        document = {
            "dags": str(request.dags),
            "plugins": str(request.plugins),
            "home": str(home),
            "python_path": [str(home / "config")],
            "mwaa_home": limits().home,
            "files": None if request.files is None else [str(path) for path in request.files],
            "components": {name: _changes(request, home, name) for name in COMPONENTS if request.with_plugins},
            "settings": [str(path) for path in request.settings],
            "silent": {str(item.path): list(item.modules) for item in request.silent},
            "safe_mode": request.safe_mode,
            "databases": str(request.databases or home / "databases"),
            "jobs": os.cpu_count() or 2,
            "hard_timeout": request.hard_timeout,
            "preload": list(_PRELOAD),
        }
        script = Path(__file__).parent / "inside" / "check.py"
        log = home / "stderr.log"
        words = child.python(package_set.python, "-B", script)
        with child.conversation(words, env=variables(request, home), cwd=home, errors=log) as talk:
            self._listen(talk, json.dumps(document), progress)
        self.stderr = log.read_text(encoding="utf-8", errors="replace")[-4000:]

    def _listen(self, talk: Popen[str], document: str, progress: Callable[[str], None] | None) -> None:
        lines: queue.Queue[str | None] = queue.Queue()

        def pump() -> None:
            assert talk.stdout is not None
            with talk.stdout:
                for line in talk.stdout:
                    lines.put(line)
            lines.put(None)

        threading.Thread(target=pump, daemon=True).start()
        assert talk.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            talk.stdin.write(document)
            talk.stdin.close()
        patience = START_SECONDS
        while not self.ended:
            try:
                line = lines.get(timeout=patience)
            except queue.Empty:
                self.waited_out = f"no answer for {patience:.0f} s"
                return
            if line is None:
                return
            answer = json.loads(line)
            kind = answer["kind"]
            if kind == "start":
                self.start = answer
            elif kind == "discovered":
                self.found = answer
            elif kind == "end":
                self.ended = True
            else:
                self.jobs.append(answer)
                if progress is not None:
                    progress(answer["name"])
            # Discovery reads every file of the folder once; after it each answer takes at most the hard time-out.
            patience = max(self.request.hard_timeout + 10, 60.0)

    def result(self, package_set: PackageSet, seconds: float) -> Imports:
        unchecked: list[Unchecked] = []
        if "error" in self.start or not self.ended:
            why = self.start.get("error") or self.waited_out or _last_line(self.stderr) or "the process ended too early"
            unchecked.append(
                Unchecked(
                    f"imports on Airflow {self.request.environment.version.airflow}",
                    f"the checking process of {package_set.python} did not finish: {why}",
                    "run with --ignore DAG,PLG to check the rest, or report it",
                )
            )
        by_kind: dict[str, dict[str, FileImport]] = {"dag": {}, "silent": {}, "plugins": {}, "settings": {}}
        for answer in self.jobs:
            by_kind[answer["kind"]][answer["name"]] = self._file(answer)
        return Imports(
            package_set=package_set,
            dags={Path(name): item for name, item in sorted(by_kind["dag"].items())},
            silent={Path(name): item for name, item in sorted(by_kind["silent"].items())},
            plugins=by_kind["plugins"],
            settings={Path(name): item for name, item in by_kind["settings"].items()},
            parsed=frozenset(map(Path, self.found["parsed"])) if self.found else None,
            listed=frozenset(map(Path, self.found["listed"])) if self.found else None,
            unchecked=tuple(unchecked),
            seconds=seconds,
            start_seconds=float(self.start.get("seconds", 0.0)),
            view=self.start.get("view", {}),
        )

    def _file(self, answer: dict[str, Any]) -> FileImport:
        accesses = [Access("network", item["target"], Path(item["file"]), item["line"]) for item in answer["network"]]
        accesses += [Access(item["kind"], item["key"], Path(item["file"]), item["line"]) for item in answer["reads"]]
        return FileImport(
            name=answer["name"],
            seconds=float(answer.get("seconds", 0.0)),
            late=bool(answer.get("late")),
            problems=tuple(_problem(item, answer) for item in answer.get("errors", ())),
            accesses=tuple(accesses),
            dags=tuple(answer.get("dags", ())),
            plugins=tuple(answer.get("plugins", ())),
            warnings=tuple(answer.get("warnings", ())),
        )


def _problem(item: Mapping[str, Any], answer: Mapping[str, Any]) -> ImportProblem:
    places = item.get("frames") or []
    # The line of the DAG file itself says more than the helper it called, unless the fault is in the helper alone.
    own = [place for place in places if place[0] == answer["name"]]
    file, line = (
        (own or places)[-1] if places else (item.get("file") or (answer["name"] if answer["kind"] == "dag" else ""), 0)
    )
    last = item.get("last")
    return ImportProblem(
        item["text"],
        Path(file) if file else None,
        int(line),
        item.get("traceback", ""),
        item.get("message", ""),
        (Path(last[0]), int(last[1])) if last else None,
        item.get("stage", "import"),
        item.get("dag", ""),
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
