"""What a component is told: the ``MWAA__*`` variables of MWAA's own image, and ours beside them (spec/10 section 2.1).

Both engines make these variables with :func:`variables_for`; the runtime reads them in ``reading``.
AWS's own image reads the first kind too, so it can stand in for ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mwaa_local.catalog import AIRFLOW_COMPONENTS, Version, limits, log_types, web

if TYPE_CHECKING:
    from mwaa_local.model.environment import Environment
    from mwaa_local.model.secrets import Secrets

COMPONENTS = (*AIRFLOW_COMPONENTS, "migrate-db")

CELERY, LOCAL = "CeleryExecutor", "LocalExecutor"

# Words of MWAA__LOGGING__AIRFLOW_<word>_... (spec/10 section 2.1); the triggerer shares the scheduler's group (section
# 7.1).
LOG_SOURCES = ("DAGPROCESSOR", "SCHEDULER", "TRIGGERER", "TASK", "WEBSERVER", "WORKER")

# Components whose console follows the level of a log source; every other one's is INFO (spec/10 section 1.3 step 4).
CONSOLE_LEVELS = {"scheduler": "SCHEDULER", "worker": "WORKER", "webserver": "WEBSERVER"}

# Variables of the user's machine that every child needs to reach the outside: proxies, trust, locale, time zone.
_HOST_NAMES = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO", "PIP_CERT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_CONFIG_FILE",
    "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS",
    "UV_INSECURE_HOST", "UV_CONFIG_FILE", "UV_PYTHON_INSTALL_DIR", "UV_OFFLINE", "UV_KEYRING_PROVIDER",
)  # fmt: skip


# The option of the custom domain as a variable: MWAA takes it for itself, on every version under this name.
CUSTOM_DOMAIN = "AIRFLOW__WEBSERVER__BASE_URL"


#: The version to whose schema ``migrate-db`` takes the database back (spec/10 section 6.8).
TARGET_VERSION = "MWAA__DB__AIRFLOW_TARGET_VERSION"


@dataclass(frozen=True)
class Database:
    """The metadata database (spec/10 section 6.5)."""

    host: str
    port: int
    name: str
    user: str
    password: str = field(repr=False)
    sslmode: str

    @property
    def url(self) -> str:
        """SQLAlchemy's URL; like MWAA's, user and password are not encoded."""
        where = f"{self.host}:{self.port}/{self.name}?sslmode={self.sslmode}"
        return f"postgresql+psycopg2://{self.user}:{self.password}@{where}"

    def arguments(self, *, connect_timeout: int) -> dict[str, Any]:
        """Keywords for ``psycopg2.connect``; the time-out is in seconds."""
        return {
            "host": self.host,
            "port": self.port,
            "dbname": self.name,
            "user": self.user,
            "password": self.password,
            "sslmode": self.sslmode,
            "connect_timeout": connect_timeout,
        }


@dataclass(frozen=True)
class LogTarget:
    """Where lines of one log source go (spec/10 section 7.2); an empty ARN means the console only."""

    arn: str
    enabled: bool
    level: str

    @property
    def group(self) -> str:
        """Name of the log group; empty without an ARN."""
        parts = self.arn.split(":")
        return parts[6] if len(parts) > 6 else ""

    @property
    def publishes(self) -> bool:
        """Whether CloudWatch Logs gets the lines."""
        return bool(self.group) and self.enabled


@dataclass(frozen=True)
class RuntimeInputs:
    """One component's inputs, parsed.

    Attributes:
        container: The component's own environment as it came in: the lowest layer (spec/10 section 2.2).
        options: Configuration options as environment variables.
        fernet_secret: Whole text of the Fernet secret, which also signs tokens on v3 (spec/10 section 7.9).
        home: Where ``/usr/local/airflow`` really lies.
        visible_home: The path Airflow sees it under; the same unless a mount namespace shows it at MWAA's path.
        placement: Where Airflow sees the home: ``mount``, ``folder`` or ``image`` (see ``namespace.Placement``).
        python: Airflow's Python as its processes see it; ``None`` where the package set's own path leads to it.
        tools: Folder at the end of PATH with commands of MWAA's image that this machine keeps elsewhere; ``None`` if
            there are none.
        queue_endpoint: Address of the broker's API; empty for the Region's own.
        class_values: Names for the ``{class_*}`` places of catalog rows.
        workflow: Process engine only: where the workflow files lie (``dags``, ``plugins``, ``requirements``,
            ``startup_script``); in an image they are mounted in place.
        web_url: Where a person's browser finds the web server; empty when it is not known.
        drain_seconds: Time that processes get from SIGTERM to SIGKILL, in seconds.
        warnings: Inputs that MWAA would ignore with a warning.
    """

    component: str
    version: Version
    container: Mapping[str, str] = field(repr=False)
    options: Mapping[str, str] = field(repr=False)
    environment_name: str
    executor: str
    auth_type: str
    fernet_secret: str | None = field(repr=False)
    fernet_key: str | None = field(repr=False)
    web_secret: str | None = field(repr=False)
    api_server_url: str | None
    requirements_path: Path | None
    startup_path: Path | None
    database: Database | None
    target_version: str | None
    queue_url: str
    queue_endpoint: str
    use_ssl: bool
    region: str
    logs: Mapping[str, LogTarget]
    metrics: bool
    metrics_folder: Path | None
    aws_endpoint: str
    aws_access_key: str
    aws_secret_key: str = field(repr=False)
    dags_use_endpoint: bool
    home: Path
    visible_home: Path
    placement: str
    python: Path | None
    tools: Path | None
    run_dir: Path
    cache_dir: Path
    base_set: Path
    python_folder: Path
    in_image: bool
    namespace: str
    workflow: Mapping[str, Path]
    plugins_zip: Path | None
    max_plugins_bytes: int
    allow_failed_requirements: bool
    resolver: str
    workspace: bool
    class_values: Mapping[str, str]
    web_port: int
    web_url: str
    hostname: str
    drain_seconds: float
    die_with_parent: bool
    use_launcher: bool
    console_prefix: bool
    warnings: tuple[str, ...]

    @property
    def queue_name(self) -> str:
        """Last part of the queue's URL (spec/10 section 2.1)."""
        return self.queue_url.rstrip("/").rpartition("/")[2]

    @property
    def base_url(self) -> str:
        """What links to the web server begin with: the custom domain's URL (spec/01 section 9), else ``web_url``.

        MWAA takes a bare host name; Airflow needs a scheme, without one it reads the name as a path.
        """
        domain = self.options.get(CUSTOM_DOMAIN, "").strip().rstrip("/")
        if not domain:
            return self.web_url
        return domain if "://" in domain else f"https://{domain}"

    @property
    def heartbeat_file(self) -> Path:
        """The file a Celery worker touches while its loop turns."""
        return self.run_dir / "worker-heartbeat"


@dataclass(frozen=True)
class Wiring:
    """What an engine knows of one component and a definition does not: addresses, folders, secrets.

    Attributes:
        queue_url: Address of the Celery queue as the components reach it.
        api_server_url: v3: where tasks reach the web server component.
        web_url: Where a person's browser reaches the web server.
        home: Where ``/usr/local/airflow`` really lies for the component.
        run_dir: The component's own run folder.
        namespace: JSON of :func:`mwaa_local.runtime.namespace.describe`; ``None`` for no mount namespace.
        workflow: Whether the component must fetch the workflow files from their own places (process engine); in an
            image they are mounted in place.
        extra: Further variables: the lowest layer (see :func:`host_variables`).
    """

    database_host: str
    database_port: int
    database_name: str
    database_user: str
    secrets: Secrets
    aws_endpoint: str
    queue_url: str
    api_server_url: str
    web_url: str
    web_port: int
    hostname: str
    home: Path
    run_dir: Path
    cache_dir: Path
    base_set: Path
    namespace: str | None = None
    workflow: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)


def host_variables(variables: Mapping[str, str], aws: str = "local") -> dict[str, str]:
    """The user's own variables that a component gets in the process engine: proxies, trust, locale; no credentials.

    Args:
        variables: The environment of the command line.
        aws: ``Local.Aws``: with a profile's name, that profile and the user's AWS files are passed too.
    """
    passed = {name: variables[name] for name in _HOST_NAMES if variables.get(name)}
    if aws != "local":
        folder = Path(variables.get("HOME", "~")).expanduser() / ".aws"
        passed["AWS_PROFILE"] = aws
        passed["AWS_CONFIG_FILE"] = variables.get("AWS_CONFIG_FILE") or str(folder / "config")
        passed["AWS_SHARED_CREDENTIALS_FILE"] = variables.get("AWS_SHARED_CREDENTIALS_FILE") or str(
            folder / "credentials"
        )
    return passed


def _log_variables(environment: Environment) -> dict[str, str]:
    types = {kind.source: kind for kind in log_types()}
    types["TRIGGERER"] = types["SCHEDULER"]
    result = {}
    for source, kind in types.items():
        setting = environment.spec.logging[kind.key]
        prefix = f"MWAA__LOGGING__AIRFLOW_{source}_LOG"
        result[f"{prefix}_GROUP_ARN"] = kind.group_arn(environment.name, environment.local.region, limits().account_id)
        result[f"{prefix}_LEVEL"] = setting.level
        result[f"{prefix}S_ENABLED"] = str(setting.enabled).lower()
    return result


def variables_for(environment: Environment, component: str, wiring: Wiring) -> dict[str, str]:
    """The variables that start one component of an environment, in either engine."""
    workflow, local = environment.workflow, environment.local
    result = {
        **wiring.extra,
        "AIRFLOW_VERSION": environment.version.airflow,
        "AIRFLOW_ENV_NAME": environment.name,
        "AIRFLOW_ENV_ID": environment.id,
        "CUSTOMER_ACCOUNT_ID": limits().account_id,
        "AWS_REGION": local.region,
        "AWS_DEFAULT_REGION": local.region,
        "MWAA__CORE__EXECUTOR_TYPE": CELERY,
        "MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS": json.dumps(environment.spec.option_variables()),
        "MWAA__CORE__FERNET_KEY": json.dumps({"FernetKey": wiring.secrets.fernet_key}),
        "MWAA__WEBSERVER__SECRET": json.dumps({"secret_key": wiring.secrets.web_secret}),
        # The UI opens on loopback as Admin without a password: "none" on 2.x, the simple auth manager on 3.x
        # (spec/10 section 7.9).
        "MWAA__CORE__AUTH_TYPE": "none",
        "MWAA__CORE__API_SERVER_URL": wiring.api_server_url,
        "MWAA__CORE__REQUIREMENTS_PATH": f"{limits().home}/requirements/requirements.txt",
        "MWAA__CORE__STARTUP_SCRIPT_PATH": f"{limits().home}/startup/startup.sh",
        "MWAA__DB__POSTGRES_HOST": wiring.database_host,
        "MWAA__DB__POSTGRES_PORT": str(wiring.database_port),
        "MWAA__DB__POSTGRES_DB": wiring.database_name,
        "MWAA__DB__POSTGRES_SSLMODE": "prefer",
        "MWAA__DB__CREDENTIALS": json.dumps(
            {"username": wiring.database_user, "password": wiring.secrets.database_password}
        ),
        "MWAA__SQS__QUEUE_URL": wiring.queue_url,
        "MWAA__SQS__CUSTOM_ENDPOINT": wiring.aws_endpoint,
        "MWAA__SQS__USE_SSL": str(wiring.aws_endpoint.startswith("https:")).lower(),
        # The queue is made beforehand, with its visibility time-out (spec/10 section 6.4 makes it without).
        "MWAA__SQS__CREATE_QUEUE": "false",
        **_log_variables(environment),
        "MWAA_LOCAL_RUNNER": "true",  # no RDS IAM tokens (spec/10 section 6.6)
        "MWAA_LOCAL__AWS_ENDPOINT": wiring.aws_endpoint,
        "MWAA_LOCAL__AWS_ACCESS_KEY_ID": "test",
        "MWAA_LOCAL__AWS_SECRET_ACCESS_KEY": "test",
        "MWAA_LOCAL__AWS": local.aws,
        "MWAA_LOCAL__HOME": str(wiring.home),
        "MWAA_LOCAL__RUN_DIR": str(wiring.run_dir),
        "MWAA_LOCAL__CACHE_DIR": str(wiring.cache_dir),
        "MWAA_LOCAL__BASE_SET": str(wiring.base_set),
        "MWAA_LOCAL__ENVIRONMENT_CLASS": environment.environment_class.name,
        "MWAA_LOCAL__PARALLELISM": str(environment.spec.parallelism),
        "MWAA_LOCAL__PARSING_PROCESSES": str(environment.spec.parsing_processes),
        "MWAA_LOCAL__RESOLVER": local.resolver,
        "MWAA_LOCAL__DAG_SYNC": local.dag_sync,
        "MWAA_LOCAL__MAX_PLUGINS_BYTES": str(local.max_plugins_bytes),
        "MWAA_LOCAL__ALLOW_FAILED_REQUIREMENTS": str(local.allow_failed_requirements).lower(),
        "MWAA_LOCAL__WEB_PORT": str(wiring.web_port),
        # No link comes of a migration, which another port shall not run again.
        "MWAA_LOCAL__WEB_URL": wiring.web_url if component != "migrate-db" else "",
        "MWAA_LOCAL__COMPONENT": component,
        "MWAA_LOCAL__HOSTNAME": wiring.hostname,
    }
    if wiring.workflow:
        result["MWAA_LOCAL__WORKFLOW"] = json.dumps(
            {
                "dags": str(workflow.dags),
                "plugins": str(workflow.plugins),
                "requirements": str(workflow.requirements),
                "startup_script": str(workflow.startup_script),
            }
        )
        # Loopback only, and the port the engine chose; in an image the web server keeps MWAA's 8080 behind a published
        # port.
        facts = web(environment.version.airflow)
        result |= {facts.host: "127.0.0.1", facts.port: str(wiring.web_port)}
    if wiring.namespace:
        result["MWAA_LOCAL__NAMESPACE"] = wiring.namespace
    return result
