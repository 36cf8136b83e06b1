"""What an environment shall be, with every field of the MWAA API and no path of this machine (design sections 3, 7).

``mwaa.yaml`` and a request of the API end here alike, through the same checks (spec/01 section 5.4, spec/04).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from mwaa_local import catalog
from mwaa_local.catalog import CountRange, EnvironmentClass, Version, default_version, environment_class, log_types
from mwaa_local.catalog.airflow_names import variable_of
from mwaa_local.errors import DefinitionError
from mwaa_local.model import checks, document, domain
from mwaa_local.model.checks import Value

# MWAA runs `Schedulers` of them; here one does the work of all (docs/explanation/differences.md).
RUNNING_SCHEDULERS = 1

_AUTOSCALE = re.compile(r"\s*(\d+)\s*,\s*(\d+)\s*")
_TEAMS = ("Teams", "IdentityCenterConfiguration")


@dataclass(frozen=True)
class Source:
    """Where a value came from, and its exact place.

    Attributes:
        kind: ``flag``, ``variable``, ``file``, ``request``, ``kept`` (as it was applied last) or ``default``.
        place: ``mwaa.yaml:12``, say.
    """

    kind: str
    place: str

    def __str__(self) -> str:
        return f"{self.kind} {self.place}".strip()


@dataclass(frozen=True)
class LogSetting:
    """One member of ``LoggingConfiguration``."""

    enabled: bool
    level: str


@dataclass(frozen=True)
class NetworkConfiguration:
    """Subnets and security groups; kept and answered, nothing here routes by them."""

    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]


@dataclass(frozen=True)
class Team:
    """One member of ``Teams``: where a team's DAGs are."""

    source_bucket_arn: str
    dag_s3_path: str


@dataclass(frozen=True)
class Spec:
    """One MWAA environment as its API describes it; a field's name is the API's in snake case.

    Attributes:
        options: ``AirflowConfigurationOptions``: ``section.option`` to value.
        logging: Log type key (``TaskLogs`` ...) to its setting.
        teams: Name to team, in the order given.
    """

    name: str
    version: Version
    environment_class: EnvironmentClass
    min_workers: int
    max_workers: int
    schedulers: int
    min_webservers: int
    max_webservers: int
    options: Mapping[str, str]
    logging: Mapping[str, LogSetting]
    webserver_access_mode: str = "PRIVATE_ONLY"
    endpoint_management: str = "SERVICE"
    weekly_maintenance_window_start: str | None = None
    worker_replacement_strategy: str | None = None
    execution_role_arn: str | None = None
    source_bucket_arn: str | None = None
    kms_key: str | None = None
    dag_s3_path: str | None = None
    plugins_s3_path: str | None = None
    plugins_s3_object_version: str | None = None
    requirements_s3_path: str | None = None
    requirements_s3_object_version: str | None = None
    startup_script_s3_path: str | None = None
    startup_script_s3_object_version: str | None = None
    network_configuration: NetworkConfiguration | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    identity_center_configuration: Mapping[str, str] = field(default_factory=dict)
    teams: Mapping[str, Team] = field(default_factory=dict)

    @property
    def worker_autoscale(self) -> str:
        """``celery.worker_autoscale``, ``max,min``: the user's own, else the class's (spec/04 section 1.1)."""
        return self.options.get("celery.worker_autoscale", self.environment_class.worker_autoscale)

    @property
    def tasks_per_worker(self) -> int:
        """Most tasks that one worker runs at once (spec/04 section 1.2); the class's where the option is unreadable."""
        match = _AUTOSCALE.fullmatch(self.worker_autoscale)
        return int(match.group(1)) if match else self.environment_class.tasks_per_worker

    @property
    def parallelism(self) -> int:
        """MWAA's default ``core.parallelism``: workers x tasks per worker / schedulers x 1.5 (spec/07 B1.5).

        Airflow counts it per scheduler, so the divisor is the number that really runs: what all schedulers of an
        environment may run together is then MWAA's sum. Rounded up, which the guide leaves open.
        """
        return math.ceil(self.max_workers * self.tasks_per_worker / RUNNING_SCHEDULERS * 1.5)

    @property
    def parsing_processes(self) -> int:
        """MWAA's default number of DAG parsing processes: (2 x vCPU) - 1 (spec/07 B1.2)."""
        return max(1, int(2 * self.environment_class.scheduler.vcpu) - 1)

    def option_variables(self) -> dict[str, str]:
        """The configuration options as environment variables (spec/04 section 4.2)."""
        return {variable_of(option): value for option, value in self.options.items()}

    def as_api(self) -> dict[str, Any]:
        """The fields as CreateEnvironment takes them and GetEnvironment answers them; what is not given is left out."""
        return {_api_name(name): value for name, value in self._told() if value not in (None, {}, ())}

    def _told(self) -> Iterator[tuple[str, Any]]:
        special: dict[str, Any] = {
            "version": self.version.airflow,
            "environment_class": self.environment_class.name,
            "options": dict(self.options),
            "logging": {key: {"Enabled": held.enabled, "LogLevel": held.level} for key, held in self.logging.items()},
            "tags": dict(self.tags),
            "identity_center_configuration": dict(self.identity_center_configuration),
            "teams": {
                name: {"SourceBucketArn": team.source_bucket_arn, "DagS3Path": team.dag_s3_path}
                for name, team in self.teams.items()
            },
        }
        if self.network_configuration is not None:
            held = self.network_configuration
            special["network_configuration"] = {
                "SubnetIds": list(held.subnet_ids),
                "SecurityGroupIds": list(held.security_group_ids),
            }
        for item in fields(self):
            yield item.name, special.get(item.name, getattr(self, item.name))


_API_NAMES = {"version": "AirflowVersion", "options": "AirflowConfigurationOptions", "logging": "LoggingConfiguration"}


def _api_name(name: str) -> str:
    return _API_NAMES.get(name) or "".join(part.capitalize() for part in name.split("_"))


class Reader:
    """Takes fields out of the collected values, with the catalog's default where nothing is said.

    Args:
        values: Dotted field to value.
        sources: Where each came from; what had to be a default is added.
    """

    def __init__(self, values: Mapping[str, Value], sources: dict[str, Source]) -> None:
        self.values = values
        self.sources = sources

    def get(self, path: str, default: Any = None) -> Any:
        """A field's value."""
        if path in self.values:
            return self.values[path].value
        rule = catalog.fields().get(path)
        self.sources.setdefault(path, Source("default", ""))
        return rule.default if rule is not None and rule.default is not None else default

    def texts(self, path: str) -> dict[str, str]:
        """A map's texts."""
        return {key: item.value for key, item in self.get(path, {}).items()}

    def place(self, path: str) -> str:
        """Where a field was given, empty for a default."""
        return self.values[path].place if path in self.values else ""


def build(reader: Reader) -> Spec:
    """The environment that checked fields describe; what is left out has MWAA's default.

    Raises:
        DefinitionError: Fields that do not fit each other, the class or the version.
    """
    chosen = catalog.version(reader.get("AirflowVersion", default_version()))
    class_ = environment_class(reader.get("EnvironmentClass"))
    min_workers = _count(reader, "MinWorkers", class_.workers, class_.workers.default_minimum, class_.name)
    max_workers = _count(
        reader, "MaxWorkers", class_.workers, max(class_.workers.default_maximum, min_workers), class_.name
    )
    _ordered(reader, "MinWorkers", min_workers, "MaxWorkers", max_workers)
    webs = class_.webservers
    min_webservers = _count(reader, "MinWebservers", webs, webs.default_minimum, class_.name)
    max_webservers = _count(reader, "MaxWebservers", webs, max(webs.default_maximum, min_webservers), class_.name)
    _ordered(reader, "MinWebservers", min_webservers, "MaxWebservers", max_webservers)
    schedulers = _count(reader, "Schedulers", class_.schedulers, class_.schedulers.default_minimum, class_.name)
    options: Mapping[str, Value] = reader.get("AirflowConfigurationOptions", {})
    checks.check_options(options, chosen.airflow)
    for key, item in options.items():
        reader.sources[f"AirflowConfigurationOptions.{key}"] = Source("file", item.place)
    _check_access(reader, chosen)
    _check_teams(reader, chosen)
    mode = reader.get("WebserverAccessMode")
    if domain.OPTION in options:
        domain.check_mode(options[domain.OPTION].value, mode, options[domain.OPTION].place)
    return Spec(
        name=reader.get("Name"),
        version=chosen,
        environment_class=class_,
        min_workers=min_workers,
        max_workers=max_workers,
        schedulers=schedulers,
        min_webservers=min_webservers,
        max_webservers=max_webservers,
        options=MappingProxyType(reader.texts("AirflowConfigurationOptions")),
        logging=MappingProxyType(_logging(reader)),
        webserver_access_mode=mode,
        endpoint_management=reader.get("EndpointManagement"),
        weekly_maintenance_window_start=reader.get("WeeklyMaintenanceWindowStart"),
        worker_replacement_strategy=reader.get("WorkerReplacementStrategy"),
        execution_role_arn=reader.get("ExecutionRoleArn"),
        source_bucket_arn=reader.get("SourceBucketArn"),
        kms_key=reader.get("KmsKey"),
        dag_s3_path=reader.get("DagS3Path"),
        plugins_s3_path=reader.get("PluginsS3Path"),
        plugins_s3_object_version=reader.get("PluginsS3ObjectVersion"),
        requirements_s3_path=reader.get("RequirementsS3Path"),
        requirements_s3_object_version=reader.get("RequirementsS3ObjectVersion"),
        startup_script_s3_path=reader.get("StartupScriptS3Path"),
        startup_script_s3_object_version=reader.get("StartupScriptS3ObjectVersion"),
        network_configuration=_network(reader),
        tags=MappingProxyType(reader.texts("Tags")),
        identity_center_configuration=MappingProxyType(_under(reader, "IdentityCenterConfiguration")),
        teams=MappingProxyType(_teams(reader)),
    )


def of_request(body: Mapping[str, Any], place: str) -> Spec:
    """The spec that a request of the API, or GetEnvironment's answer, describes.

    Args:
        body: Its fields as JSON gives them; the name of a path counts as one of them.
        place: What it is called in errors, ``CreateEnvironment``.

    Raises:
        DefinitionError: As for ``mwaa.yaml``.
    """
    values = document.given(body, place)
    return build(Reader(values, {path: Source("request", place) for path in values}))


def _logging(reader: Reader) -> dict[str, LogSetting]:
    return {
        kind.key: LogSetting(
            enabled=bool(reader.get(f"LoggingConfiguration.{kind.key}.Enabled", True)),
            level=reader.get(f"LoggingConfiguration.{kind.key}.LogLevel", "INFO"),
        )
        for kind in log_types()
    }


def _under(reader: Reader, parent: str) -> dict[str, Any]:
    prefix = f"{parent}."
    return {path.removeprefix(prefix): item.value for path, item in reader.values.items() if path.startswith(prefix)}


def _network(reader: Reader) -> NetworkConfiguration | None:
    told = _under(reader, "NetworkConfiguration")
    return (
        NetworkConfiguration(tuple(told.get("SubnetIds", ())), tuple(told.get("SecurityGroupIds", ())))
        if told
        else None
    )


def _teams(reader: Reader) -> dict[str, Team]:
    told: dict[str, dict[str, str]] = {}
    for path, value in _under(reader, "Teams").items():
        name, _, member = path.partition(".")
        told.setdefault(name, {})[member] = value
    return {name: Team(team["SourceBucketArn"], team["DagS3Path"]) for name, team in told.items()}


def _count(reader: Reader, path: str, allowed: CountRange, default: int, class_name: str) -> int:
    value = int(reader.get(path, default))
    if not allowed.minimum <= value <= allowed.maximum:
        raise DefinitionError(
            f"{path} {value} is out of range for {class_name}",
            where=reader.place(path),
            code="count",
            fields=(path,),
            value=value,
            why=f"allowed: {allowed.minimum} to {allowed.maximum} (spec/04 sections 1-3)",
            hint="use a value in that range, or another EnvironmentClass",
        )
    return value


def _ordered(reader: Reader, low_path: str, low: int, high_path: str, high: int) -> None:
    if low > high:
        raise DefinitionError(
            f"{low_path} {low} is greater than {high_path} {high}",
            where=reader.place(low_path) or reader.place(high_path),
            code="count",
            fields=(low_path, high_path),
            hint=f"raise {high_path} or lower {low_path}",
        )


def _check_access(reader: Reader, chosen: Version) -> None:
    if reader.get("WebserverAccessMode") == "PUBLIC_AND_PRIVATE" and not chosen.has("public_and_private"):
        raise DefinitionError(
            f"WebserverAccessMode PUBLIC_AND_PRIVATE is not known on {chosen.airflow}",
            where=reader.place("WebserverAccessMode"),
            code="access",
            fields=("WebserverAccessMode",),
            why="it exists from Airflow 3.2.1 on (spec/01 section 6)",
            hint="use PUBLIC_ONLY or PRIVATE_ONLY",
        )


def _check_teams(reader: Reader, chosen: Version) -> None:
    told = next((path for path in reader.values if path.partition(".")[0] in _TEAMS), None)
    if told is not None and not chosen.has("multi_team"):
        head = told.partition(".")[0]
        raise DefinitionError(
            f"{head} is not known on {chosen.airflow}",
            where=reader.place(told),
            code="access",
            fields=(told,),
            why="MWAA has teams from the Airflow version on that brought them, which this one is before",
            hint=f"remove {head}",
        )
