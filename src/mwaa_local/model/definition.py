"""From ``mwaa.yaml``, ``MWAA_LOCAL_*`` variables and flags to one frozen environment (design section 7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mwaa_local.catalog import Field, fields, limits
from mwaa_local.catalog.aws_services import aws_services
from mwaa_local.errors import DefinitionError
from mwaa_local.model import checks, document, spec
from mwaa_local.model import plugins as plugin_files
from mwaa_local.model.checks import Value
from mwaa_local.model.environment import Environment, LocalSettings, Ports, SmokeSettings, Workflow
from mwaa_local.model.spec import Reader, Source

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
            checks.check(path, values[path])
    for path, given in flags.items():
        if given is None:
            continue
        place = "--" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", path.removeprefix("Local.").replace(".", "-")).lower()
        values[path] = Value(given, place)
        sources[path] = Source("flag", place)
        checks.check(path, values[path])
    return values, sources


def _aws_services(reader: Reader) -> tuple[str, ...]:
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


def _local(reader: Reader) -> LocalSettings:
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
        allow_unsupported=bool(reader.get("Local.AllowUnsupported", False)),
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
    reader = Reader(values, sources)
    return Environment(
        spec=spec.build(reader),
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
        given=MappingProxyType({path: _plain(item.value) for path, item in values.items()}),
    )


def _plain(value: Any) -> Any:
    """A value without the places of what is in it: each member of a map knows its own."""
    if isinstance(value, Mapping):
        return {key: item.value if isinstance(item, Value) else item for key, item in value.items()}
    return value


def _placed(path: str, value: Any, place: str) -> Any:
    rule = checks.rule_of(path)
    if rule is not None and rule.type == "map" and isinstance(value, Mapping):
        return {key: Value(item, place) for key, item in value.items()}
    return value


def restored(project: Path, given: Mapping[str, Any], place: str) -> Environment:
    """The environment that :attr:`Environment.given` was kept of.

    Args:
        project: Its folder, absolute.
        given: Dotted field to value.
        place: Where it was kept, for errors.

    Raises:
        DefinitionError: This version of the tool no longer knows one of the values.
    """
    values = {path: Value(_placed(path, value, place), place) for path, value in given.items()}
    for path, value in values.items():
        checks.check(path, value)
    return build(project, values, {path: Source("kept", place) for path in values})


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
