"""The site of the process engine: the AWS endpoint that the environments of one project share, under its own keeper.

It is started before the first of them and stopped after the last (design section 6).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mwaa_local
from mwaa_local.aws import client
from mwaa_local.aws.client import HEALTH_PATH
from mwaa_local.engines import names, plan, ports
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.ports import HOST
from mwaa_local.engines.process import keeper_client, lost_ports, soundness
from mwaa_local.engines.process.lost_ports import Lost, LostPortError, Watch
from mwaa_local.engines.process.waiting import until_healthy
from mwaa_local.engines.protocol import Progress, Silent
from mwaa_local.engines.resources import wish
from mwaa_local.errors import EngineError, MachineError, MwaaLocalError
from mwaa_local.ground import locks
from mwaa_local.model import Environment
from mwaa_local.packages import child

BUSY = "another command is changing this site"
_LOCK_SECONDS = 120.0
_STOP_SECONDS = 25.0


def layout_of(environment: Environment) -> Layout:
    """Where the site of an environment keeps what."""
    return Layout(environment.site / names.SITE)


@dataclass(frozen=True)
class Begun:
    """A site that was told what to run.

    Attributes:
        plan: What.
        notes: What to tell, one line each.
    """

    plan: Plan
    notes: tuple[str, ...]

    @property
    def aws(self) -> str:
        """URL of the AWS endpoint."""
        return str(self.plan.facts["aws"])


class Site:
    """The site that an environment belongs to.

    Args:
        environment: One of its environments.
        host: The caller's variables.
        registry: Ports promised on this machine.
    """

    def __init__(self, environment: Environment, host: Mapping[str, str], registry: ports.Registry) -> None:
        self._environment = environment
        self._own = Layout(environment.state)
        self._host = host
        self._registry = registry
        self.layout = layout_of(environment)

    @property
    def runs(self) -> bool:
        """Whether its keeper does."""
        return keeper_client.runs(self.layout)

    def plan(self) -> Plan | None:
        """What it was told last; ``None`` where nothing readable says it."""
        return plan.last(self.layout.plan)

    # -- up ------------------------------------------------------------------------------------------------------------

    def refuse_damage(self) -> None:
        """Raise what is wrong with its data, if it does not run.

        Raises:
            MachineError: Some of it is damaged or gone.
        """
        if not self.runs:
            soundness.refuse_damage(self.layout)

    def begin(self, base_env: Mapping[str, str], lost: Lost | None = None) -> Begun:
        """Start it, or apply what changed; what it starts is waited for by :meth:`settle`.

        Args:
            base_env: Variables of every process.
            lost: A port that somebody else took since the last call.

        Raises:
            MwaaLocalError: A port or the disk cannot be had.
        """
        self.layout.hide()
        with locks.lock(self.layout.up_lock, seconds=_LOCK_SECONDS, busy=BUSY):
            notes = self._take_over()
            before, running = self.plan(), self.runs
            if running and (before is None or before.tool != mwaa_local.__version__ or before.format != plan.FORMAT):
                keeper_client.stop(self.layout, timeout_s=_STOP_SECONDS)
                running = False
            chosen, told = self._port(before, lost)
            made = self._build(chosen, base_env, before)
            if not (running and made == before and self._well()):
                made.write(self.layout.plan)
                if running:
                    keeper_client.reload(self.layout)
                else:
                    keeper_client.start(self.layout, self._host)
        changed = [
            f"{reason}: restarted {name} of the site"
            for name, reasons in plan.differences(before, made).items()
            for reason in reasons
            if running and reason != "added"
        ]
        return Begun(made, (*notes, *told, *changed))

    def _well(self) -> bool:
        """Whether all of it is: then nothing is to be told to its keeper."""
        told = keeper_client.report(self.layout)["components"]
        return bool(told) and all(one.get("state") == "healthy" for one in told.values())

    def settle(self, begun: Begun, progress: Progress, *, timeout_s: float) -> Lost | None:
        """Wait until it is healthy; the port that a stranger took meanwhile, if that is what went wrong.

        Raises:
            MwaaLocalError: It cannot start, or the time is over.
        """
        watch = Watch(begun.plan.facts["ports"], self.layout.state)
        wanted = [item.name for item in begun.plan.components]
        try:
            until_healthy(self.layout, begun.plan.generation, wanted, progress, timeout_s=timeout_s, look=watch)
        except LostPortError as error:
            return error.lost
        except MwaaLocalError:
            if lost := watch.look(keeper_client.report(self.layout)["components"], failed=True):
                return lost
            raise
        soundness.note_kept(self.layout)
        return None

    def restart(self, component: str, progress: Progress) -> None:
        """Stop one of its components gracefully, start it again, and wait until it is healthy.

        Raises:
            EngineError: It does not run.
        """
        with locks.lock(self.layout.up_lock, seconds=_LOCK_SECONDS, busy=BUSY):
            before = self.plan()
            if before is None or not self.runs:
                raise EngineError("the site does not run", where=str(self.layout.state), hint="make up")
            made = plan.wished_again(before, component)
            made.write(self.layout.plan)
            keeper_client.reload(self.layout)
            until_healthy(self.layout, made.generation, [component], progress, timeout_s=300.0)

    def _take_over(self) -> list[str]:
        """Up to 0.1 each environment had an endpoint of its own: the first one's data become the site's."""
        if not self._own.aws.is_dir():
            return []
        if self.layout.aws.is_dir():
            return [f"this environment's own AWS data stay in {self._own.aws}, unused: its site has others"]
        self._own.aws.rename(self.layout.aws)
        return [f"the AWS data of this environment are its site's now: {self.layout.aws}"]

    def _port(self, before: Plan | None, lost: Lost | None) -> tuple[dict[str, int], list[str]]:
        # Up to 0.1 an environment had the endpoint's port among its own.
        told = before or plan.last(self._own.plan)
        known = {name: port for name, port in told.ports.items() if name == "aws"} if told else {}
        own = lost_ports.own(self.layout, known) - ({lost.port} if lost else set())
        chosen, notes = self._registry.give(
            self.layout.state, [wish(self._environment)], before=known, own=own, inherited=known.values()
        )
        return chosen, [note for note in notes if known.get("aws") != chosen["aws"]]

    def _build(self, chosen: Mapping[str, int], base_env: Mapping[str, str], before: Plan | None) -> Plan:
        local = self._environment.local
        url = f"http://{HOST}:{chosen['aws']}"
        words = ["--host", HOST, "--port", str(chosen["aws"])]
        words += [word for name in local.aws_services for word in ("--service", name)]
        words += ["--containers"] if local.aws_containers else []
        words += ["--state", str(self.layout.aws), "--region", local.region, "--die-with-parent"]
        past = before.component("aws") if before else None
        endpoint = Component(
            name="aws",
            argv=tuple(child.own_python("-m", "mwaa_local.aws.server", *words)),
            probe={"kind": "http", "url": url + HEALTH_PATH},
            stop_seconds=20.0,
            nonce=past.nonce if past else 0,
        )
        facts = {"ports": dict(chosen), "aws": url}
        return Plan(tool=mwaa_local.__version__, base_env=base_env, components=(endpoint,), facts=facts)

    # -- down ----------------------------------------------------------------------------------------------------------

    def _folders(self) -> list[Path]:
        """The folders of all environments of the site, whatever is in them."""
        folders = self._environment.site.iterdir() if self._environment.site.is_dir() else ()
        return sorted(
            path for path in folders if path.is_dir() and path.name != names.SITE and not soundness.is_copy(path)
        )

    def environments(self) -> list[str]:
        """The environments that have data here, by name."""
        return [path.name for path in self._folders() if Layout(path).plan.exists()]

    def used_by(self) -> list[str]:
        """The environments that run or are being changed, but for the caller's own; a first `up` has no data yet."""
        others = [Layout(path) for path in self._folders() if path != self._own.state]
        return [one.state.name for one in others if locks.locked(one.keeper_lock) or locks.locked(one.up_lock)]

    def release(self) -> bool:
        """Stop it unless another environment uses it; whether it was stopped."""
        if not self.layout.state.exists():
            return False
        with locks.lock(self.layout.up_lock, seconds=_LOCK_SECONDS, busy=BUSY):
            if self.used_by():
                return False
            return keeper_client.stop(self.layout, timeout_s=_STOP_SECONDS)

    def forget(self, base_env: Mapping[str, str], resources: Mapping[str, Any]) -> None:
        """Remove what belongs to this environment: from the endpoint where others share it, else the site itself.

        Args:
            base_env: As for :meth:`begin`.
            resources: What the endpoint holds of it, as :func:`mwaa_local.aws.client.remove` takes it.

        Raises:
            MwaaLocalError: The endpoint cannot start, or something could not be removed.
        """
        if not self.layout.state.exists():
            return
        if any(name != self._environment.name for name in [*self.environments(), *self.used_by()]):
            ran = self.runs
            begun = self.begin(base_env)
            self.settle(begun, Silent(), timeout_s=60.0)
            client.remove(begun.aws, self._environment.local.region, **resources)
            if not ran:
                self.release()
            return
        with locks.lock(self.layout.up_lock, seconds=_LOCK_SECONDS, busy=BUSY):
            keeper_client.kill(self.layout)
            try:
                shutil.rmtree(self.layout.state)
            except OSError as error:
                raise MachineError(
                    "the site's data cannot be removed",
                    where=str(error.filename or self.layout.state),
                    why=str(error),
                    hint="remove that folder by hand",
                ) from error
