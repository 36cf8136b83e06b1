"""Reading a component's variables into :class:`RuntimeInputs` (spec/10 section 2.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mwaa_local.catalog import environment_class, limits, version
from mwaa_local.errors import DefinitionError
from mwaa_local.runtime.inputs import (
    CELERY,
    COMPONENTS,
    CONSOLE_LEVELS,
    LOCAL,
    LOG_SOURCES,
    TARGET_VERSION,
    Database,
    LogTarget,
    RuntimeInputs,
)


def read_inputs(component: str, variables: Mapping[str, str]) -> RuntimeInputs:
    """Read the inputs of one component from its environment.

    Raises:
        DefinitionError: a variable is missing or has no meaning; named with what to do.
    """
    return _Reader(component, variables).inputs()


class _Reader:
    """Reads one component's variables, collecting warnings."""

    def __init__(self, component: str, variables: Mapping[str, str]) -> None:
        self.component = component
        self.variables = variables
        self.warnings: list[str] = []
        self.secrets = self._secrets_file()

    def text(self, name: str, default: str = "") -> str:
        return self.variables.get(name, "").strip() or default

    def flag(self, name: str, default: bool) -> bool:
        return {"true": True, "false": False}.get(self.text(name).lower(), default)

    def path(self, name: str, default: str | Path) -> Path:
        return Path(self.text(name) or default)

    def number(self, name: str, default: float) -> float:
        try:
            return float(self.text(name) or default)
        except ValueError:
            self.warnings.append(f"{name} is not a number and is ignored")
            return default

    def json(self, name: str) -> Any:
        """A JSON value; MWAA ignores one that cannot be read, with a warning."""
        text = self.text(name)
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError:
            self.warnings.append(f"{name} is not valid JSON and is ignored")
            return None

    def inputs(self) -> RuntimeInputs:
        if self.component not in COMPONENTS:
            raise DefinitionError(
                f"Invalid command: {self.component}", why=f"a component is one of: {', '.join(COMPONENTS)}"
            )
        if not self.text("AIRFLOW_VERSION"):
            raise DefinitionError("AIRFLOW_VERSION is not set", why="an image or engine names Airflow's version by it")
        airflow = version(self.text("AIRFLOW_VERSION"))
        executor = self.text("MWAA__CORE__EXECUTOR_TYPE", CELERY)
        named = {name.lower(): name for name in (CELERY, LOCAL)}.get(executor.lower())
        if named is None:
            raise DefinitionError(f"Executor type {executor} is not supported.", why=f"one of: {CELERY}, {LOCAL}")
        self._require_level()
        home = self.path("MWAA_LOCAL__HOME", limits().home)
        run_dir = self.path("MWAA_LOCAL__RUN_DIR", "/usr/local/mwaa/run")
        in_image = not self.text("MWAA_LOCAL__WORKFLOW")
        fernet_secret, fernet_key = self._secret_json("MWAA__CORE__FERNET_KEY", "FernetKey", "fernet_key")
        _, web_secret = self._secret_json("MWAA__WEBSERVER__SECRET", "secret_key", "web_secret")
        workflow = self.json("MWAA_LOCAL__WORKFLOW") or {}
        plugins_zip = self.text("MWAA_LOCAL__PLUGINS_ZIP")
        requirements = self.text("MWAA__CORE__REQUIREMENTS_PATH")
        startup = self.text("MWAA__CORE__STARTUP_SCRIPT_PATH")
        metrics_folder = self.text("MWAA__CLOUDWATCH_METRICS_INTEGRATION__CUSTOMER_CONFIG_PATH")
        return RuntimeInputs(
            component=self.component,
            version=airflow,
            container=dict(self.variables),
            options=self._options(),
            environment_name=self.text("AIRFLOW_ENV_NAME", "Unknown"),
            executor=named,
            auth_type=self.text("MWAA__CORE__AUTH_TYPE").lower(),
            fernet_secret=fernet_secret,
            fernet_key=fernet_key,
            web_secret=web_secret,
            api_server_url=self.text("MWAA__CORE__API_SERVER_URL") or None,
            requirements_path=Path(requirements) if requirements else None,
            startup_path=Path(startup) if startup else None,
            database=self._database(),
            target_version=self.text(TARGET_VERSION) or None,
            queue_url=self._queue_url(named),
            queue_endpoint=self.text("MWAA__SQS__CUSTOM_ENDPOINT"),
            use_ssl=self.flag("MWAA__SQS__USE_SSL", True),
            region=self._region(named),
            logs={source: self._log_target(source) for source in LOG_SOURCES},
            metrics=self.flag("MWAA__CLOUDWATCH_METRICS_INTEGRATION__ENABLED", False),
            metrics_folder=Path(metrics_folder) if metrics_folder else None,
            aws_endpoint=self.text("MWAA_LOCAL__AWS_ENDPOINT"),
            aws_access_key=self.text("MWAA_LOCAL__AWS_ACCESS_KEY_ID", "test"),
            aws_secret_key=self.text("MWAA_LOCAL__AWS_SECRET_ACCESS_KEY", "test"),
            dags_use_endpoint=self.text("MWAA_LOCAL__AWS", "local") == "local",
            home=home,
            visible_home=home,
            placement="image" if in_image else "folder",
            python=None,
            tools=None,
            run_dir=run_dir,
            cache_dir=self.path("MWAA_LOCAL__CACHE_DIR", "/usr/local/mwaa/cache"),
            base_set=self.path("MWAA_LOCAL__BASE_SET", "/opt/mwaa/base"),
            python_folder=Path("/python") if in_image else run_dir / "python",
            in_image=in_image,
            namespace=self.text("MWAA_LOCAL__NAMESPACE"),
            workflow={key: Path(value) for key, value in workflow.items()},
            plugins_zip=Path(plugins_zip) if plugins_zip else None,
            max_plugins_bytes=int(self.number("MWAA_LOCAL__MAX_PLUGINS_BYTES", limits().plugins_zip_bytes)),
            allow_failed_requirements=self.flag("MWAA_LOCAL__ALLOW_FAILED_REQUIREMENTS", False),
            resolver=self.text("MWAA_LOCAL__RESOLVER", "uv"),
            workspace=self.text("MWAA_LOCAL__DAG_SYNC", "workspace") == "workspace",
            class_values=self._class_values(),
            web_port=int(self.number("MWAA_LOCAL__WEB_PORT", 8080)),
            web_url=self.text("MWAA_LOCAL__WEB_URL").rstrip("/"),
            hostname=self.text("MWAA_LOCAL__HOSTNAME"),
            drain_seconds=self.number("MWAA_LOCAL__DRAIN_SECONDS", limits().patience_seconds),
            die_with_parent=self.flag("MWAA_LOCAL__DIE_WITH_PARENT", False),
            use_launcher=self.flag("MWAA_LOCAL__LAUNCHER", True),
            console_prefix=self.flag("MWAA_LOCAL__CONSOLE_PREFIX", False),
            warnings=tuple(self.warnings),
        )

    def _require_level(self) -> None:
        """Refuse to start a component that is not told its own log level, as MWAA's image does.

        Raises:
            DefinitionError: the variable is missing (spec/10 section 1.3 step 4).
        """
        source = CONSOLE_LEVELS.get(self.component)
        name = f"MWAA__LOGGING__AIRFLOW_{source}_LOG_LEVEL"
        if source is not None and name not in self.variables:
            raise DefinitionError(
                f"{name} is not set",
                why=f"MWAA's image does not start its {self.component} without the level of its log",
                hint=f"set {name}=INFO; LoggingConfiguration of mwaa.yaml sets it by itself",
            )

    def _secrets_file(self) -> Mapping[str, str]:
        """Secrets of a start without the command line (``docker compose`` alone), kept in a file."""
        name = self.text("MWAA_LOCAL__SECRETS_FILE")
        if not name or self.text("MWAA__CORE__FERNET_KEY"):
            return {}
        try:
            value = json.loads(Path(name).read_text(encoding="utf-8"))
            return {str(key): str(secret) for key, secret in value.items()}
        except (OSError, ValueError, AttributeError) as error:
            raise DefinitionError(
                "the environment's secrets cannot be read",
                where=name,
                why=str(error),
                hint="remove the file to have new ones made, or restore it",
            ) from error

    def _secret_json(self, name: str, key: str, file_key: str) -> tuple[str | None, str | None]:
        """A secret's whole text and the member that counts; MWAA warns and goes on without one that cannot be read."""
        text = self.text(name)
        if not text and self.secrets.get(file_key):
            text = json.dumps({key: self.secrets[file_key]})
        if not text:
            return None, None
        try:
            return text, str(json.loads(text)[key])
        except (ValueError, KeyError, TypeError):
            self.warnings.append(f"{name} is not a JSON object with {key!r} and is ignored")
            return text, None

    def _options(self) -> dict[str, str]:
        options = self.json("MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS")
        if options is None:
            return {}
        if not isinstance(options, dict):
            self.warnings.append("MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS is not a JSON object and is ignored")
            return {}
        for name, value in options.items():
            if not isinstance(value, str):  # MWAA's container never starts either (spec/10 section 2.2)
                raise DefinitionError(
                    f"the value of option {name} is not a text",
                    where="MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS",
                    why=f"it is {json.dumps(value)}; every option's value must be a JSON string",
                    hint=f'write "{value}"',
                )
        return options

    def _database(self) -> Database | None:
        names = {key: f"MWAA__DB__POSTGRES_{key}" for key in ("HOST", "PORT", "DB", "SSLMODE")}
        missing = [name for name in names.values() if name not in self.variables]
        if len(missing) == len(names):
            return None
        if missing:
            raise DefinitionError("the metadata database is not fully named", why=f"missing: {', '.join(missing)}")
        credentials = self.json("MWAA__DB__CREDENTIALS") or {}
        password = self.text("MWAA__DB__POSTGRES_PASSWORD") or self.secrets.get("database_password", "")
        return Database(
            host=self.text(names["HOST"]),
            port=int(self.number(names["PORT"], 5432)),
            name=self.text(names["DB"]),
            user=str(credentials.get("username") or self.text("MWAA__DB__POSTGRES_USER")),
            password=str(credentials.get("password") or password),
            sslmode=self.text(names["SSLMODE"], "require"),
        )

    def _queue_url(self, executor: str) -> str:
        url = self.text("MWAA__SQS__QUEUE_URL")
        if executor == CELERY and not (url.startswith(("http://", "https://")) and urlsplit(url).path.strip("/")):
            raise DefinitionError("MWAA__SQS__QUEUE_URL must be the http(s) URL of the queue", why=f"it is {url!r}")
        return url

    def _region(self, executor: str) -> str:
        region = self.text("AWS_REGION") or self.text("AWS_DEFAULT_REGION")
        if not region and executor == CELERY:
            raise DefinitionError("Region must be specified.", why="AWS_REGION and AWS_DEFAULT_REGION are not set")
        return region

    def _log_target(self, source: str) -> LogTarget:
        prefix = f"MWAA__LOGGING__AIRFLOW_{source}_LOG"
        return LogTarget(
            arn=self.text(f"{prefix}_GROUP_ARN"),
            enabled=self.flag(f"{prefix}S_ENABLED", False),
            level=self.text(f"{prefix}_LEVEL", "INFO").upper(),
        )

    def _class_values(self) -> dict[str, str]:
        values = {}
        name = self.text("MWAA_LOCAL__ENVIRONMENT_CLASS")
        if name:
            given = environment_class(name)
            values = {
                "class_worker_autoscale": given.worker_autoscale,
                "class_triggers": str(given.triggers),
                "class_api_workers": str(given.api_workers),
            }
        for key in ("parallelism", "parsing_processes"):
            if self.text(f"MWAA_LOCAL__{key.upper()}"):
                values[f"class_{key}"] = self.text(f"MWAA_LOCAL__{key.upper()}")
        return values
