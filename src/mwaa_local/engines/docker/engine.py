"""The Docker engine: an environment as the services of compose.yaml, one Compose project each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mwaa_local.catalog import limits
from mwaa_local.engines import ahead, owner, plan, replicas, snapshots
from mwaa_local.engines.base import timed
from mwaa_local.engines.databases import SWITCH_SECONDS, major, switch_notes, version_of
from mwaa_local.engines.desired import Desired
from mwaa_local.engines.docker import dump, migration, packages, removing, site
from mwaa_local.engines.docker import image as docker_image
from mwaa_local.engines.docker import plan as docker_plan
from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker.client import Docker, PortTakenError, translate
from mwaa_local.engines.docker.looking import Looking
from mwaa_local.engines.docker.plan import Made, Parts
from mwaa_local.engines.docker.state import Container
from mwaa_local.engines.docker.volumes import Volumes, majors
from mwaa_local.engines.docker.waiting import Compose, compose_words, named, until_healthy
from mwaa_local.engines.names import AIRFLOW, DATABASE, JOBS
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.protocol import Applied, Progress, Settled
from mwaa_local.engines.resources import resources
from mwaa_local.engines.turn import turn
from mwaa_local.errors import EngineError, MwaaLocalError
from mwaa_local.ground import atomic
from mwaa_local.model import Environment, Secrets
from mwaa_local.model import secrets as keys
from mwaa_local.runtime.inputs import TARGET_VERSION

_SITE_SECONDS = 300.0
# How often a port is chosen anew when somebody took it while the environment was starting.
_PORT_CHOICES = 4
_CHECK_SECONDS = 2.5
# What each of Airflow's components needs beside it in its own Compose project.
_NEIGHBOURS = ("postgres", "guardian")
_COMPOSE_SECONDS = 30.0


def why_unusable(environment: Environment, variables: Mapping[str, str]) -> str | None:
    """Why this machine's Docker cannot serve an environment, in one line; ``None`` when it can.

    Nothing is fetched, and the answer takes 3 seconds at most.
    """
    began = time.monotonic()
    try:
        docker = Docker.find(variables)
        docker.check(timeout_s=_CHECK_SECONDS)
        left = max(0.5, 3.0 - (time.monotonic() - began))
        return docker_image.why_missing(docker, environment, docker_image.assets().context, timeout_s=left)
    except MwaaLocalError as error:
        return error.what


class DockerEngine(Looking):
    """Runs one environment as containers.

    Args:
        environment: Which one.
        variables: The caller's process environment.
    """

    def __init__(self, environment: Environment, variables: Mapping[str, str]) -> None:
        super().__init__(environment, variables)
        self._cpus: int | None = None
        self._images: dict[str, dict[str, str]] = {}

    @property
    def _volumes(self) -> Volumes:
        return Volumes(self._docker, self._project, self._folder)

    # -- what shall be -------------------------------------------------------------------------------------------------

    def prepare(self, environment: Environment, progress: Progress) -> None:
        """Have the images: build ours when it is missing or was made from other files, fetch the others.

        Raises:
            MwaaLocalError: Docker does not serve, or an image cannot be had; says what to do.
        """
        owner.refuse_other(self.layout, self.name, self._environment.name)
        self._databases.refuse_unknown(environment)
        self._have_images(environment, progress)

    def _have_images(self, environment: Environment, progress: Progress) -> dict[str, str]:
        names = docker_image.wanted(environment)
        if names.component not in self._images:
            with progress.step("images") as step:
                self._cpus = self._docker.check(timeout_s=10.0)
                context = docker_image.assets().context
                found = docker_image.ensure(self._docker, environment, context, self._host, step)
                self._images[names.component] = found
                step.note(names.component)
        return self._images[names.component]

    def admit(self, environment: Environment) -> list[str]:
        """See :class:`Engine`.

        Raises:
            MwaaLocalError: Another engine has the environment, its data are gone, or a newer version's.
        """
        self.layout.hide()
        owner.refuse_other(self.layout, self.name, environment.name)
        volumes = self._volumes.there()
        self._volumes.refuse_lost(volumes)
        there_now = majors(volumes)
        last = version_of(self._plan())
        healed = self._databases.heal(last if last is not None and major(last) in there_now else None)
        self._databases.refuse_unknown(environment)
        if major(environment.version.airflow) not in there_now:
            self._volumes.refuse_lost_database(environment.version.airflow, self._databases)
        return healed

    def make_packages(self, desired: Desired, progress: Progress) -> None:
        """See :class:`Engine`.

        Raises:
            RequirementsError: It cannot be had, and that is not allowed; what runs goes on.
        """
        environment, before = desired.environment, self._plan()
        if environment.local.image is not None:
            return  # an image that is not ours installs in each container
        if before is None or not ahead.wanted(before, desired.revision.digests, environment.version.airflow):
            return
        if self._running(ahead.COMPONENT) is None:
            return
        shared = (str(before.facts["aws"]), self._site.volume)
        secrets = keys.load_or_create(self.layout.secrets)
        made = self._make(desired, secrets, before.ports, [ahead.COMPONENT], shared, progress)
        exports = self.exports(ahead.COMPONENT) or {}
        found = packages.make(self._docker, made, self._folder, exports, progress)
        if not environment.local.allow_failed_requirements:
            ahead.refuse(found)

    def apply(self, desired: Desired, progress: Progress) -> Applied:
        """See :class:`Engine`.

        Raises:
            MwaaLocalError: An image, a port or the disk cannot be had, or the site does not start.
        """
        environment, before = desired.environment, self._plan()
        seconds: dict[str, float] = {}
        images = self._have_images(environment, progress)
        volumes = self._volumes.there()
        there = docker_state.look(self._docker, self._project)
        secrets, notes = self._keys(
            environment, before, fresh=major(environment.version.airflow) not in majors(volumes)
        )
        chosen, moved = self._ports(environment, before, there)
        with timed(seconds, "site"):
            begun = self._site.up(images, there, progress, timeout_s=_SITE_SECONDS)
        there = [item for item in there if item.service != "aws"]
        was = version_of(before)
        if was is not None and was != environment.version.airflow and any(item.lives for item in there):
            # No process of the old version may meet the new one's database, queue or API.
            with progress.step(f"stopping Airflow {was}"):
                removing.stop(self._docker, self._project, there, timeout_s=SWITCH_SECONDS)
            there = []
        old = self._volumes.with_old_names(volumes) if _had_old_names(before) else set()
        if old:
            with progress.step("database"):
                removing.stop(self._docker, self._project, there, timeout_s=SWITCH_SECONDS)
                self._take_over(old, images, secrets)
            there = []
        workers, there = self._scaled(desired.workers, there, progress)
        with timed(seconds, "plan"):
            made = self._make(desired, secrets, chosen, workers, (begun.aws, begun.volume), progress)
        applied = atomic.read_json(self._applied) or {}
        living = {item.name: item.id for item in there if item.lives}
        adopt = applied.get("digest") == made.digest and {name: living.get(name) for name in made.names} == applied.get(
            "containers"
        )
        if not adopt:
            self._write(made)
        same = before is not None and applied.get("base") == made.base and self._neighbours_stay(made, before, there)
        compose = None if adopt else self._compose(made, airflow_only=same)
        desired.write(self._memory)
        token = _Begun(made, compose, living, begun, seconds)
        return Applied(desired, made.plan, before if living else None, (*begun.notes, *moved, *notes), token)

    def wait(self, applied: Applied, progress: Progress, *, timeout_s: float) -> Settled:
        """See :class:`Engine`; a port that somebody took meanwhile is replaced by another one.

        Raises:
            MwaaLocalError: A component cannot start, or the time is over; the others keep running.
        """
        first, notes = applied, list(applied.notes)
        for choice in range(1, _PORT_CHOICES + 1):
            try:
                return self._settled(replace(applied, before=first.before, notes=tuple(notes)), progress, timeout_s)
            except PortTakenError as error:
                wishes = docker_plan.wishes(applied.desired.environment)
                fixed = {applied.plan.ports.get(one.name) for one in wishes if one.explicit}
                if choice == _PORT_CHOICES or error.port in fixed or error.port not in applied.plan.ports.values():
                    raise
                notes.append(f"port {error.port} was taken during the start ({error.why}): chose another one")
                applied = self.apply(applied.desired, progress)
                notes += applied.notes
        raise AssertionError("the last choice returns or raises")

    def _settled(self, applied: Applied, progress: Progress, timeout_s: float) -> Settled:
        token: _Begun = applied.token
        made, version = token.made, applied.desired.environment.version.airflow
        patience = 0.0
        try:
            took, containers, statuses = until_healthy(
                self._docker, self._project, made.names, progress, compose=token.compose, timeout_s=timeout_s
            )
        except MwaaLocalError:
            patience = _COMPOSE_SECONDS
            raise
        finally:
            if token.compose is not None:
                token.compose.close(patience_s=patience)
            volumes = self._volumes.there()
            self._volumes.note(volumes)
            if major(version) in majors(volumes):  # not before: a cut `up` made none
                self._databases.note(version)
        now = {item.name: item.id for item in containers if item.name in made.names}
        atomic.write_json(self._applied, {"digest": made.digest, "base": made.base, "containers": now})
        owner.note(self.layout, self.name)
        touched = {name for name, identity in token.living.items() if name in now and now[name] != identity}
        changes = docker_plan.changes(applied.before, made.plan, touched) if applied.before is not None else []
        states = [docker_state.describe(item, statuses.get(item.name)) for item in containers if item.name in now]
        states += [docker_state.of_site(docker_state.describe(item, None)) for item in token.site.containers]
        return Settled(
            addresses=self._addresses(made.plan),
            components=states,
            seconds={**token.seconds, **took},
            changes=[*applied.notes, *changes],
        )

    def _scaled(self, wanted_now: int, there: list[Container], progress: Progress) -> tuple[list[str], list[Container]]:
        """The workers that shall run, and the containers that are left when those that shall not are gone."""
        present = [item.name for item in there if item.service == "worker" and item.lives]
        workers = replicas.workers(wanted_now, present, self.busy)
        # Compose would take those with the highest numbers, whatever they do.
        going = [item for item in there if item.service == "worker" and item.name not in workers]
        if going:
            with progress.step(f"stopping {', '.join(item.name for item in going)}"):
                seconds = limits().patience_seconds
                ids = [item.id for item in going]
                self._docker.output("stop", "--time", str(seconds), *ids, timeout_s=seconds + 60.0)
                self._docker.output("rm", "--force", "--volumes", *ids, timeout_s=60.0)
        return workers, [item for item in there if item not in going]

    def _take_over(self, volumes: Iterable[str], images: Mapping[str, str], secrets: Secrets) -> None:
        """Give databases of before 0.2 the names that both engines have now."""
        image = images[docker_image.wanted(self._environment).postgres]
        for name in sorted(volumes):
            with dump.served(self._docker, image, f"{self._project}_{name}", f"{self._project}-dump") as container:
                dump.take_over(self._docker, container, secrets.database_password)
            self._volumes.note_names({name})

    def _keys(self, environment: Environment, before: Plan | None, *, fresh: bool) -> tuple[Secrets, list[str]]:
        """The environment's keys, and what to tell of them and of its database."""
        notes = []
        if not self.layout.secrets.exists():
            self._volumes.refuse_orphaned(self.layout.secrets)
            notes.append(f"its containers: docker compose --project-name {self._project} ps")
        notes = [*switch_notes(environment, self._databases, version_of(before), made=fresh), *notes]
        return keys.load_or_create(self.layout.secrets), notes

    def _make(
        self,
        desired: Desired,
        secrets: Secrets,
        chosen: Mapping[str, int],
        workers: Sequence[str],
        shared: tuple[str, str],
        progress: Progress,
    ) -> Made:
        environment = desired.environment
        parts = Parts(
            environment=environment,
            wanted=docker_image.wanted(environment),
            images=self._have_images(environment, progress),
            secrets=secrets,
            ports=chosen,
            aws=shared[0],
            network=site.network_of(environment),
            shared=shared[1],
            workers=workers,
            digests=desired.revision.digests,
            cpus=self._cpus or 1,
            host=self._host,
            folder=self._folder,
        )
        return docker_plan.build(parts)

    def _ports(
        self, environment: Environment, before: Plan | None, there: Sequence[Container]
    ) -> tuple[dict[str, int], list[str]]:
        known = before.ports if before else {}
        own = {port for item in there if item.lives for port in item.ports}
        return self._registry.give(self.layout.state, docker_plan.wishes(environment), before=known, own=own)

    def _compose(self, made: Made, *, airflow_only: bool) -> Compose:
        """Start ``docker compose up``: the neighbours and the migration unless those stay, then Airflow's components.

        Airflow's are always brought up without their dependencies: Compose counts those into what a service is, and
        would make them all anew whenever the one kind of call follows the other.
        """
        words = compose_words(made.project, made.files)
        words += ["up", "--detach", "--no-build", "--remove-orphans"]
        airflow = [*words, "--no-deps", "--scale", f"worker={made.workers}", *AIRFLOW]
        stages = [airflow] if airflow_only else [[*words, *_NEIGHBOURS, *JOBS], airflow]
        return Compose(self._docker, stages, made.variables, self._folder)

    def _neighbours_stay(self, made: Made, before: Plan, there: Sequence[Container]) -> bool:
        """Whether database, endpoint and guardian run as they shall, and the schema needs no look."""
        running = {item.name for item in there if docker_state.describe(item, None).state == "healthy"}
        same_version = before.facts.get("airflow_version") == made.plan.facts["airflow_version"]
        changed = plan.differences(before, made.plan).keys()
        return same_version and running.issuperset(_NEIGHBOURS) and changed.isdisjoint(_NEIGHBOURS)

    def _write(self, made: Made) -> None:
        atomic.replace(made.files[-1], made.overlay.encode())
        made.plan.write(self._folder / "plan.json")

    @property
    def _applied(self) -> Path:
        return self._folder / "applied.json"

    def endpoint_state(self, *, repair: bool) -> dict[str, Any]:
        """Have the AWS endpoint's volume looked at; see :func:`mwaa_local.engines.docker.volumes.look_into_endpoint`.

        Raises:
            EngineError: The environment runs, or the look failed.
        """
        if any(item.lives for item in docker_state.look(self._docker, self._project)):
            raise EngineError(
                "the environment runs, and what it is writing cannot be judged",
                where=f"Docker project {self._project}",
                hint="mwaa-local down, then this again",
            )
        return self._site.endpoint_state(repair=repair)

    # -- the database ------------------------------------------------------------------------------------------------

    def downgrade(self, last: Desired, target: str, progress: Progress) -> None:
        """See :class:`Engine`.

        Raises:
            EngineError: It failed.
        """
        before = self._plan()
        if before is None:
            raise EngineError("this environment has no database yet", where=self._project, hint="mwaa-local up")
        shared = (str(before.facts["aws"]), self._site.volume)
        secrets = keys.load_or_create(self.layout.secrets)
        made = self._make(last, secrets, before.ports, [ahead.COMPONENT], shared, progress)
        with progress.step(f"database back to Airflow {target}") as step:
            try:
                migration.run(self._docker, made, self._folder, {TARGET_VERSION: target}, step.note)
            finally:
                removing.stop(
                    self._docker,
                    self._project,
                    docker_state.look(self._docker, self._project),
                    timeout_s=removing.QUICK_STOP_SECONDS,
                )
        self._databases.note(target)

    def snapshot(self, target: Path) -> None:
        """See :class:`Engine`.

        Raises:
            MwaaLocalError: There is no database, or the file cannot be written; none is left.
        """
        with turn(self.layout):
            version = self._database_in_use()
            running = self._running("postgres")
            if running is not None:
                snapshots.take(
                    dump.client(self._docker, running.id), target, version=version, name=self._environment.name
                )
                return
            with self._served(version) as container:
                snapshots.take(
                    dump.client(self._docker, container), target, version=version, name=self._environment.name
                )

    def restore(self, source: Path) -> None:
        """See :class:`Engine`.

        Raises:
            MwaaLocalError: The environment runs, or the file is no snapshot, or a damaged one.
        """
        about = snapshots.about(source)
        self.layout.hide()
        with turn(self.layout):
            owner.refuse_other(self.layout, self.name, self._environment.name)
            if any(item.lives for item in docker_state.look(self._docker, self._project)):
                raise EngineError(
                    "a database in use is not replaced",
                    where=f"Docker project {self._project}",
                    hint="mwaa-local down, then this again",
                )
            with self._served(about.airflow_version) as container:
                snapshots.put(dump.client(self._docker, container), source)
            self._databases.note(about.airflow_version)

    @contextmanager
    def _served(self, version: str) -> Iterator[str]:
        """A container with a server for the database of a version that nothing else serves."""
        volume = docker_plan.database_volume_of(self._project, version)
        if major(version) not in majors(self._volumes.there()):
            raise EngineError("this environment has no database yet", where=f"volume {volume}", hint="mwaa-local up")
        image = docker_image.wanted(self._environment).postgres
        with dump.served(self._docker, image, volume, f"{self._project}-dump") as container:
            yield container

    # -- down ----------------------------------------------------------------------------------------------------------

    def down(self, *, timeout_s: float, keep_site: bool = False) -> None:
        """Stop everything and keep the data; running tasks get ``timeout_s`` seconds.

        The site stops with its last environment, unless ``keep_site``.
        """
        with self._changing():
            removing.stop(
                self._docker, self._project, docker_state.look(self._docker, self._project), timeout_s=timeout_s
            )
            if not keep_site:
                self._site.release()

    def reset(self) -> None:
        """Stop everything at once and wipe the data: volumes, keys, the state folder.

        Raises:
            MwaaLocalError: Something could not be removed.
        """
        with self._changing():
            there = docker_state.look(self._docker, self._project)
            removing.remove(self._docker, self._project, there)
            self._site.forget(resources(self._environment))
            if any(item.lives for item in there):
                self._site.release()
            volumes = removing.labelled(self._docker, "volume", self._project)
            if volumes:
                self._docker.output("volume", "rm", *volumes, timeout_s=120.0)
            if not self.layout.state.exists():
                return
            owner.wipe(self.layout, self.name)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """The environment's lock, without making a state folder where there was none."""
        if not self.layout.state.exists():
            yield
            return
        with turn(self.layout):
            yield

    def restart(self, component: str, progress: Progress) -> None:
        """Stop one component gracefully, start it again, and wait until it is healthy.

        Raises:
            EngineError: The environment does not run, or has no such component.
        """
        with turn(self.layout):
            item = self._container(component)
            with progress.step(f"stopping {component}"):
                self._docker.output("stop", item.id, timeout_s=200.0)
            done = self._docker.call("start", item.id, timeout_s=60.0)
            if done.returncode:
                raise named(self._docker, translate(done.stderr.decode(errors="replace"), f"docker start {component}"))
            until_healthy(self._docker, item.project, [component], progress, compose=None, timeout_s=300.0)


@dataclass(frozen=True)
class _Begun:
    """What :meth:`DockerEngine.wait` needs of :meth:`DockerEngine.apply`."""

    made: Made
    compose: Compose | None
    living: Mapping[str, str]
    site: site.Begun
    seconds: Mapping[str, float]


def _had_old_names(before: Plan | None) -> bool:
    """Whether database and user of the last plan, or of one that cannot be read, are those of before 0.2."""
    worker = before.component("worker") if before is not None else None
    return worker is None or worker.env.get("MWAA__DB__POSTGRES_DB") != DATABASE
