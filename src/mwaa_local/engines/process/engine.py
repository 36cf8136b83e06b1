"""The process engine: an environment as plain processes under its state folder. No Docker, no root."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import mwaa_local
from mwaa_local.engines import ahead, owner, plan, replicas, snapshots
from mwaa_local.engines.base import timed
from mwaa_local.engines.databases import SWITCH_SECONDS, major, switch_notes, version_of
from mwaa_local.engines.desired import Desired
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.process import (
    database,
    dump,
    keeper_client,
    lost_ports,
    migration,
    postgres,
    serve,
    site,
    soundness,
)
from mwaa_local.engines.process import plan as process_plan
from mwaa_local.engines.process.looking import Looking, addresses_of, workers_of
from mwaa_local.engines.process.lost_ports import Lost, LostPortError, Watch
from mwaa_local.engines.process.plan import Parts
from mwaa_local.engines.process.waiting import until_healthy
from mwaa_local.engines.protocol import Applied, Progress, Settled
from mwaa_local.engines.resources import resources, wish
from mwaa_local.engines.turn import turn
from mwaa_local.errors import EngineError, MachineError, MwaaLocalError
from mwaa_local.model import Environment
from mwaa_local.model import secrets as keys
from mwaa_local.runtime import ahead as made_ahead
from mwaa_local.runtime.inputs import TARGET_VERSION

# How often a port is chosen anew when somebody took it while the environment was starting.
_PORT_CHOICES = 4
_DOWNGRADE_SECONDS = 900.0


class ProcessEngine(Looking):
    """Runs one environment as processes of this user.

    Args:
        environment: Which one.
        variables: The caller's process environment.
    """

    def __init__(self, environment: Environment, variables: Mapping[str, str]) -> None:
        super().__init__(environment, variables)
        self._base: tuple[str, Path, tuple[str, ...]] | None = None

    # -- what shall be -------------------------------------------------------------------------------------------------

    def prepare(self, environment: Environment, progress: Progress) -> None:
        """Have the version's base package set.

        Raises:
            MachineError: No Python serves, or the disk is full.
            RequirementsError: The set cannot be installed.
        """
        self._databases.refuse_unknown(environment)
        if environment.workflow.startup_script.is_file() and shutil.which("bash", path=self._host.get("PATH")) is None:
            raise MachineError(
                "bash is not there",
                where=str(environment.workflow.startup_script),
                why="MWAA runs startup scripts with bash, and none is on PATH",
                hint="install bash, or use the docker engine",
            )
        self._base_set(environment, progress)

    def admit(self, environment: Environment) -> list[str]:
        """See :class:`Engine`.

        Raises:
            MwaaLocalError: Another engine has the environment, its data are damaged, or a newer version's.
        """
        owner.refuse_other(self.layout, self.name, environment.name)
        self.layout.hide()
        if not keeper_client.runs(self.layout):
            soundness.refuse_damage(self.layout)
            self._site.refuse_damage()
            soundness.note_kept(self.layout)
        healed = self._databases.heal(version_of(self._plan()))
        self._databases.refuse_unknown(environment)
        return healed

    def make_packages(self, desired: Desired, progress: Progress) -> None:
        """See :class:`Engine`.

        Raises:
            RequirementsError: It cannot be had, and that is not allowed; what runs goes on.
        """
        environment, before = desired.environment, self._plan()
        digests = desired.revision.digests
        if not keeper_client.runs(self.layout) or not ahead.wanted(before, digests, environment.version.airflow):
            return
        assert before is not None, "ahead.wanted said so"
        parts = self._parts(desired, progress, [ahead.COMPONENT], before.facts["ports"], before.facts["aws"], None)
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

    def apply(self, desired: Desired, progress: Progress) -> Applied:
        """See :class:`Engine`.

        Raises:
            MwaaLocalError: A port, the database or the disk cannot be had.
        """
        return self._begin(desired, progress, None)

    def _begin(self, desired: Desired, progress: Progress, lost: Lost | None) -> Applied:
        environment, before = desired.environment, self._plan()
        seconds: dict[str, float] = {}
        running, notes = self._adopt(before, environment, progress)
        workers = replicas.workers(desired.workers, workers_of(before) if running else (), self.busy)
        chosen, moved = self._ports(environment, before, workers, lost)
        begun = self._site.begin(process_plan.base_env(self._host, environment), lost)
        with self._no_site_alone(running):
            with timed(seconds, "plan"):
                parts = self._parts(desired, progress, workers, chosen, begun.aws, before)
                parts, more = self._with_database(parts, before, seconds, progress)
                made = process_plan.build(parts)
            made.write(self.layout.plan)
            self._databases.note(environment.version.airflow)
            with timed(seconds, "keeper"):
                if running:
                    keeper_client.reload(self.layout)
                else:
                    keeper_client.start(self.layout, self._host)
            desired.write(self.layout.desired)
        told = (*notes, *begun.notes, *moved, *more)
        return Applied(desired, made, before, told, _Begun(begun, seconds))

    def wait(self, applied: Applied, progress: Progress, *, timeout_s: float) -> Settled:
        """See :class:`Engine`; a port that somebody took meanwhile is replaced by another one.

        Raises:
            MwaaLocalError: A component cannot start, or the time is over; the others keep running.
        """
        first, notes, seconds = applied, list(applied.notes), dict(applied.token.seconds)
        environment = applied.desired.environment
        for choice in range(1, _PORT_CHOICES + 1):
            # The environment's components begin meanwhile; what needs the endpoint waits for it.
            lost = self._site.settle(applied.token.site, progress, timeout_s=timeout_s)
            lost = lost or self._wait(applied.plan, progress, seconds, timeout_s)
            if lost is None:
                break
            wishes = [*process_plan.wishes(environment, workers_of(applied.plan)), wish(environment)]
            if choice == _PORT_CHOICES or any(one.explicit and one.name == lost.name for one in wishes):
                raise lost.error(wishes)
            notes.append(lost.note())
            applied = self._begin(applied.desired, progress, lost)
            notes += applied.notes
        soundness.note_kept(self.layout)
        owner.note(self.layout, self.name)
        return Settled(
            addresses=addresses_of(applied.plan),
            components=self.components(),
            seconds=seconds,
            changes=[*notes, *(_changes(first.before, applied.plan) if first.before is not None else [])],
            warnings=list(self._base[2]) if self._base else [],
        )

    def _wait(self, made: Plan, progress: Progress, seconds: dict[str, float], timeout_s: float) -> Lost | None:
        """Wait for every component; the port that a stranger took meanwhile, if that is what went wrong."""
        watch = Watch(made.ports, self.layout.state)
        names = [item.name for item in made.components]
        try:
            found = until_healthy(self.layout, made.generation, names, progress, timeout_s=timeout_s, look=watch)
        except LostPortError as error:
            return error.lost
        except MwaaLocalError:
            if lost := watch.look(keeper_client.report(self.layout)["components"], failed=True):
                return lost
            raise
        seconds |= found
        return None

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

    def _adopt(self, before: Plan | None, environment: Environment, progress: Progress) -> tuple[bool, list[str]]:
        """Whether a keeper runs that may go on; one of another version, of the tool or of Airflow, is ended."""
        was = version_of(before)
        if was is not None and was != environment.version.airflow:
            # No process of the old version may meet the new one's database, queue or API.
            if keeper_client.runs(self.layout):
                with progress.step(f"stopping Airflow {was}"):
                    keeper_client.stop(self.layout, timeout_s=SWITCH_SECONDS)
            # A container of MWAA begins with an empty home; an airflow.cfg left in it names the old version's classes.
            shutil.rmtree(self.layout.homes, ignore_errors=True)
        if not keeper_client.runs(self.layout):
            return False, []
        if before is not None and before.tool == mwaa_local.__version__ and before.format == plan.FORMAT:
            return True, []
        keeper_client.stop(self.layout, timeout_s=60.0)
        return False, [f"mwaa-local {mwaa_local.__version__} took over: restarted everything"]

    def _parts(
        self,
        desired: Desired,
        progress: Progress,
        workers: Sequence[str],
        chosen: Mapping[str, int],
        aws: str,
        before: Plan | None,
    ) -> Parts:
        data = sorted(self.layout.state.glob("postgres-*/data"))
        return Parts(
            environment=desired.environment,
            layout=self.layout,
            cache=self._cache,
            base_set=self._base_set(desired.environment, progress),
            secrets=keys.load_or_create(self.layout.secrets, data=data),
            ports=chosen,
            aws=aws,
            workers=workers,
            digests=desired.revision.digests,
            host=self._host,
            nonces={item.name: item.nonce for item in before.components} if before else {},
        )

    def _with_database(
        self, parts: Parts, before: Plan | None, seconds: dict[str, float], progress: Progress
    ) -> tuple[Parts, list[str]]:
        """The parts with their database, made now if there is none yet; and what to tell of that."""
        environment = parts.environment
        cluster = postgres.describe(self._database(environment))
        notes = switch_notes(environment, self._databases, version_of(before), made=cluster is None)
        if cluster is None:
            with timed(seconds, "database"), progress.step("database"):
                cluster = database.make(parts, self._database(environment), self._cache)
            self._databases.note(environment.version.airflow)  # at once: a cut `up` must not leave it nameless
        return replace(parts, cluster=cluster), notes

    def _ports(
        self, environment: Environment, before: Plan | None, workers: Sequence[str], lost: Lost | None
    ) -> tuple[dict[str, int], list[str]]:
        known = before.ports if before else {}
        own = lost_ports.own(self.layout, known) - ({lost.port} if lost else set())
        wishes = process_plan.wishes(environment, workers)
        chosen, notes = self._registry.give(self.layout.state, wishes, before=known, own=own)
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

    def _database(self, environment: Environment) -> Path:
        return self.layout.postgres(major(environment.version.airflow))

    # -- the database ------------------------------------------------------------------------------------------------

    def downgrade(self, last: Desired, target: str, progress: Progress) -> None:
        """See :class:`Engine`.

        Raises:
            EngineError: It failed.
        """
        made = self._plan()
        cluster = postgres.describe(self.layout.postgres(major(target)))
        if made is None or cluster is None:
            raise EngineError(
                "this environment has no database yet", where=str(self.layout.state), hint="mwaa-local up"
            )
        parts = self._parts(last, progress, [ahead.COMPONENT], made.ports, made.facts["aws"], None)
        step = progress.step(f"database back to Airflow {target}")
        with step, serve.served(cluster, parts.secrets.database_password) as port:
            wiring = parts.wiring("migrate-db", port=port)
            variables = {
                **process_plan.base_env(self._host, last.environment),
                **parts.variables("migrate-db", wiring),
                TARGET_VERSION: target,
            }
            migration.run(
                process_plan.migrate_words(),
                variables,
                self.layout.state,
                log=self.layout.log("downgrade"),
                seconds=_DOWNGRADE_SECONDS,
                failed=f"the database could not be taken back to Airflow {target}",
            )
        self._databases.note(target)

    def snapshot(self, target: Path) -> None:
        """See :class:`Engine`.

        Raises:
            MwaaLocalError: There is no database, or the file cannot be written; none is left.
        """
        with turn(self.layout):
            made = self._plan()
            version = self._database_in_use()
            cluster = postgres.describe(self.layout.postgres(major(version)))
            if cluster is None:
                raise EngineError(
                    "this environment has no database yet", where=str(self.layout.state), hint="mwaa-local up"
                )
            password = keys.load_or_create(self.layout.secrets, data=[cluster.data]).database_password
            about = {"version": version, "name": self._environment.name}
            if made is not None and keeper_client.runs(self.layout):
                snapshots.take(dump.client(cluster, made.ports["postgres"], password), target, **about)
                return
            with serve.served(cluster, password) as port:
                snapshots.take(dump.client(cluster, port, password), target, **about)

    def restore(self, source: Path) -> None:
        """See :class:`Engine`.

        Raises:
            MwaaLocalError: The environment runs, or the file is no snapshot, or a damaged one.
        """
        about = snapshots.about(source)
        self.layout.hide()
        with turn(self.layout):
            owner.refuse_other(self.layout, self.name, self._environment.name)
            if keeper_client.runs(self.layout):
                raise EngineError(
                    "a database in use is not replaced",
                    where=str(self.layout.state),
                    hint="mwaa-local down, then this again",
                )
            home = self.layout.postgres(major(about.airflow_version))
            data = sorted(self.layout.state.glob("postgres-*/data"))
            password = keys.load_or_create(self.layout.secrets, data=data).database_password
            cluster = postgres.describe(home) or postgres.create(home, password=password)
            with serve.served(cluster, password) as port:
                snapshots.put(dump.client(cluster, port, password), source)
            self._databases.note(about.airflow_version)

    # -- down ----------------------------------------------------------------------------------------------------------

    def down(self, *, timeout_s: float, keep_site: bool = False) -> None:
        """Stop everything and keep the data; running tasks get ``timeout_s`` seconds.

        The site stops with its last environment, unless ``keep_site``.
        """
        if not self.layout.state.exists():
            return
        with turn(self.layout):
            keeper_client.stop(self.layout, timeout_s=timeout_s)
            if not keep_site:
                self._site.release()

    def reset(self) -> None:
        """Stop everything at once and wipe the data.

        Raises:
            MachineError: Something could not be removed.
        """
        if not self.layout.state.exists():
            return
        with turn(self.layout):
            ran = keeper_client.runs(self.layout)
            keeper_client.kill(self.layout)
            for home in self.layout.state.glob(self.layout.postgres("*").name):
                postgres.destroy(home)
            base_env = process_plan.base_env(self._host, self._environment)
            self._site.forget(base_env, resources(self._environment))
            if ran:
                self._site.release()
            owner.wipe(self.layout, self.name)

    def restart(self, component: str, progress: Progress) -> None:
        """Stop one component gracefully, start it again, and wait until it is healthy.

        Raises:
            EngineError: The environment does not run, or has no such component.
        """
        with turn(self.layout):
            before = self._plan()
            if before is None or not keeper_client.runs(self.layout):
                raise EngineError("the environment does not run", where=str(self.layout.state), hint="make up")
            item = before.component(component)
            if item is None:
                known = ", ".join(item.name for item in before.components)
                raise EngineError(f"no component {component!r}", why=f"components: {known}", hint="name one of them")
            if item.kind == "outside":
                self._site.restart(component, progress)
                return
            made = plan.wished_again(before, component)
            made.write(self.layout.plan)
            keeper_client.reload(self.layout)
            until_healthy(self.layout, made.generation, [component], progress, timeout_s=300.0)


@dataclass(frozen=True)
class _Begun:
    """What :meth:`ProcessEngine.wait` needs of :meth:`ProcessEngine.apply`."""

    site: site.Begun
    seconds: Mapping[str, float]


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
