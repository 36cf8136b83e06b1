"""From an environment to what Compose shall run: an overlay on compose.yaml, and the same as a plan to compare.

compose.yaml stays the one description of the services. The overlay adds what a definition says: variables (the very
ones the process engine gives), folders, limits, ports, images. It holds the environment's secrets, so only its owner
can read it, and no secret ever stands on a command line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mwaa_local
from mwaa_local.aws.client import queue_url
from mwaa_local.catalog import ContainerSize, limits
from mwaa_local.engines import names, plan
from mwaa_local.engines.databases import major
from mwaa_local.engines.docker.hosts import address_of, host_of
from mwaa_local.engines.docker.image import Wanted, ca_bundle, compose_files
from mwaa_local.engines.docker.mounts import mounts
from mwaa_local.engines.docker.overlay import Tagged, dump
from mwaa_local.engines.docker.volumes import AWS as AWS_VOLUME
from mwaa_local.engines.docker.volumes import DATABASE
from mwaa_local.engines.names import AIRFLOW, bucket_name
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.ports import HOST, Wish
from mwaa_local.engines.resources import queue_name
from mwaa_local.model import Environment, Secrets
from mwaa_local.runtime.environment import service_variables
from mwaa_local.runtime.inputs import Wiring, variables_for
from mwaa_local.runtime.reading import read_inputs

AWS = "http://aws:4566"
INPUTS_LABEL = "io.mwaa-local.inputs"
DATABASE_LABEL = "io.mwaa-local.database"
_PLACE = Path("/usr/local/mwaa")
# Only the verdict's meaning changes with it, so the containers always get the same.
_NEUTRAL = dict.fromkeys(plan.NEUTRAL, "false")


@dataclass(frozen=True)
class Made:
    """Everything one ``up`` wants.

    Attributes:
        project: The Compose project.
        plan: The services as components, for saying what changed.
        overlay: Text of the file that is laid over compose.yaml.
        files: compose.yaml, what trust needs, and the overlay, in order.
        variables: What Compose's own interpolation needs; no secrets.
        workers: How many.
        digest: Changes when anything Compose would act on does.
        base: Changes when compose.yaml itself does.
    """

    project: str
    plan: Plan = field(repr=False)
    overlay: str = field(repr=False)
    files: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    digest: str = ""
    base: str = ""

    @property
    def names(self) -> list[str]:
        """The components that run for ever."""
        return [item.name for item in self.plan.components if item.kind == "service"]


@dataclass(frozen=True)
class Parts:
    """What ``up`` has found out before it can write.

    Attributes:
        ports: ``web``, perhaps ``postgres``, to the ports on this machine.
        aws: URL of the site's AWS endpoint on this machine.
        network: The site's.
        shared: The volume with the site's data.
        workers: Their names.
        digests: Label to digest of each workflow file.
        images: Image name to id.
        cpus: CPUs of the daemon's machine; a limit above that is refused by Docker.
        host: The caller's variables.
        folder: Where generated files go.
    """

    environment: Environment
    wanted: Wanted
    images: Mapping[str, str]
    secrets: Secrets
    ports: Mapping[str, int]
    aws: str
    network: str
    shared: str
    workers: Sequence[str]
    digests: Mapping[str, str]
    cpus: int
    host: Mapping[str, str]
    folder: Path


def project_name(environment: Environment) -> str:
    """The Compose project: one per environment."""
    return project_of_id(environment.id)


def project_of_id(identity: str) -> str:
    """The Compose project of the environment with this id."""
    return f"mwaa-{identity.lower()}"


def database_volume(environment: Environment) -> str:
    """The volume with the database: one per major version of Airflow."""
    return database_volume_of(project_name(environment), environment.version.airflow)


def database_volume_of(project: str, version: str) -> str:
    """The same for any version of a Compose project's environment."""
    return f"{project}_{DATABASE}{major(version)}"


def wishes(environment: Environment) -> list[Wish]:
    """The ports wanted on this machine; the database's only when asked for."""
    asked = environment.local.ports
    found = [
        Wish("web", asked.web, "web" in asked.explicit, "Local.Ports.Web"),
    ]
    if asked.postgres is not None:
        found.append(Wish("postgres", asked.postgres, "postgres" in asked.explicit, "Local.Ports.Postgres"))
    return found


def build(parts: Parts) -> Made:
    """The whole plan; makes the folders that it mounts."""
    services = _services(parts)
    overlay = dump(
        {
            "services": services,
            "volumes": {
                "database": {"name": database_volume(parts.environment)},
                AWS_VOLUME: {"name": parts.shared, "external": True},  # or Compose would make an empty one
            },
            # All environments of a site are on its network, each under names of its own.
            "networks": {"default": {"name": parts.network, "external": True}},
        }
    )
    bundle = ca_bundle(parts.host)
    files = compose_files(parts.host)
    base = "\0".join(file.read_text(encoding="utf-8") for file in files)
    text = "\0".join([base, overlay, json.dumps(dict(parts.images))])
    made = Plan(
        tool=mwaa_local.__version__,
        base_env={},
        components=tuple(_components(parts, services)),
        facts={
            "airflow_version": parts.environment.version.airflow,
            "ports": dict(parts.ports),
            "web": f"http://{HOST}:{parts.ports['web']}",
            "aws": parts.aws,
            "bucket": bucket_name(parts.environment),
        },
    )
    return Made(
        project=project_name(parts.environment),
        plan=made,
        overlay=overlay,
        files=(*files, parts.folder / "compose.overlay.yaml"),
        variables={"MWAA_LOCAL_CA_BUNDLE": str(bundle)} if bundle else {},
        workers=len(parts.workers),
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
        base=hashlib.sha256(base.encode()).hexdigest()[:16],
    )


# -- services ----------------------------------------------------------------------------------------------------------


def _services(parts: Parts) -> dict[str, dict[str, Any]]:
    environment, password = parts.environment, parts.secrets.database_password
    factor = environment.local.resource_factor
    sizes = environment.environment_class
    services: dict[str, dict[str, Any]] = {
        "postgres": {
            "image": parts.wanted.postgres,
            "environment": _literal({"POSTGRES_PASSWORD": password}),
            # Compose makes a container anew when its service changed, not when a volume's name did.
            "labels": {DATABASE_LABEL: database_volume(environment)},
            **_limits(sizes.database, factor, parts.cpus),
        },
        "guardian": {"image": parts.wanted.tool, "environment": _literal(_guardian(parts))},
    }
    if "postgres" in parts.ports:
        services["postgres"]["ports"] = [f"{HOST}:{parts.ports['postgres']}:5432"]
    mounted, extra = mounts(environment, parts.folder, parts.host)
    for name in (*AIRFLOW, "migrate-db"):
        services[name] = {
            "image": parts.wanted.component,
            "pull_policy": "never",
            "environment": _literal(variables(parts, name, extra)),
            "volumes": mounted,
        }
    for name in AIRFLOW:
        services[name] |= _limits(getattr(sizes, name), factor, parts.cpus)
        services[name]["labels"] = {INPUTS_LABEL: _join(parts.digests)}
    services["webserver"]["ports"] = Tagged("!override", [f"{HOST}:{parts.ports['web']}:8080"])
    services["postgres"]["networks"] = _aliases(host_of(environment, "postgres"))
    for name in ("scheduler", "webserver"):
        address = address_of(environment, name)
        services[name] |= {"hostname": address, "networks": _aliases(address, host_of(environment, name))}
    # Several workers cannot share one host name; without one each has its container's.
    services["worker"] |= {"hostname": Tagged("!reset", None), "networks": Tagged("!reset", None)}
    return services


def _aliases(*names: str) -> Tagged:
    return Tagged("!override", {"default": {"aliases": list(names)}})


def _literal(values: Mapping[str, str]) -> dict[str, str]:
    """Values that Compose shall not interpolate."""
    return {name: value.replace("$", "$$") for name, value in values.items()}


def _join(digests: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()[:16]


def _limits(size: ContainerSize, factor: float, cpus: int) -> dict[str, Any]:
    """The class's share of the machine; Docker refuses more CPUs than there are, and less than 6 MB."""
    megabytes = max(64, round(size.memory_gb * factor * 1024))
    return {"mem_limit": f"{megabytes}m", "cpus": max(0.1, min(size.vcpu * factor, float(cpus)))}


def variables(parts: Parts, component: str, extra: Mapping[str, str]) -> dict[str, str]:
    """The variables of one component: what the process engine would give, at the containers' addresses."""
    wiring = Wiring(
        database_host=host_of(parts.environment, "postgres"),
        database_port=5432,
        database_name=names.DATABASE,
        database_user=names.DATABASE_USER,
        secrets=parts.secrets,
        aws_endpoint=AWS,
        queue_url=queue_url(AWS, limits().account_id, queue_name(parts.environment)),
        api_server_url="http://" + host_of(parts.environment, "webserver") + ":8080",
        web_url=f"http://{HOST}:{parts.ports['web']}",
        web_port=8080,
        hostname="",
        home=Path(limits().home),
        run_dir=_PLACE / "run",
        cache_dir=_PLACE / "cache",
        base_set=Path("/opt/mwaa/base"),
        workflow=False,
        extra=extra,
    )
    given = variables_for(parts.environment, component, wiring)
    given.pop("MWAA_LOCAL__HOSTNAME")
    if parts.environment.local.image is not None and component in (*AIRFLOW, "migrate-db"):
        # Our runtime works these out from MWAA_LOCAL__ variables, which AWS's own image does not read.
        given = {**service_variables(read_inputs(component, given)), **given}
    return {**given, **_NEUTRAL}


def _guardian(parts: Parts) -> dict[str, str]:
    """What the guardian makes first (queue, bucket, log groups) and what it connects to."""
    given = variables(parts, "guardian", {})
    wanted = ("AIRFLOW_", "AWS_", "MWAA__SQS__", "MWAA__CORE__FERNET_KEY", "MWAA__DB__", "MWAA_LOCAL__AWS")
    told = ("_LOG_GROUP_ARN", "_LOGS_ENABLED")  # of categories that are switched off no group is made
    kept = {name: value for name, value in given.items() if name.startswith(wanted) or name.endswith(told)}
    password, database = parts.secrets.database_password, host_of(parts.environment, "postgres")
    return {
        **kept,
        "MWAA_LOCAL__BUCKET": bucket_name(parts.environment),
        "MWAA_LOCAL__DATABASE_DSN": f"postgresql://{names.DATABASE_USER}:{password}@{database}:5432/{names.DATABASE}",
    }


# -- words for people --------------------------------------------------------------------------------------------------


def _components(parts: Parts, services: Mapping[str, Mapping[str, Any]]) -> list[Component]:
    """The services as :mod:`plan` compares them; values of variables are compared and never shown."""
    found = []
    workers = parts.workers
    for name in ("postgres", "migrate-db", "webserver", "scheduler", *workers, "guardian"):
        service = services["worker" if name in workers else name]
        ports = service.get("ports")
        described = {
            "image": parts.images.get(service["image"], service["image"]),
            "memory limit": str(service.get("mem_limit", "")),
            "CPU limit": str(service.get("cpus", "")),
            "ports": json.dumps(ports.value if isinstance(ports, Tagged) else ports),
            "mounted folders": json.dumps(service.get("volumes")),
            **(parts.digests if name in AIRFLOW or name in workers else {}),
        }
        found.append(
            Component(
                name=name,
                argv=tuple(service.get("command", ())),
                env=service.get("environment", {}),
                kind="job" if name == "migrate-db" else "service",
                inputs=described,
            )
        )
    return found


def changes(before: Plan, made: Plan, touched: set[str]) -> list[str]:
    """One line per reason, with the components that were made anew for it."""
    reasons: dict[str, list[str]] = {}
    told: set[str] = set()
    for name, found in plan.differences(before, made).items():
        if name == "migrate-db":
            continue
        for reason in found:
            if name in touched or reason in ("added", "removed"):
                reasons.setdefault(reason, []).append(name)
                told.add(name)
    lines = []
    for reason, those in reasons.items():
        what = {"added": "started", "removed": "stopped"}.get(reason)
        lines.append(f"{what} {', '.join(those)}" if what else f"{reason}: restarted {', '.join(those)}")
    rest = sorted(touched - told)
    if rest:
        lines.append(f"compose.yaml or the tool changed: restarted {', '.join(rest)}")
    return lines
