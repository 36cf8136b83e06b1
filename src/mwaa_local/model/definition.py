"""From ``mwaa.yaml``, ``MWAA_LOCAL_*`` variables and flags to one frozen environment (design section 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mwaa_local.catalog import CountRange, Field, default_version, environment_class, fields, limits, log_types, version
from mwaa_local.catalog.aws_services import aws_services
from mwaa_local.errors import DefinitionError
from mwaa_local.model import document, domain
from mwaa_local.model import plugins as plugin_files
from mwaa_local.model.document import Value
from mwaa_local.model.environment import Environment, LocalSettings, LogSetting, Ports, SmokeSettings, Source, Workflow

FILE_NAME = "mwaa.yaml"
_VARIABLE_PREFIX = "MWAA_LOCAL_"


def variable_name(path: str) -> str:
    """The variable that sets a field: ``Local.Ports.Web`` is ``MWAA_LOCAL_PORTS_WEB``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", path.removeprefix("Local.").replace(".", "_"))
    return _VARIABLE_PREFIX + words.upper()


def _convert(text: str, rule: Field, place: str) -> Any:
    """A variable's text as the type its field has."""
    try:
        if rule.type == "integer":
            return int(text)
        if rule.type == "number":
            return float(text)
    except ValueError:
        raise DefinitionError(
            f"{rule.path} must be a {rule.type}, not {text!r}", where=place, code="value", fields=(rule.path,)
        ) from None
    if rule.type == "boolean":
        if text.lower() in ("true", "1", "yes"):
            return True
        if text.lower() in ("false", "0", "no"):
            return False
        raise DefinitionError(
            f"{rule.path} must be true or false, not {text!r}", where=place, code="value", fields=(rule.path,)
        )
    if rule.type == "list":
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def told(project: Path, faults: list[DefinitionError] | None = None) -> dict[str, Value]:
    """What a project's ``mwaa.yaml`` says, by dotted field; nothing where there is none.

    Args:
        project: Its folder.
        faults: Takes what is wrong with single fields, which are then left out; without it the first one is raised.

    Raises:
        DefinitionError: The file is no YAML, or without ``faults`` a field of it is wrong.
    """
    file = project / FILE_NAME
    return document.parse(file, faults) if file.is_file() else {}


def over(
    file: Mapping[str, Value], flags: Mapping[str, Any], variables: Mapping[str, str]
) -> tuple[dict[str, Value], dict[str, Source]]:
    """A file's fields with variables over them and flags over both, and where each came from.

    Raises:
        DefinitionError: A variable or a flag is wrong.
    """
    values = dict(file)
    sources = {path: Source("file", value.place) for path, value in file.items()}
    for path, rule in fields().items():
        if rule.type in ("object", "map", "any") or rule.ignored or "*" in path:
            continue
        name = variable_name(path)
        if variables.get(name):
            values[path] = Value(_convert(variables[name], rule, name), name)
            sources[path] = Source("variable", name)
            document.check(path, values[path])
    for path, given in flags.items():
        if given is None:
            continue
        place = "--" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", path.removeprefix("Local.").replace(".", "-")).lower()
        values[path] = Value(given, place)
        sources[path] = Source("flag", place)
        document.check(path, values[path])
    return values, sources


class _Reader:
    """Takes fields out of the collected values, with the catalog's default where nothing is said."""

    def __init__(self, values: Mapping[str, Value], sources: dict[str, Source]) -> None:
        self._values = values
        self._sources = sources

    def get(self, path: str, default: Any = None) -> Any:
        if path in self._values:
            return self._values[path].value
        rule = fields().get(path)
        self._sources.setdefault(path, Source("default", ""))
        return rule.default if rule is not None and rule.default is not None else default

    def place(self, path: str) -> str:
        return self._values[path].place if path in self._values else ""


def _count(reader: _Reader, path: str, allowed: CountRange, default: int, class_name: str) -> int:
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


def _ordered(reader: _Reader, low_path: str, low: int, high_path: str, high: int) -> None:
    if low > high:
        raise DefinitionError(
            f"{low_path} {low} is greater than {high_path} {high}",
            where=reader.place(low_path) or reader.place(high_path),
            code="count",
            fields=(low_path, high_path),
            hint=f"raise {high_path} or lower {low_path}",
        )


def _aws_services(reader: _Reader) -> tuple[str, ...]:
    names = tuple(str(name) for name in reader.get("Local.AwsServices", ()))
    known = aws_services()
    for name in names:
        if name not in known or not known[name].may_be_asked_for:
            raise DefinitionError(
                f"Local.AwsServices names {name!r}, which cannot be asked for",
                where=reader.place("Local.AwsServices"),
                code="value",
                fields=("Local.AwsServices",),
                value=name,
                why=known[name].text if name in known else "the local AWS endpoint has no such service",
                hint="these can: " + ", ".join(each for each, row in known.items() if row.may_be_asked_for),
            )
    return names


def _local(reader: _Reader) -> LocalSettings:
    explicit = frozenset(name.lower() for name in ("Web", "Aws", "Postgres") if reader.place(f"Local.Ports.{name}"))
    return LocalSettings(
        engine=reader.get("Local.Engine"),
        base=reader.get("Local.Base"),
        image=reader.get("Local.Image"),
        aws=reader.get("Local.Aws"),
        aws_services=_aws_services(reader),
        aws_containers=bool(reader.get("Local.AwsContainers")),
        region=reader.get("Local.Region", limits().region),
        resolver=reader.get("Local.Resolver"),
        resource_factor=float(reader.get("Local.ResourceFactor")),
        max_plugins_bytes=int(reader.get("Local.MaxPluginsBytes", limits().plugins_zip_bytes)),
        allow_failed_requirements=bool(reader.get("Local.AllowFailedRequirements", False)),
        dag_sync=reader.get("Local.DagSync"),
        ports=Ports(
            web=reader.get("Local.Ports.Web"),
            aws=reader.get("Local.Ports.Aws"),
            postgres=reader.get("Local.Ports.Postgres"),
            explicit=explicit,
        ),
        smoke=SmokeSettings(
            dags=tuple(reader.get("Local.Smoke.Dags", ())),
            tag=reader.get("Local.Smoke.Tag"),
            timeout_seconds=int(reader.get("Local.Smoke.TimeoutSeconds")),
        ),
    )


def load(
    project: Path, *, flags: Mapping[str, Any] | None = None, variables: Mapping[str, str] | None = None
) -> Environment:
    """The environment of a project folder; flag beats variable beats ``mwaa.yaml`` beats default.

    Args:
        project: Folder with ``mwaa.yaml`` (which may be missing) and the workflow files.
        flags: Dotted field to value, ``None`` for not given.
        variables: The process environment; only ``MWAA_LOCAL_*`` names are read.

    Raises:
        DefinitionError: something MWAA or the tool does not know; names file, line, field, allowed values.
    """
    project = project.expanduser().resolve()
    if not project.is_dir():
        raise DefinitionError(
            "the project folder does not exist", where=str(project), hint="create it, or name another with --project"
        )
    return build(project, *over(told(project), flags or {}, variables or {}))


def build(project: Path, values: Mapping[str, Value], sources: Mapping[str, Source]) -> Environment:
    """The environment that checked fields describe; what is left out has its default.

    Args:
        project: Its folder, absolute.
        values: Dotted field to value, each checked by itself.
        sources: Where each of them came from.

    Raises:
        DefinitionError: Fields that do not fit each other, the class or the version.
    """
    sources = dict(sources)
    reader = _Reader(values, sources)
    chosen = version(reader.get("AirflowVersion", default_version()))
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
    document.check_options(options, chosen.airflow)
    for key, item in options.items():
        sources[f"AirflowConfigurationOptions.{key}"] = Source("file", item.place)
    _check_access(reader, chosen.has("public_and_private"), chosen.airflow)
    if domain.OPTION in options:
        held = options[domain.OPTION]
        domain.check_mode(held.value, reader.get("WebserverAccessMode"), held.place)
    return Environment(
        name=reader.get("Name"),
        version=chosen,
        environment_class=class_,
        min_workers=min_workers,
        max_workers=max_workers,
        schedulers=schedulers,
        min_webservers=min_webservers,
        max_webservers=max_webservers,
        options=MappingProxyType({key: item.value for key, item in options.items()}),
        logging=MappingProxyType(
            {
                kind.key: LogSetting(
                    enabled=bool(reader.get(f"LoggingConfiguration.{kind.key}.Enabled", True)),
                    level=reader.get(f"LoggingConfiguration.{kind.key}.LogLevel", "INFO"),
                )
                for kind in log_types()
            }
        ),
        local=_local(reader),
        project=project,
        workflow=workflow(
            project,
            dags=reader.get("Local.Paths.Dags"),
            plugins=reader.get("Local.Paths.Plugins"),
            requirements=reader.get("Local.Paths.Requirements"),
            startup_script=reader.get("Local.Paths.StartupScript"),
            plugins_named=bool(reader.place(plugin_files.FIELD)),
        ),
        sources=MappingProxyType(sources),
    )


def workflow(
    project: Path, *, dags: str, plugins: str, requirements: str, startup_script: str, plugins_named: bool
) -> Workflow:
    """The workflow files of a project, from paths that may be relative to it.

    Args:
        project: Absolute.
        plugins_named: Whether somebody gave ``plugins``, or it is the default.
    """
    source = plugin_files.find(project, plugins, named=plugins_named)
    return Workflow(
        dags=project / dags,
        plugins=source.path,
        requirements=project / requirements,
        startup_script=project / startup_script,
        plugins_choice=source.choice(project),
        plugins_unused=source.passed_over,
    )


def _check_access(reader: _Reader, both_allowed: bool, airflow_version: str) -> None:
    if reader.get("WebserverAccessMode") == "PUBLIC_AND_PRIVATE" and not both_allowed:
        raise DefinitionError(
            f"WebserverAccessMode PUBLIC_AND_PRIVATE is not known on {airflow_version}",
            where=reader.place("WebserverAccessMode"),
            code="access",
            fields=("WebserverAccessMode",),
            why="it exists from Airflow 3.2.1 on (spec/01 section 6)",
            hint="use PUBLIC_ONLY or PRIVATE_ONLY",
        )
