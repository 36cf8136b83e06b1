"""Looking at an environment of the docker engine, and commands in its containers. Changes nothing of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from mwaa_local.engines import plan
from mwaa_local.engines.base import Base
from mwaa_local.engines.databases import BUSY_HOSTS
from mwaa_local.engines.docker import commands, dump
from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker.client import Docker
from mwaa_local.engines.docker.plan import project_name
from mwaa_local.engines.docker.site import Site
from mwaa_local.engines.docker.state import PROJECT_LABEL, Container
from mwaa_local.engines.names import AIRFLOW, JOBS
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.protocol import Addresses, ComponentState
from mwaa_local.errors import EngineError
from mwaa_local.model import Environment
from mwaa_local.runtime.execute import TERMINAL
from mwaa_local.runtime.files import ENVIRONMENT_FILE


class Looking(Base):
    """The half of the engine that only looks; see :class:`Base`."""

    name = "docker"

    def __init__(self, environment: Environment, variables: Mapping[str, str]) -> None:
        super().__init__(environment, variables)
        self._folder = environment.state / "docker"
        self._project = project_name(environment)
        self._found: Docker | None = None

    @property
    def _docker(self) -> Docker:
        if self._found is None:
            self._found = Docker.find(self._host)
        return self._found

    @property
    def _site(self) -> Site:
        return Site(self._environment, self._docker, self._registry)

    def _plan(self) -> Plan | None:
        return plan.last(self._folder / "plan.json")

    @property
    def _memory(self) -> Path:
        return self._folder / self.layout.desired.name

    def environments(self) -> list[str]:
        """See :class:`Engine`."""
        return self._site.environments()

    def busy(self) -> set[str]:
        """See :class:`Engine`.

        Raises:
            EngineError: The database does not answer.
        """
        workers = [one for one in docker_state.look(self._docker, self._project) if one.service == "worker"]
        hosts = dump.column(self._docker, self._container("postgres").id, BUSY_HOSTS)
        return {one.name for one in workers for host in hosts if one.id.startswith(host)}

    def _states(self, *, memory: bool) -> list[ComponentState]:
        made = self._plan()
        there = docker_state.look(self._docker, self._project)
        with ThreadPoolExecutor(2) as pool:
            asked = pool.submit(docker_state.statuses, self._docker, there)
            sizes = docker_state.memory(self._docker, there) if memory else {}
            statuses = asked.result()
        states = {
            item.name: docker_state.describe(item, statuses.get(item.name), memory=sizes.get(item.name))
            for item in there
            if item.service not in JOBS
        }
        planned = [item.name for item in made.components if item.kind == "service"] if made else []
        own = [states.get(name) or ComponentState(name, "stopped") for name in dict.fromkeys([*planned, *states])]
        return [*own, *self._site.states(memory=memory)] if own else []

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
