"""The Docker engine: an environment as the services of compose.yaml, one Compose project each."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mwaa_local.engines import ahead, owner, plan, ports
from mwaa_local.engines.databases import SWITCH_SECONDS, Databases, major, switch_notes, version_of
from mwaa_local.engines.docker import commands, packages, site
from mwaa_local.engines.docker import image as docker_image
from mwaa_local.engines.docker import plan as docker_plan
from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker.client import Docker, translate
from mwaa_local.engines.docker.plan import Made, Parts, project_name
from mwaa_local.engines.docker.site import Site
from mwaa_local.engines.docker.state import PROJECT_LABEL, Container
from mwaa_local.engines.docker.volumes import Volumes, majors
from mwaa_local.engines.docker.waiting import Compose, compose_words, named, until_healthy
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.names import AIRFLOW, JOBS
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.protocol import Addresses, ComponentState, Progress, UpResult
from mwaa_local.engines.resources import resources
from mwaa_local.engines.verdicts import crashes, verdicts, warnings
from mwaa_local.errors import EngineError, MwaaLocalError
from mwaa_local.ground import atomic, locks
from mwaa_local.model import Environment, Secrets
from mwaa_local.model import secrets as keys
from mwaa_local.model.cache import cache_folder
from mwaa_local.runtime.execute import TERMINAL
from mwaa_local.runtime.files import ENVIRONMENT_FILE
from mwaa_local.workflow import revision as workflow

_LOCK_SECONDS = 900.0
_BUSY = "another command is changing this environment"
_CHECK_SECONDS = 2.5
_QUICK_STOP_SECONDS = 20
# What each of Airflow's components needs beside it in its own Compose project.
_NEIGHBOURS = ("postgres", "guardian")
_COMPOSE_SECONDS = 30.0
# Tasks end first; on Airflow 3 they talk to the web server until then, and all of them need queue and database.
_STOP_ORDER = (("worker", "scheduler", "migrate-db"), ("webserver", "guardian", "control"), ("aws", "postgres"))


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


class DockerEngine:
    """Runs one environment as containers.

    Args:
        environment: Which one.
        variables: The caller's process environment.
    """

    name = "docker"

    def __init__(self, environment: Environment, variables: Mapping[str, str]) -> None:
        self._environment = environment
        self._host = dict(variables)
        self._layout = Layout(environment.state)
        self._folder = environment.state / "docker"
        self._project = project_name(environment)
        self._databases = Databases(environment.state)
        self._registry = ports.Registry(cache_folder(variables) / "ports.json")
        self._found: Docker | None = None
        self._cpus: int | None = None
        self._images: dict[str, str] | None = None

    @property
    def _docker(self) -> Docker:
        if self._found is None:
            self._found = Docker.find(self._host)
        return self._found

    @property
    def _volumes(self) -> Volumes:
        return Volumes(self._docker, self._project, self._folder)

    @property
    def _site(self) -> Site:
        return Site(self._environment, self._docker, self._registry)

    # -- up ------------------------------------------------------------------------------------------------------------

    def prepare(self, environment: Environment, progress: Progress) -> None:
        """Have the images: build ours when it is missing or was made from other files, fetch the others.

        Raises:
            MwaaLocalError: Docker does not serve, or an image cannot be had; says what to do.
        """
        owner.refuse_other(self._layout, self.name, self._environment.name)
        self._databases.refuse_older(environment)
        self._have_images(environment, progress)

    def _have_images(self, environment: Environment, progress: Progress) -> dict[str, str]:
        if self._images is None:
            with progress.step("images") as step:
                self._cpus = self._docker.check(timeout_s=10.0)
                context = docker_image.assets().context
                self._images = docker_image.ensure(self._docker, environment, context, self._host, step)
                step.note(docker_image.wanted(environment).component)
        return self._images

    def up(self, environment: Environment, progress: Progress, *, timeout_s: float) -> UpResult:
        """Start, adopt, or apply what changed; see :class:`Engine`.

        Raises:
            MwaaLocalError: What cannot be had; everything that could be started keeps running.
        """
        seconds: dict[str, float] = {}
        try:
            with locks.lock(self._layout.up_lock, seconds=_LOCK_SECONDS, busy=_BUSY):
                return self._up(environment, progress, seconds, timeout_s)
        except OSError as error:
            raise atomic.disk_error(error, self._layout.state) from error

    def _up(
        self, environment: Environment, progress: Progress, seconds: dict[str, float], timeout_s: float
    ) -> UpResult:
        began = time.time()
        self._layout.hide()
        owner.refuse_other(self._layout, self.name, self._environment.name)
        images = self._have_images(environment, progress)
        before = self._plan()
        volumes = self._volumes.there()
        self._volumes.refuse_lost(volumes)
        there_now = majors(volumes)
        last = version_of(before)
        healed = self._databases.heal(last if last is not None and major(last) in there_now else None)
        self._databases.refuse_older(environment)
        fresh = major(environment.version.airflow) not in there_now
        if fresh:
            self._refuse_lost_database(environment)
        there = docker_state.look(self._docker, self._project)
        secrets, notes = self._keys(environment, before, fresh=fresh)
        chosen, moved = self._ports(environment, before, there)
        with _timed(seconds, "site"):
            begun = self._site.up(images, there, progress, timeout_s=timeout_s)
        notes = [*begun.notes, *moved, *notes]
        there = [item for item in there if item.service != "aws"]
        with _timed(seconds, "plan"):
            made = self._make(environment, images, secrets, chosen, begun)
        self._packages_ahead(before, made, there, environment, progress)
        was = version_of(before)
        if was is not None and was != environment.version.airflow and any(item.lives for item in there):
            # No process of the old version may meet the new one's database, queue or API.
            with progress.step(f"stopping Airflow {was}"):
                self._stop(there, timeout_s=SWITCH_SECONDS)
            there = []
        applied = atomic.read_json(self._applied) or {}
        living = {item.name: item.id for item in there if item.lives}
        wanted = made.names
        adopt = applied.get("digest") == made.digest and {name: living.get(name) for name in wanted} == applied.get(
            "containers"
        )
        if not adopt:
            self._write(made)
        same = before is not None and applied.get("base") == made.base and self._neighbours_stay(made, before, there)
        compose = None if adopt else self._compose(made, airflow_only=same)
        patience = 0.0
        try:
            took, containers, statuses = until_healthy(
                self._docker, self._project, wanted, progress, compose=compose, timeout_s=timeout_s
            )
        except MwaaLocalError:
            patience = _COMPOSE_SECONDS
            raise
        finally:
            if compose is not None:
                compose.close(patience_s=patience)
            volumes = self._volumes.there()
            self._volumes.note(volumes)
            if major(environment.version.airflow) in majors(volumes):  # not before: a cut `up` made none
                self._databases.note(environment.version.airflow)
        seconds |= took
        now = {item.name: item.id for item in containers if item.name in wanted}
        owner.note(self._layout, self.name)
        atomic.write_json(self._applied, {"digest": made.digest, "base": made.base, "containers": now})
        touched = {name for name in living if name in now and now[name] != living[name]}
        changes = docker_plan.changes(before, made.plan, touched) if before is not None and living else []
        states = [docker_state.describe(item, statuses.get(item.name)) for item in containers if item.name in wanted]
        states += [docker_state.of_site(docker_state.describe(item, None)) for item in begun.containers]
        allowed = environment.local.allow_failed_requirements
        found = verdicts(states)
        loops, once = crashes(states, began)
        return UpResult(
            changes=[*healed, *notes, *changes],
            addresses=self._addresses(made.plan),
            components=states,
            seconds=seconds,
            verdicts=[*loops, *([] if allowed else found)],
            warnings=[*once, *(error.what for error in found if allowed), *warnings(states)],
        )

    def _packages_ahead(
        self,
        before: Plan | None,
        made: Made,
        there: Sequence[Container],
        environment: Environment,
        progress: Progress,
    ) -> None:
        """Have the package set of changed requirements before anything is stopped for them.

        Raises:
            RequirementsError: It cannot be had, and that is not allowed; what runs goes on.
        """
        running = any(item.lives and item.name == ahead.COMPONENT for item in there)
        worker = made.plan.component(ahead.COMPONENT)
        assert worker is not None, "every environment has one"
        if environment.local.image is not None or not running:
            return  # an image that is not ours installs in each container
        if not ahead.wanted(before, worker.inputs, environment.version.airflow):
            return
        exports = self.exports(ahead.COMPONENT) or {}
        found = packages.make(self._docker, made, self._folder, exports, progress)
        if not environment.local.allow_failed_requirements:
            ahead.refuse(found)

    def _keys(self, environment: Environment, before: Plan | None, *, fresh: bool) -> tuple[Secrets, list[str]]:
        """The environment's keys, and what to tell of them and of its database."""
        notes = []
        if not self._layout.secrets.exists():
            self._refuse_orphaned_data()
            notes.append(f"its containers: docker compose --project-name {self._project} ps")
        notes = [*switch_notes(environment, self._databases, version_of(before), made=fresh), *notes]
        return keys.load_or_create(self._layout.secrets), notes

    def _make(
        self,
        environment: Environment,
        images: Mapping[str, str],
        secrets: Secrets,
        chosen: Mapping[str, int],
        begun: site.Begun,
    ) -> Made:
        parts = Parts(
            environment=environment,
            wanted=docker_image.wanted(environment),
            images=images,
            secrets=secrets,
            ports=chosen,
            aws=begun.aws,
            network=site.network_of(environment),
            shared=begun.volume,
            digests=workflow.workflow_digests(environment, self._layout.digests),
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
        return self._registry.give(self._layout.state, docker_plan.wishes(environment), before=known, own=own)

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

    def _plan(self) -> Plan | None:
        return plan.last(self._folder / "plan.json")

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

    def _refuse_lost_database(self, environment: Environment) -> None:
        used = self._databases.version(environment.version.airflow)
        if used is not None:
            raise EngineError(
                f"the database of this environment is gone (Airflow {used} used it)",
                where=f"volume {docker_plan.database_volume(environment)}",
                why="it was removed outside mwaa-local; an empty one is not put in its place unasked",
                hint="restore the volume, or `mwaa-local reset` to begin anew",
            )

    def _refuse_orphaned_data(self) -> None:
        listed = self._docker.output("volume", "ls", "--quiet", "--filter", f"name=^{self._project}_database").split()
        if listed:
            raise EngineError(
                "there is a database of this environment, but its keys are gone",
                where=f"volume {', '.join(listed)}",
                why=f"{self._layout.secrets} was removed while the volume stayed",
                hint="restore that file, or `mwaa-local reset` to begin anew",
            )

    # -- down ----------------------------------------------------------------------------------------------------------

    def down(self, *, timeout_s: float, keep_site: bool = False) -> None:
        """Stop everything and keep the data; running tasks get ``timeout_s`` seconds.

        The site stops with its last environment, unless ``keep_site``.
        """
        with self._changing():
            self._stop(docker_state.look(self._docker, self._project), timeout_s=timeout_s)
            if not keep_site:
                self._site.release()

    def _stop(self, there: Sequence[Container], *, timeout_s: float) -> None:
        for number, services in enumerate(_STOP_ORDER):
            seconds = max(1, int(timeout_s) if number == 0 else min(_QUICK_STOP_SECONDS, int(timeout_s)))
            ids = [item.id for item in there if item.service in services and item.lives]
            if ids:
                self._docker.output("stop", "--time", str(seconds), *ids, timeout_s=seconds + 60.0)
        self._remove(there)

    def _remove(self, there: Sequence[Container]) -> None:
        """Containers and network; the daemon may still be about to remove one by itself."""
        docker = self._docker
        if there:
            done = docker.call("rm", "--force", "--volumes", *(item.id for item in there), timeout_s=90.0)
            left = docker_state.look(docker, self._project) if done.returncode else []
            if left:
                raise EngineError(
                    f"{', '.join(item.name for item in left)} could not be removed",
                    why=done.stderr.decode(errors="replace").strip(),
                    hint="run the command again",
                )
        for network in self._labelled("network"):
            docker.output("network", "rm", network, timeout_s=60.0)

    def _labelled(self, kind: str) -> list[str]:
        return self._docker.output(kind, "ls", "--quiet", "--filter", f"label={PROJECT_LABEL}={self._project}").split()

    def reset(self) -> None:
        """Stop everything at once and wipe the data: volumes, keys, the state folder.

        Raises:
            MwaaLocalError: Something could not be removed.
        """
        with self._changing():
            self._remove(docker_state.look(self._docker, self._project))
            self._site.forget(resources(self._environment))
            volumes = self._labelled("volume")
            if volumes:
                self._docker.output("volume", "rm", *volumes, timeout_s=120.0)
            if not self._layout.state.exists():
                return
            owner.wipe(self._layout, self.name)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """The environment's lock, without making a state folder where there was none."""
        if not self._layout.state.exists():
            yield
            return
        with locks.lock(self._layout.up_lock, seconds=_LOCK_SECONDS, busy=_BUSY):
            yield

    def restart(self, component: str, progress: Progress) -> None:
        """Stop one component gracefully, start it again, and wait until it is healthy.

        Raises:
            EngineError: The environment does not run, or has no such component.
        """
        with locks.lock(self._layout.up_lock, seconds=_LOCK_SECONDS, busy=_BUSY):
            item = self._container(component)
            with progress.step(f"stopping {component}"):
                self._docker.output("stop", item.id, timeout_s=200.0)
            done = self._docker.call("start", item.id, timeout_s=60.0)
            if done.returncode:
                raise named(self._docker, translate(done.stderr.decode(errors="replace"), f"docker start {component}"))
            until_healthy(self._docker, item.project, [component], progress, compose=None, timeout_s=300.0)

    # -- looking -------------------------------------------------------------------------------------------------------

    def components(self) -> list[ComponentState]:
        """State of every component."""
        made = self._plan()
        there = docker_state.look(self._docker, self._project)
        with ThreadPoolExecutor(2) as pool:
            asked = pool.submit(docker_state.statuses, self._docker, there)
            memory = docker_state.memory(self._docker, there)
            statuses = asked.result()
        states = {
            item.name: docker_state.describe(item, statuses.get(item.name), memory=memory.get(item.name))
            for item in there
            if item.service not in JOBS
        }
        planned = [item.name for item in made.components if item.kind == "service"] if made else []
        own = [states.get(name) or ComponentState(name, "stopped") for name in dict.fromkeys([*planned, *states])]
        return [*own, *self._site.states()] if own else []

    def addresses(self) -> Addresses | None:
        """Where the environment answers; ``None`` when it does not run."""
        made = self._plan()
        if made is None:
            return None
        words = ["ps", "--quiet", "--filter", f"label={PROJECT_LABEL}={self._project}"]
        return self._addresses(made) if self._docker.output(*words).strip() else None

    def _addresses(self, made: Plan) -> Addresses:
        # `docker compose ps`, `logs` and `exec` then mean this environment.
        shell = {"COMPOSE_PROJECT_NAME": self._project}
        facts = made.facts
        return Addresses(facts["web"], facts["aws"], facts["bucket"], facts["airflow_version"], shell)

    def _container(self, component: str, *, jobs: bool = False) -> Container:
        """The container of a component.

        Raises:
            EngineError: There is none.
        """
        there = [*docker_state.look(self._docker, self._project), *self._site.containers()]
        for item in there:
            if item.name == component and (jobs or item.service not in JOBS):
                return item
        names = ", ".join(item.name for item in there if item.service not in JOBS)
        raise EngineError(f"no component {component!r}", why=f"components: {names or 'none runs'}", hint="make up")

    def logs(self, component: str, *, follow: bool, lines: int) -> Iterator[str]:
        """A component's console output.

        Raises:
            EngineError: There is no such component.
        """
        item = self._container(component, jobs=True)
        return commands.logs(self._docker, item, follow=follow, lines=lines)

    def run(
        self, component: str, argv: Sequence[str], *, interactive: bool, stdin: IO[bytes] | Path | None = None
    ) -> int:
        """Run a command in a component: its files, variables and packages.

        Args:
            component: ``scheduler``, ``worker``, ``worker-2``, ``webserver``.
            argv: The command.
            interactive: Whether a person types into it.
            stdin: What it reads; the caller's own input when not given.

        Returns:
            Its exit code; 128 and the signal's number when a signal ended it, as a shell would say.

        Raises:
            EngineError: There is no such component, or it does not run.
        """
        item = self._container(component)
        if item.service not in AIRFLOW or item.status != "running":
            raise EngineError(
                f"nothing can be run in {component!r}",
                why=f"it is {item.status}" if item.service in AIRFLOW else f"components: {', '.join(AIRFLOW)}",
                hint="mwaa-local status",
            )
        ours = self._environment.local.image is None
        terminal = [name for name in TERMINAL if self._host.get(name)]
        words = commands.execute_words(item.service, argv, ours=ours)
        return commands.execute(self._docker, item.id, words, terminal, interactive=interactive, stdin=stdin)

    def exports(self, component: str) -> dict[str, str] | None:
        """What the startup script exported in a running component; ``None`` when it does not run."""
        item = self._running(component)
        if item is None:
            return None
        status = docker_state.statuses(self._docker, [item]).get(component) or {}
        names = (status.get("startup_script") or {}).get("variables") or []
        kept = self._kept_environment(item)
        return {name: kept[name] for name in names if name in kept}

    def variables(self, component: str) -> dict[str, str] | None:
        """The variables of a running component's Airflow processes; ``None`` where its image keeps none."""
        item = self._running(component)
        return (self._kept_environment(item) or None) if item is not None else None

    def _running(self, component: str) -> Container | None:
        there = docker_state.look(self._docker, self._project)
        return next((one for one in there if one.name == component and one.status == "running"), None)

    def _kept_environment(self, item: Container) -> dict[str, str]:
        text = docker_state.read(self._docker, item.id, f"{docker_state.RUN_DIR}/{ENVIRONMENT_FILE}")
        value: Any = json.loads(text) if text else {}
        return dict(value.get("variables") or {})


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = round(time.monotonic() - began, 2)
