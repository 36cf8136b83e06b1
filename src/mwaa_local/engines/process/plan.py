"""From an environment to the keeper's plan: which processes, with which words and variables, in which order."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mwaa_local
from mwaa_local.aws.client import HEALTH_PATH, queue_url
from mwaa_local.catalog import limits, migrate_db_options
from mwaa_local.engines import names
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.names import bucket_name, kind, number_of
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.ports import HOST, Wish
from mwaa_local.engines.process import postgres
from mwaa_local.engines.resources import queue_name, resources
from mwaa_local.model import Environment, Secrets
from mwaa_local.packages import child
from mwaa_local.runtime import namespace
from mwaa_local.runtime.inputs import Wiring, host_variables, variables_for
from mwaa_local.workflow import revision as inputs

# The order of ending (design section 7). On Airflow 3 tasks talk to the web server until their end, so it outlives the
# workers; all of them need the queue and the database to the last.
RANKS = {"migrate-db": 0, "scheduler": 10, "worker": 10, "webserver": 20, "guardian": 30, "aws": 40, "postgres": 50}
# The web server takes longest to answer and uses one core only; the scheduler component ends its start with three
# processes, which can use what the others left. In this order two cores are busy to the end.
_START_ORDER = {"webserver": 1, "worker": 2, "scheduler": 3}
# Longer than the runtime's own patience, which kills what does not end (spec/10 section 1.4).
_PATIENCE = limits().patience_seconds + 30
_PASSED = ("MWAA_CONSTRAINTS_DIR",)


def wishes(environment: Environment, workers: Sequence[str]) -> list[Wish]:
    """Every port the environment needs for itself, with these workers."""
    asked = environment.local.ports
    visible = [
        Wish("web", asked.web, "web" in asked.explicit, "Local.Ports.Web"),
        Wish("postgres", asked.postgres, "postgres" in asked.explicit, "Local.Ports.Postgres"),
    ]
    inner = ["guardian", "triggerer-logs", *(f"{name}-logs" for name in workers)]
    return [*visible, *(Wish(name, None) for name in inner)]


@dataclass(frozen=True)
class Parts:
    """What ``up`` has found out before it can write a plan.

    Attributes:
        ports: Name of a wish to its port.
        aws: URL of the site's AWS endpoint.
        workers: Their names.
        digests: Label to digest of each workflow file.
        host: The caller's variables.
        nonces: Component to the number of its wished restarts.
        cluster: The database's cluster; there is none yet while a template for it is made.
    """

    environment: Environment
    layout: Layout
    cache: Path
    base_set: Path
    secrets: Secrets
    ports: Mapping[str, int]
    aws: str
    workers: Sequence[str]
    digests: Mapping[str, str]
    host: Mapping[str, str]
    nonces: Mapping[str, int]
    cluster: postgres.Cluster | None = None

    @property
    def web(self) -> str:
        """URL of the web server."""
        return f"http://{HOST}:{self.ports['web']}"

    @property
    def queue(self) -> str:
        """Name of the Celery queue."""
        return queue_name(self.environment)

    def wiring(self, component: str, *, port: int | None = None, password: str | None = None) -> Wiring:
        """How one component reaches the others; another database can be named for making a template."""
        secrets = replace(self.secrets, database_password=password) if password else self.secrets
        name = hostname(self.environment, component)
        return Wiring(
            database_host=HOST,
            database_port=port or self.ports["postgres"],
            database_name=names.DATABASE,
            database_user=names.DATABASE_USER,
            secrets=secrets,
            aws_endpoint=self.aws,
            queue_url=queue_url(self.aws, limits().account_id, self.queue),
            api_server_url=self.web,
            web_url=self.web,
            web_port=self.ports["web"],
            hostname=name,
            home=self.layout.home(component),
            run_dir=self.layout.run(component),
            cache_dir=self.cache,
            base_set=self.base_set,
            namespace=namespace.describe(name),
            extra=self._extra(component),
        )

    def _extra(self, component: str) -> dict[str, str]:
        """Ports of Airflow's log servers differ per process, since all share this machine's loopback."""
        extra = {"MWAA_LOCAL__DIE_WITH_PARENT": "true"}
        if kind(component) == "worker":
            extra["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] = str(self.ports[f"{component}-logs"])
        if component == "scheduler":
            extra["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] = str(self.ports["triggerer-logs"])
        return extra

    def variables(self, component: str, wiring: Wiring | None = None) -> dict[str, str]:
        """The runtime's variables for one component, without the caller's own."""
        return variables_for(self.environment, kind(component), wiring or self.wiring(component))


def hostname(environment: Environment, component: str) -> str:
    """A loopback address of its own for each component of each environment, named as MWAA names its hosts."""
    first, second = hashlib.sha256(environment.id.encode()).digest()[:2]
    fixed = {"scheduler": 1, "webserver": 2, "migrate-db": 3}
    last = fixed.get(component) or 10 + number_of(component)
    return f"ip-127-{first}-{second}-{last}"


def build(parts: Parts) -> Plan:
    """The whole plan."""
    environment = parts.environment
    components = [_postgres(parts), _aws(parts), _migrate(parts)]
    components += [_airflow(parts, name) for name in ("webserver", "scheduler", *parts.workers)]
    components.append(_guardian(parts))
    components = [replace(item, nonce=parts.nonces.get(item.name, 0)) for item in components]
    return Plan(
        tool=mwaa_local.__version__,
        base_env=base_env(parts.host, environment),
        components=tuple(components),
        facts={
            "airflow_version": environment.version.airflow,
            "ports": dict(parts.ports),
            "web": parts.web,
            "aws": parts.aws,
            "bucket": bucket_name(environment),
        },
    )


def base_env(host: Mapping[str, str], environment: Environment) -> dict[str, str]:
    """What every process gets of the caller's variables: proxies, trust, locale; no credentials."""
    passed = {name: host[name] for name in _PASSED if host.get(name)}
    # gunicorn and Celery write their titles over the variables that mark whose process it is, unless told not to.
    ours = {"PYTHONUNBUFFERED": "1", "SPT_NOENV": "1"}
    return {**host_variables(host, environment.local.aws), **passed, **ours}


def migrate_words() -> list[str]:
    """The migration's command."""
    return list(_module("mwaa_local.runtime", "migrate-db"))


def execute_words(component: str, argv: Sequence[str]) -> list[str]:
    """The command that runs another one in a component."""
    return [*_module("mwaa_local.runtime", "exec", kind(component)), "--", *argv]


def _module(*words: str) -> tuple[str, ...]:
    return tuple(child.own_python("-m", *words))


def _postgres(parts: Parts) -> Component:
    assert parts.cluster is not None, "up makes the cluster before the plan"
    port = parts.ports["postgres"]
    return Component(
        name="postgres",
        argv=tuple(parts.cluster.serve(port)),
        env={"LC_ALL": "C", "TZ": "UTC"},
        probe={"kind": "postgres", "port": port, "password": parts.secrets.database_password},
        identity=parts.cluster.identity,
        stop_signal=signal.SIGINT,  # "fast": rolls back what is open, then a clean end
        stop_seconds=30.0,
        stop_rank=RANKS["postgres"],
    )


def _aws(parts: Parts) -> Component:
    """The site's endpoint: asked, and given what this environment needs whenever it begins anew."""
    return Component(
        name="aws",
        argv=(),
        kind="outside",
        probe={
            "kind": "aws",
            "url": parts.aws,
            "path": HEALTH_PATH,
            "region": parts.environment.local.region,
            "provision": resources(parts.environment),
        },
        stop_rank=RANKS["aws"],
    )


def _migrate(parts: Parts) -> Component:
    probe = {"port": parts.ports["postgres"], "password": parts.secrets.database_password}
    return Component(
        name="migrate-db",
        argv=tuple(migrate_words()),
        env=parts.variables("migrate-db"),
        cwd=str(parts.layout.state),
        kind="job",
        needs=("postgres",),
        skip={"kind": "schema", **probe, "heads": dict(parts.environment.version.schema_heads)},
        stop_seconds=60.0,  # a migration cut in the middle is what a database likes least
        stop_rank=RANKS["migrate-db"],
        run_dir=str(parts.layout.run("migrate-db")),
    )


def _airflow(parts: Parts, name: str) -> Component:
    run_dir = str(parts.layout.run(name))
    # A startup script may call AWS at once; Airflow itself imports for seconds before it does, so they start together.
    return Component(
        name=name,
        argv=_module("mwaa_local.runtime", kind(name)),
        env=parts.variables(name),
        cwd=str(parts.layout.state),
        needs=("postgres", "migrate-db", *(("aws",) if inputs.STARTUP in parts.digests else ())),
        probe={"kind": "runtime", "run_dir": run_dir},
        stop_seconds=float(_PATIENCE),
        stop_rank=RANKS[kind(name)],
        inputs=dict(parts.digests),
        run_dir=run_dir,
        # Startup scripts mostly wait, and would wait for each other.
        heavy=_START_ORDER.get(name, len(_START_ORDER) + 1) if inputs.STARTUP not in parts.digests else 0,
    )


def _guardian(parts: Parts) -> Component:
    port = parts.ports["guardian"]
    dsn = " ".join(
        f"{name}={value}"
        for name, value in {
            "host": HOST,
            "port": parts.ports["postgres"],
            "dbname": names.DATABASE,
            "user": names.DATABASE_USER,
            "password": parts.secrets.database_password,
        }.items()
    )
    return Component(
        name="guardian",
        argv=_module("mwaa_local.guardian.server", "--host", HOST, "--port", str(port), "--die-with-parent"),
        env={
            "MWAA_LOCAL__DATABASE_DSN": dsn,
            "MWAA_LOCAL__AWS_ENDPOINT": parts.aws,
            "MWAA__SQS__QUEUE_URL": queue_url(parts.aws, limits().account_id, parts.queue),
            "AWS_REGION": parts.environment.local.region,
        },
        needs=("postgres", "aws"),
        probe={"kind": "http", "url": f"http://{HOST}:{port}/health"},
        stop_rank=RANKS["guardian"],
    )


def migration_options(environment: Environment) -> dict[str, str]:
    """The configuration options that ``migrate-db`` obeys (spec/10 section 2.2)."""
    return {name: value for name, value in environment.spec.option_variables().items() if name in migrate_db_options()}
