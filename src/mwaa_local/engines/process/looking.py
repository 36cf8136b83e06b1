"""Looking at an environment of the process engine, and commands in its components. Changes nothing of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from mwaa_local.engines import attended, plan
from mwaa_local.engines.base import Base
from mwaa_local.engines.databases import BUSY_HOSTS
from mwaa_local.engines.names import AIRFLOW, kind
from mwaa_local.engines.plan import Plan
from mwaa_local.engines.process import keeper_client, postgres
from mwaa_local.engines.process import plan as process_plan
from mwaa_local.engines.process import view as process_view
from mwaa_local.engines.process.site import Site
from mwaa_local.engines.protocol import Addresses, ComponentState
from mwaa_local.errors import EngineError
from mwaa_local.model import Environment
from mwaa_local.model import secrets as keys
from mwaa_local.runtime.execute import TERMINAL


def workers_of(made: Plan | None) -> list[str]:
    """The workers of a plan, by name."""
    return [item.name for item in made.components if kind(item.name) == "worker"] if made else []


def addresses_of(made: Plan) -> Addresses:
    """Where a plan's environment answers."""
    facts = made.facts
    return Addresses(facts["web"], facts["aws"], facts["bucket"], facts["airflow_version"])


class Looking(Base):
    """The half of the engine that only looks; see :class:`Base`."""

    name = "process"

    def __init__(self, environment: Environment, variables: Mapping[str, str]) -> None:
        super().__init__(environment, variables)
        self._site = Site(environment, self._host, self._registry)

    @property
    def _memory(self) -> Path:
        return self.layout.desired

    def _plan(self) -> Plan | None:
        return plan.last(self.layout.plan)

    def environments(self) -> list[str]:
        """See :class:`Engine`."""
        return self._site.environments()

    def busy(self) -> set[str]:
        """See :class:`Engine`.

        Raises:
            EngineError: The database does not answer.
        """
        made = self._plan()
        if made is None:
            return set()
        password = keys.load_or_create(self.layout.secrets).database_password
        hosts = postgres.column(made.ports["postgres"], password, BUSY_HOSTS)
        names = {process_plan.hostname(self._environment, name): name for name in workers_of(made)}
        return {names[host] for host in hosts if host in names}

    def _states(self, *, memory: bool) -> list[ComponentState]:
        own = process_view.states(self.layout, self._plan(), memory=memory)
        if not own:
            return []
        shared = process_view.states(self._site.layout, self._site.plan(), site=True, memory=memory)
        asked = keeper_client.report(self.layout)["components"]
        return process_view.with_site(own, shared, asked)

    def addresses(self) -> Addresses | None:
        """Where the environment answers; ``None`` when it does not run."""
        made = self._plan()
        return addresses_of(made) if made is not None and keeper_client.runs(self.layout) else None

    def exports(self, component: str) -> dict[str, str] | None:
        """What the startup script exported in a running component; ``None`` when it does not run."""
        return process_view.exports(self.layout, self._plan(), component)

    def variables(self, component: str) -> dict[str, str] | None:
        """The variables of a running component's Airflow processes; ``None`` when it does not run."""
        return process_view.variables(self.layout, self._plan(), component)

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
        return process_view.lines(self.layout, made, component, follow=follow, lines=lines)

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
        variables = {**made.base_env, **item.env, **terminal}
        return attended.run(words, variables=variables, folder=self.layout.state, interactive=interactive, stdin=stdin)
