"""The process engine: an environment as plain processes under its state folder. No Docker, no root."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import mwaa_local
from mwaa_local.engines import ahead, owner, plan, ports
from mwaa_local.engines.databases import SWITCH_SECONDS, Databases, major, switch_notes, version_of
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.names import AIRFLOW, kind
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.process import keeper_client, lost_ports, postgres, soundness, template
from mwaa_local.engines.process import plan as process_plan
from mwaa_local.engines.process import view as process_view
from mwaa_local.engines.process.lost_ports import Lost, LostPortError, Watch
from mwaa_local.engines.process.plan import Parts
from mwaa_local.engines.process.site import Site
from mwaa_local.engines.process.waiting import until_healthy
from mwaa_local.engines.protocol import Addresses, ComponentState, Progress, UpResult
from mwaa_local.engines.resources import resources, wish
from mwaa_local.engines.verdicts import crashes, verdicts, warnings
from mwaa_local.errors import EngineError, MachineError, MwaaLocalError
from mwaa_local.ground import atomic, locks
from mwaa_local.model import Environment
from mwaa_local.model import secrets as keys
from mwaa_local.model.cache import cache_folder
from mwaa_local.runtime import ahead as made_ahead
from mwaa_local.runtime.execute import TERMINAL
from mwaa_local.workflow import revision as workflow

_MIGRATION_SECONDS = 180.0
_LOCK_SECONDS = 600.0
# How often a port is chosen anew when somebody took it while the environment was starting.
_PORT_CHOICES = 4
_BUSY = "another command is changing this environment"


class ProcessEngine:
    """Runs one environment as processes of this user.

    Args:
        environment: Which one.
        variables: The caller's process environment.
    """

    name = "process"

    def __init__(self, environment: Environment, variables: Mapping[str, str]) -> None:
        self._environment = environment
        self._host = dict(variables)
        self._layout = Layout(environment.state)
        self._databases = Databases(environment.state)
        self._cache = cache_folder(variables)
        self._registry = ports.Registry(self._cache / "ports.json")
        self._site = Site(environment, self._host, self._registry)
        self._base: tuple[str, Path, tuple[str, ...]] | None = None

    # -- up ------------------------------------------------------------------------------------------------------------

    def prepare(self, environment: Environment, progress: Progress) -> None:
        """Have the version's base package set.

        Raises:
            MachineError: No Python serves, or the disk is full.
            RequirementsError: The set cannot be installed.
        """
        self._databases.refuse_older(environment)
        if environment.workflow.startup_script.is_file() and shutil.which("bash", path=self._host.get("PATH")) is None:
            raise MachineError(
                "bash is not there",
                where=str(environment.workflow.startup_script),
                why="MWAA runs startup scripts with bash, and none is on PATH",
                hint="install bash, or use the docker engine",
            )
        self._base_set(environment, progress)

    def up(self, environment: Environment, progress: Progress, *, timeout_s: float) -> UpResult:
        """Start, adopt, or apply what changed; see :class:`Engine`.

        Raises:
            MwaaLocalError: What cannot be had; everything that could be started keeps running.
        """
        seconds: dict[str, float] = {}
        try:
            return self._up(environment, progress, seconds, timeout_s)
        except OSError as error:
            raise atomic.disk_error(error, self._layout.state) from error

    def _up(
        self, environment: Environment, progress: Progress, seconds: dict[str, float], timeout_s: float
    ) -> UpResult:
        began = time.time()
        with self._alone(progress):
            owner.refuse_other(self._layout, self.name, self._environment.name)
            self._layout.hide()
            before = self._plan()
            if not keeper_client.runs(self._layout):
                soundness.refuse_damage(self._layout)
                self._site.refuse_damage()
                soundness.note_kept(self._layout)
            healed = self._databases.heal(version_of(before))
            self._databases.refuse_older(environment)
            digests = workflow.workflow_digests(environment, self._layout.digests)
            self._packages_ahead(before, environment, digests, progress)
            running, notes = self._adopt(before, environment, progress)
            notes = [*healed, *notes]
            latest, lost = before, None
            for choice in range(1, _PORT_CHOICES + 1):
                chosen, moved = self._ports(environment, latest, lost)
                begun = self._site.begin(process_plan.base_env(self._host, environment), lost)
                notes += [*begun.notes, *moved]
                with self._no_site_alone(running):
                    with _timed(seconds, "plan"):
                        parts, more = self._parts(environment, progress, latest, digests, seconds, chosen, begun.aws)
                        notes += more
                        made = process_plan.build(parts)
                    made.write(self._layout.plan)
                    self._databases.note(environment.version.airflow)
                    with _timed(seconds, "keeper"):
                        if running:
                            keeper_client.reload(self._layout)
                        else:
                            keeper_client.start(self._layout, self._host)
                # The environment's components begin meanwhile; what needs the endpoint waits for it.
                lost = self._site.settle(begun, progress, timeout_s=timeout_s)
                lost = lost or self._wait(made, parts.ports, progress, seconds, timeout_s)
                if lost is None:
                    break
                wishes = [*process_plan.wishes(environment), wish(environment)]
                if choice == _PORT_CHOICES or any(wish.explicit and wish.name == lost.name for wish in wishes):
                    raise lost.error(wishes)
                notes.append(lost.note())
                latest, running = made, True
            soundness.note_kept(self._layout)
            owner.note(self._layout, self.name)
            changes = _changes(before, made) if before is not None else []
        states = self.components()
        allowed = environment.local.allow_failed_requirements
        found = verdicts(states)
        loops, once = crashes(states, began)
        return UpResult(
            changes=[*notes, *changes],
            addresses=_addresses(made),
            components=states,
            seconds=seconds,
            verdicts=[*loops, *([] if allowed else found)],
            warnings=[
                *once,
                *(self._base[2] if self._base else ()),
                *(error.what for error in found if allowed),
                *warnings(states),
            ],
        )

    def _packages_ahead(
        self, before: Plan | None, environment: Environment, digests: Mapping[str, str], progress: Progress
    ) -> None:
        """Have the package set of changed requirements before anything is stopped for them.

        Raises:
            RequirementsError: It cannot be had, and that is not allowed; what runs goes on.
        """
        if not keeper_client.runs(self._layout) or not ahead.wanted(before, digests, environment.version.airflow):
            return
        assert before is not None, "ahead.wanted said so"
        parts = Parts(
            environment=environment,
            layout=self._layout,
            cache=self._cache,
            base_set=self._base_set(environment, progress),
            secrets=keys.load_or_create(self._layout.secrets),
            ports=before.facts["ports"],
            aws=before.facts["aws"],
            digests=digests,
            host=self._host,
            nonces={},
        )
        exports = self.exports(ahead.COMPONENT) or {}
        variables = {
            **process_plan.base_env(self._host, environment),
            **parts.variables(ahead.COMPONENT),
            made_ahead.EXPORTS: json.dumps(exports),
        }
        with progress.step(ahead.STEP) as step:
            found = made_ahead.verdict(ahead.COMPONENT, variables, step.note)
        if not environment.local.allow_failed_requirements:
            ahead.refuse(found)

    def _wait(
        self,
        made: Plan,
        chosen: Mapping[str, int],
        progress: Progress,
        seconds: dict[str, float],
        timeout_s: float,
    ) -> Lost | None:
        """Wait for every component; the port that a stranger took meanwhile, if that is what went wrong."""
        watch = Watch(chosen, self._layout.state)
        names = [item.name for item in made.components]
        try:
            found = until_healthy(self._layout, made.generation, names, progress, timeout_s=timeout_s, look=watch)
        except LostPortError as error:
            return error.lost
        except MwaaLocalError:
            if lost := watch.look(keeper_client.report(self._layout)["components"], failed=True):
                return lost
            raise
        seconds |= found
        return None

    def _plan(self) -> Plan | None:
        return plan.last(self._layout.plan)

    @contextmanager
    def _no_site_alone(self, running: bool) -> Iterator[None]:
        """A site that was started for an environment which then does not start is stopped with it."""
        try:
            yield
        except BaseException:
            if not running:
                with suppress(MwaaLocalError):
                    self._site.release()
            raise

    @contextmanager
    def _alone(self, progress: Progress) -> Iterator[None]:
        """Hold the environment for one command; a wait for another one is shown."""
        with ExitStack() as stack:
            try:
                stack.enter_context(locks.lock(self._layout.up_lock, seconds=0.1, busy=_BUSY))
            except EngineError:
                with progress.step("waiting: " + _BUSY):
                    stack.enter_context(locks.lock(self._layout.up_lock, seconds=_LOCK_SECONDS, busy=_BUSY))
            yield

    def _adopt(self, before: Plan | None, environment: Environment, progress: Progress) -> tuple[bool, list[str]]:
        """Whether a keeper runs that may go on; one of another version, of the tool or of Airflow, is ended."""
        was = version_of(before)
        if was is not None and was != environment.version.airflow:
            # No process of the old version may meet the new one's database, queue or API.
            if keeper_client.runs(self._layout):
                with progress.step(f"stopping Airflow {was}"):
                    keeper_client.stop(self._layout, timeout_s=SWITCH_SECONDS)
            # A container of MWAA begins with an empty home; an airflow.cfg left in it names the old version's classes.
            shutil.rmtree(self._layout.homes, ignore_errors=True)
        if not keeper_client.runs(self._layout):
            return False, []
        if before is not None and before.tool == mwaa_local.__version__ and before.format == plan.FORMAT:
            return True, []
        keeper_client.stop(self._layout, timeout_s=60.0)
        return False, [f"mwaa-local {mwaa_local.__version__} took over: restarted everything"]

    def _parts(
        self,
        environment: Environment,
        progress: Progress,
        before: Plan | None,
        digests: Mapping[str, str],
        seconds: dict[str, float],
        chosen: Mapping[str, int],
        aws: str,
    ) -> tuple[Parts, list[str]]:
        base_set = self._base_set(environment, progress)
        home = self._database(environment)
        secrets = keys.load_or_create(self._layout.secrets, data=sorted(self._layout.state.glob("postgres-*/data")))
        notes: list[str] = []
        parts = Parts(
            environment=environment,
            layout=self._layout,
            cache=self._cache,
            base_set=base_set,
            secrets=secrets,
            ports=chosen,
            aws=aws,
            digests=digests,
            host=self._host,
            nonces={item.name: item.nonce for item in before.components} if before else {},
        )
        cluster = postgres.describe(home)
        notes += switch_notes(environment, self._databases, version_of(before), made=cluster is None)
        if cluster is None:
            with _timed(seconds, "database"), progress.step("database"):
                cluster = self._new_database(parts)
            self._databases.note(environment.version.airflow)  # at once: a cut `up` must not leave it nameless
        return replace(parts, cluster=cluster), notes

    def _ports(
        self, environment: Environment, before: Plan | None, lost: Lost | None
    ) -> tuple[dict[str, int], list[str]]:
        known = before.ports if before else {}
        own = lost_ports.own(self._layout, known) - ({lost.port} if lost else set())
        chosen, notes = self._registry.give(self._layout.state, process_plan.wishes(environment), before=known, own=own)
        moved = {name for name, port in chosen.items() if known.get(name) != port}
        return chosen, [note for note in notes if note.partition(" ")[0] in moved]

    def _base_set(self, environment: Environment, progress: Progress) -> Path:
        """The version's packages; found in milliseconds, or installed once for all environments of this machine."""
        version = environment.version
        if self._base is not None and self._base[0] == version.airflow:
            return self._base[1]
        # Installers: not needed to stop, look or run.
        from mwaa_local.packages.base import ensure_base
        from mwaa_local.packages.pythons import patch_note

        with progress.step(f"packages of Airflow {version.airflow}") as step:
            found = ensure_base(version, self._cache, environment=self._host, emit=step.note)
            step.note(f"installed in {found.seconds:.0f} s" if found.installed_now else f"Python {found.python}")
        note = patch_note(version, found.python)
        self._base = (version.airflow, found.path, (*found.notes, note) if note else found.notes)
        return found.path

    def _new_database(self, parts: Parts) -> postgres.Cluster:
        """A migrated, empty database: a copy of the version's template, which is made on first use."""
        environment = parts.environment

        def migrate(port: int, password: str) -> tuple[list[str], Mapping[str, str], str]:
            wiring = parts.wiring("migrate-db", port=port, password=password)
            variables = {**process_plan.base_env(self._host, environment), **parts.variables("migrate-db", wiring)}
            return process_plan.migrate_words(), variables, str(self._layout.state)

        options = process_plan.migration_options(environment)
        name = template.key(environment.version, postgres.binaries(), options)
        home, password = self._database(environment), parts.secrets.database_password
        made = template.ensure(self._cache, name, environment.version, migrate, seconds=_MIGRATION_SECONDS)
        try:
            return postgres.create(home, password=password, template=made)
        except EngineError:
            if (home / postgres.MADE).exists():
                raise
            # The cache holds nothing of anyone's: a template that PostgreSQL cannot use is made again, once.
            shutil.rmtree(made, ignore_errors=True)
        made = template.ensure(self._cache, name, environment.version, migrate, seconds=_MIGRATION_SECONDS)
        return postgres.create(home, password=password, template=made)

    def _database(self, environment: Environment) -> Path:
        return self._layout.postgres(major(environment.version.airflow))

    # -- down ----------------------------------------------------------------------------------------------------------

    def down(self, *, timeout_s: float, keep_site: bool = False) -> None:
        """Stop everything and keep the data; running tasks get ``timeout_s`` seconds.

        The site stops with its last environment, unless ``keep_site``.
        """
        if not self._layout.state.exists():
            return
        with locks.lock(self._layout.up_lock, seconds=_LOCK_SECONDS, busy=_BUSY):
            keeper_client.stop(self._layout, timeout_s=timeout_s)
            if not keep_site:
                self._site.release()

    def reset(self) -> None:
        """Stop everything at once and wipe the data.

        Raises:
            MachineError: Something could not be removed.
        """
        if not self._layout.state.exists():
            return
        with locks.lock(self._layout.up_lock, seconds=_LOCK_SECONDS, busy=_BUSY):
            keeper_client.kill(self._layout)
            for home in self._layout.state.glob(self._layout.postgres("*").name):
                postgres.destroy(home)
            base_env = process_plan.base_env(self._host, self._environment)
            self._site.forget(base_env, resources(self._environment))
            owner.wipe(self._layout, self.name)

    def restart(self, component: str, progress: Progress) -> None:
        """Stop one component gracefully, start it again, and wait until it is healthy.

        Raises:
            EngineError: The environment does not run, or has no such component.
        """
        with locks.lock(self._layout.up_lock, seconds=_LOCK_SECONDS, busy=_BUSY):
            before = self._plan()
            if before is None or not keeper_client.runs(self._layout):
                raise EngineError("the environment does not run", where=str(self._layout.state), hint="make up")
            item = before.component(component)
            if item is None:
                known = ", ".join(item.name for item in before.components)
                raise EngineError(f"no component {component!r}", why=f"components: {known}", hint="name one of them")
            if item.kind == "outside":
                self._site.restart(component, progress)
                return
            made = plan.wished_again(before, component)
            made.write(self._layout.plan)
            keeper_client.reload(self._layout)
            until_healthy(self._layout, made.generation, [component], progress, timeout_s=300.0)

    # -- looking -------------------------------------------------------------------------------------------------------

    def components(self) -> list[ComponentState]:
        """State of every component, the site's included."""
        own = process_view.states(self._layout, self._plan())
        if not own:
            return []
        shared = process_view.states(self._site.layout, self._site.plan(), site=True)
        asked = keeper_client.report(self._layout)["components"]
        return process_view.with_site(own, shared, asked)

    def addresses(self) -> Addresses | None:
        """Where the environment answers; ``None`` when it does not run."""
        made = self._plan()
        return _addresses(made) if made is not None and keeper_client.runs(self._layout) else None

    def exports(self, component: str) -> dict[str, str] | None:
        """What the startup script exported in a running component; ``None`` when it does not run."""
        return process_view.exports(self._layout, self._plan(), component)

    def variables(self, component: str) -> dict[str, str] | None:
        """The variables of a running component's Airflow processes; ``None`` when it does not run."""
        return process_view.variables(self._layout, self._plan(), component)

    def logs(self, component: str, *, follow: bool, lines: int) -> Iterator[str]:
        """A component's console output.

        Raises:
            EngineError: There is no such component.
        """
        made, shared = self._plan(), self._site.plan()
        if made is not None and shared is not None and component == process_view.SITE_KEEPER:
            return process_view.lines(self._site.layout, shared, process_view.KEEPER, follow=follow, lines=lines)
        if made is not None and shared is not None and shared.component(component) is not None:
            return process_view.lines(self._site.layout, shared, component, follow=follow, lines=lines)
        return process_view.lines(self._layout, made, component, follow=follow, lines=lines)

    def run(
        self, component: str, argv: Sequence[str], *, interactive: bool, stdin: IO[bytes] | Path | None = None
    ) -> int:
        """Run a command in a component: its files, variables, packages and namespace.

        Args:
            component: ``scheduler``, ``worker``, ``worker-2``, ``webserver``.
            argv: The command.
            interactive: Whether a person types into it; input is the caller's own either way unless ``stdin`` is given.
            stdin: What it reads.

        Returns:
            Its exit code; 128 and the signal's number when a signal ended it, as a shell would say.

        Raises:
            EngineError: There is no such component.
        """
        made = self._plan()
        item = made.component(component) if made is not None else None
        if made is None or item is None or kind(component) not in AIRFLOW:
            known = [one.name for one in made.components if kind(one.name) in AIRFLOW] if made else []
            raise EngineError(
                f"nothing can be run in {component!r}",
                why=f"components: {', '.join(known) or 'none yet'}",
                hint="make up",
            )
        words = process_plan.execute_words(component, argv)
        terminal = {name: self._host[name] for name in TERMINAL if name in self._host}
        source = stdin.open("rb") if isinstance(stdin, Path) else stdin
        # Ctrl-C is for the command: it decides whether to end, and its exit code is the answer.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if interactive else None
        try:
            command = subprocess.Popen(
                words, env={**made.base_env, **item.env, **terminal}, cwd=str(self._layout.state), stdin=source
            )
            code = command.wait()
        finally:
            if interactive:
                signal.signal(signal.SIGINT, before)
            if isinstance(stdin, Path) and source is not None:
                source.close()
        return code if code >= 0 else 128 - code


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = round(time.monotonic() - began, 2)


def _addresses(made: Plan) -> Addresses:
    facts = made.facts
    return Addresses(facts["web"], facts["aws"], facts["bucket"], facts["airflow_version"])


def _changes(before: Plan, made: Plan) -> list[str]:
    """One line per reason, with the components it touched."""
    touched: dict[str, list[str]] = {}
    jobs = {item.name for item in made.components if item.kind == "job"}
    for name, reasons in plan.differences(before, made).items():
        for reason in reasons if name not in jobs else ():
            touched.setdefault(reason, []).append(name)
    lines = []
    for reason, names in touched.items():
        what = {"added": "started", "removed": "stopped"}.get(reason)
        lines.append(f"{what} {', '.join(names)}" if what else f"{reason}: restarted {', '.join(names)}")
    return lines
