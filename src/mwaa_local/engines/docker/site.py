"""The site of the docker engine: the AWS endpoint that the environments of one project share, in a Compose project.

It is made from the same compose.yaml, and all of its environments are on its network (design section 6).
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mwaa_local
from mwaa_local.aws import client
from mwaa_local.engines import names, plan, ports
from mwaa_local.engines.docker import image as docker_image
from mwaa_local.engines.docker import removing
from mwaa_local.engines.docker import state as docker_state
from mwaa_local.engines.docker.client import Docker
from mwaa_local.engines.docker.overlay import Tagged, dump
from mwaa_local.engines.docker.plan import project_name, project_of_id
from mwaa_local.engines.docker.state import PROJECT_LABEL, Container
from mwaa_local.engines.docker.volumes import AWS, look_into_endpoint
from mwaa_local.engines.docker.waiting import Compose, compose_words, until_healthy
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.ports import HOST
from mwaa_local.engines.protocol import ComponentState, Progress, Silent
from mwaa_local.engines.resources import wish
from mwaa_local.errors import DefinitionError, EngineError, MachineError
from mwaa_local.ground import atomic, locks
from mwaa_local.model import Environment
from mwaa_local.model.environment import id_of

BUSY = "another command is changing this site"
_LOCK_SECONDS = 300.0
_STOP_SECONDS = 20
_SERVICES = ("aws",)
_WORDS = ("--host", "0.0.0.0", "--port", "4566", "--state", "/usr/local/mwaa/aws")


def project_of(environment: Environment) -> str:
    """The site's Compose project."""
    return f"mwaa-site-{hashlib.sha256(str(environment.site).encode()).hexdigest()[:8]}"


def network_of(environment: Environment) -> str:
    """The network of the site and of all its environments."""
    return f"{project_of(environment)}_default"


@dataclass(frozen=True)
class Begun:
    """A site that runs.

    Attributes:
        aws: URL of the AWS endpoint on this machine.
        volume: With its data.
        containers: Its own, healthy.
        notes: What to tell, one line each.
    """

    aws: str
    volume: str
    containers: tuple[Container, ...]
    notes: tuple[str, ...]


class Site:
    """The site that an environment belongs to.

    Args:
        environment: One of its environments.
        docker: The client.
        registry: Ports promised on this machine.
    """

    def __init__(self, environment: Environment, docker: Docker, registry: ports.Registry) -> None:
        self._environment = environment
        self._docker = docker
        self._registry = registry
        self._folder = environment.site / names.SITE / "docker"
        self.project = project_of(environment)

    @property
    def _lock(self) -> Path:
        return self._folder / "up.lock"

    def plan(self) -> Plan | None:
        """What it was told last; ``None`` where nothing readable says it."""
        return plan.last(self._folder / "plan.json")

    def containers(self) -> list[Container]:
        """Its containers."""
        return docker_state.look(self._docker, self.project)

    def states(self, *, memory: bool = True) -> list[ComponentState]:
        """State of its components; a stopped one for what it was told and has no container.

        Args:
            memory: Whether to measure what each takes.
        """
        there = self.containers()
        sizes = docker_state.memory(self._docker, there) if memory else {}
        found = {item.name: docker_state.describe(item, None, memory=sizes.get(item.name)) for item in there}
        told = self.plan()
        planned = [item.name for item in told.components] if told else []
        shown = [found.get(name) or ComponentState(name, "stopped") for name in dict.fromkeys([*planned, *found])]
        return [docker_state.of_site(one) for one in shown]

    # -- up ------------------------------------------------------------------------------------------------------------

    def up(
        self, images: Mapping[str, str], before_here: list[Container], progress: Progress, *, timeout_s: float
    ) -> Begun:
        """Start it, or apply what changed, and wait until it is healthy.

        Before the environment's own: what keeps the endpoint down must not be told as a fault of those that need it.

        Args:
            images: Image name to id, the environment's.
            before_here: The environment's own containers: up to 0.1 the endpoint was one of them.
            progress: Shows the waits.
            timeout_s: Limit of the wait in seconds.

        Raises:
            MwaaLocalError: A port, an image or its data cannot be had, or it does not become healthy.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.parent.chmod(0o700)
        with locks.lock(self._lock, seconds=_LOCK_SECONDS, busy=BUSY):
            notes = self._take_over(before_here)
            before, there = self.plan(), self.containers()
            self._refuse_lost()
            chosen, told = self._port(before, there)
            image = self._image(before, there)
            made, overlay = self._build(chosen, image)
            identity = images.get(image) or docker_image.present(self._docker, [image])[image]["id"]
            files = docker_image.compose_files(self._docker.variables)
            base = "\0".join(file.read_text(encoding="utf-8") for file in files)
            digest = hashlib.sha256("\0".join([base, overlay, identity]).encode()).hexdigest()[:16]
            living = {item.name: item.id for item in there if item.lives}
            applied = atomic.read_json(self._applied) or {}
            if applied.get("digest") != digest or applied.get("containers") != living or not living:
                atomic.replace(self._folder / "compose.overlay.yaml", overlay.encode())
                made.write(self._folder / "plan.json")
                self._compose([*files, self._folder / "compose.overlay.yaml"], progress)
                self._note_volume()
                there = self.containers()
                atomic.write_json(
                    self._applied, {"digest": digest, "containers": {item.name: item.id for item in there}}
                )
                reasons = plan.differences(before, made).get("aws", []) if before and living else []
                notes += [f"{reason}: restarted aws of the site" for reason in reasons]
            if not there or any(docker_state.describe(item, None).state != "healthy" for item in there):
                there = until_healthy(
                    self._docker, self.project, list(_SERVICES), progress, compose=None, timeout_s=timeout_s
                )[1]
        return Begun(f"http://{HOST}:{chosen['aws']}", self.volume, tuple(there), (*notes, *told))

    def _compose(self, files: list[Path], progress: Progress) -> None:
        stage = [*compose_words(self.project, files), "up", "--detach", "--no-build", "--no-deps", *_SERVICES]
        bundle = docker_image.ca_bundle(self._docker.variables)
        variables = {"MWAA_LOCAL_CA_BUNDLE": str(bundle)} if bundle else {}
        with progress.step("site"):
            Compose(self._docker, [stage], variables, self._folder).finish(timeout_s=120.0)

    def _take_over(self, there: list[Container]) -> list[str]:
        """Up to 0.1 each environment had an endpoint of its own: the first one's volume becomes the site's."""
        own = [item for item in there if item.service in _SERVICES]
        if own:
            ids = [item.id for item in own]
            self._docker.output("stop", "--time", str(_STOP_SECONDS), *ids, timeout_s=_STOP_SECONDS + 60.0)
            self._docker.output("rm", "--force", *ids, timeout_s=60.0)
        old = f"{project_name(self._environment)}_{AWS}"
        kept = self._kept()
        # The environment's own note says whether it ever had one; where there is no such note, the daemon does.
        told = (atomic.read_json(self._environment.state / "docker/kept.json") or {}).get("volumes")
        if kept == old or (isinstance(told, list) and AWS not in told) or not self._exists(old):
            return []
        if kept:
            return [f"this environment's own AWS data stay in the volume {old}, unused: its site has others"]
        atomic.write_json(self._note, {"volume": old}, durable=True)
        return [f"the AWS data of this environment are its site's now: volume {old}"]

    def _port(self, before: Plan | None, there: list[Container]) -> tuple[dict[str, int], list[str]]:
        # Up to 0.1 an environment had the endpoint's port among its own.
        told = before or plan.last(self._environment.state / "docker/plan.json")
        known = {name: port for name, port in told.ports.items() if name == "aws"} if told else {}
        own = {port for item in there if item.lives for port in item.ports}
        chosen, notes = self._registry.give(
            self._folder, [wish(self._environment)], before=known, own=own, inherited=known.values()
        )
        return chosen, [note for note in notes if known.get("aws") != chosen["aws"]]

    def _image(self, before: Plan | None, there: list[Container]) -> str:
        """The environment's own, or the one that runs where others use it: the endpoint is the same in both."""
        wanted = docker_image.wanted(self._environment).tool
        runs = str(before.facts.get("image", "")) if before and before.tool == mwaa_local.__version__ else ""
        if runs and runs != wanted and any(item.lives for item in there) and self.used_by():
            return runs if docker_image.present(self._docker, [runs]) else wanted
        return wanted

    def _build(self, chosen: Mapping[str, int], image: str) -> tuple[Plan, str]:
        environment = self._environment
        words = [*_WORDS, "--region", environment.local.region, *asked_services(environment)]
        volume = self.volume
        described = {"name": volume} if volume == f"{self.project}_{AWS}" else {"name": volume, "external": True}
        service = {
            "image": image,
            "command": words,
            "ports": Tagged("!override", [f"{HOST}:{chosen['aws']}:4566"]),
        }
        overlay = dump(
            {
                "services": {"aws": service},
                # Compose makes every volume of a file, whoever uses it: none but this shall be.
                "volumes": dict.fromkeys((AWS, "database", "packages", "secrets"), described),
            }
        )
        component = Component(
            name="aws", argv=tuple(words), inputs={"image": image, "ports": str(chosen["aws"]), "volume": volume}
        )
        facts = {"ports": dict(chosen), "aws": f"http://{HOST}:{chosen['aws']}", "image": image}
        return Plan(tool=mwaa_local.__version__, base_env={}, components=(component,), facts=facts), overlay

    @property
    def _applied(self) -> Path:
        return self._folder / "applied.json"

    # -- its data ------------------------------------------------------------------------------------------------------

    @property
    def _note(self) -> Path:
        return self._folder / "kept.json"

    @property
    def volume(self) -> str:
        """The volume with its data."""
        return self._kept() or f"{self.project}_{AWS}"

    def _kept(self) -> str:
        """The volume with its data; empty before the first start."""
        found = (atomic.read_json(self._note) or {}).get("volume")
        return found if isinstance(found, str) else ""

    def _exists(self, volume: str) -> bool:
        return volume in self._docker.output("volume", "ls", "--quiet", "--filter", f"name=^{volume}$").split()

    def _note_volume(self) -> None:
        if not self._kept():
            atomic.write_json(self._note, {"volume": self.volume}, durable=True)

    def _refuse_lost(self) -> None:
        kept = self._kept()
        if kept and not self._exists(kept):
            raise EngineError(
                "some of this site's data are gone",
                where=f"volume {kept}",
                why="removed outside mwaa-local; an empty one is not put in its place unasked",
                hint="restore the volume, or `mwaa-local reset` of every environment of the project to begin anew",
            )

    def endpoint_state(self, *, repair: bool) -> dict[str, Any]:
        """Have its data looked at; empty where there are none.

        Raises:
            EngineError: It runs, or the look failed.
        """
        if any(item.lives for item in self.containers()):
            raise EngineError(
                "the site runs, and what it is writing cannot be judged",
                where=f"Docker project {self.project}",
                hint="mwaa-local down of every environment of the project, then this again",
            )
        volume = self._kept() or f"{project_name(self._environment)}_{AWS}"
        if not self._exists(volume):
            return {}
        image = docker_image.wanted(self._environment).tool
        return look_into_endpoint(self._docker, volume, image, repair=repair)

    # -- down ----------------------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        """All environments of the site, whatever there is of them."""
        site = self._environment.site
        folders = site.iterdir() if site.is_dir() else ()
        return sorted(path.name for path in folders if path.is_dir() and path.name != names.SITE)

    def environments(self) -> list[str]:
        """The environments that have data here, by name."""
        return [name for name in self._names() if (self._environment.site / name / "docker/plan.json").exists()]

    def used_by(self) -> list[str]:
        """The environments that run or are being changed, but for the caller's own; a first `up` has no data yet."""
        others = [name for name in self._names() if name != self._environment.name]
        if not others:
            return []
        words = ["ps", "--format", f'{{{{.Label "{PROJECT_LABEL}"}}}}']
        running = set(self._docker.output(*words).split())
        site, project = self._environment.site, self._environment.project
        return [
            name
            for name in others
            if project_of_id(id_of(name, project)) in running or locks.locked(site / name / "up.lock")
        ]

    def release(self) -> bool:
        """Stop it unless another environment uses it; whether it was stopped."""
        if not self._folder.exists():
            return False
        with locks.lock(self._lock, seconds=_LOCK_SECONDS, busy=BUSY):
            if self.used_by():
                return False
            there = self.containers()
            living = [item.id for item in there if item.lives]
            if living:
                self._docker.output("stop", "--time", str(_STOP_SECONDS), *living, timeout_s=_STOP_SECONDS + 60.0)
            self._remove(there)
            return bool(living)

    def forget(self, resources: Mapping[str, Any]) -> None:
        """Remove what belongs to this environment: from the endpoint where others share it, else the site itself.

        Args:
            resources: What the endpoint holds of it, as :func:`mwaa_local.aws.client.remove` takes it.

        Raises:
            MwaaLocalError: Something could not be removed.
        """
        if not self._folder.exists():
            return
        if any(name != self._environment.name for name in [*self.environments(), *self.used_by()]):
            ran = any(item.lives for item in self.containers())
            image = docker_image.wanted(self._environment).tool
            images = {name: str(one["id"]) for name, one in docker_image.present(self._docker, [image]).items()}
            begun = self.up(images, [], Silent(), timeout_s=60.0)
            client.remove(begun.aws, self._environment.local.region, **resources)
            if not ran:
                self.release()
            return
        with locks.lock(self._lock, seconds=_LOCK_SECONDS, busy=BUSY):
            self._remove(self.containers())
            volumes = set(removing.labelled(self._docker, "volume", self.project)) | (
                {self.volume} if self._exists(self.volume) else set()
            )
            if volumes:
                self._docker.output("volume", "rm", *sorted(volumes), timeout_s=120.0)
            try:
                shutil.rmtree(self._folder)
                with contextlib.suppress(OSError):
                    self._folder.parent.rmdir()  # the process engine may have a site of its own in it
            except OSError as error:
                raise MachineError(
                    "the site's data cannot be removed",
                    where=str(error.filename or self._folder),
                    why=str(error),
                    hint="remove that folder by hand",
                ) from error

    def _remove(self, there: list[Container]) -> None:
        if there:
            self._docker.output("rm", "--force", "--volumes", *(item.id for item in there), timeout_s=90.0)
        for network in removing.labelled(self._docker, "network", self.project):
            self._docker.call("network", "rm", network, timeout_s=60.0)  # stays while a stranger is on it


def asked_services(environment: Environment) -> list[str]:
    """Words for the services that only pretend and were asked for.

    Raises:
        DefinitionError: Containers were asked for, which the endpoint's own cannot start.
    """
    if environment.local.aws_containers:
        raise DefinitionError(
            "Local.AwsContainers needs the process engine",
            where="mwaa.yaml: Local.AwsContainers",
            why="the endpoint's container has no access to this machine's Docker, and gets none",
            hint="use --engine process, or leave AwsContainers out: the services of AwsServices then keep records only",
        )
    return [word for name in environment.local.aws_services for word in ("--service", name)]
