"""Environment of Airflow's processes: MWAA's layers merged, each value with its origin (spec/10 section 2.2).

Low to high: container, MWAA's defaults (opinionated), exports of the startup script, configuration options, the
container's own values of protected variables, MWAA's essential values. One table, the catalog's, feeds the merge,
``mwaa-local config`` and the checks. Reserved variables that a script exports are put back without a word (spec/04
section 9.1); what was put back is told in ``status``.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from mwaa_local.catalog import (
    ConfigurationRow,
    configuration_rows,
    forced_sections,
    is_protected,
    limits,
    locked_options,
    migrate_db_options,
    reserved_variables,
    web,
)
from mwaa_local.catalog.airflow_defaults import airflow_defaults
from mwaa_local.catalog.airflow_names import variable_of
from mwaa_local.runtime.airflow_options import Overridden, Value, old_variables
from mwaa_local.runtime.inputs import CELERY, CONSOLE_LEVELS, CUSTOM_DOMAIN, RuntimeInputs

CONTAINER, OPINIONATED, STARTUP, OPTIONS, PROTECTED, ESSENTIAL = (
    "container",
    "opinionated",
    "startup",
    "options",
    "protected",
    "essential",
)
LAYERS = (CONTAINER, OPINIONATED, STARTUP, OPTIONS, PROTECTED, ESSENTIAL)

# Name under which MWAA's image offers its transport, and the queue's second name on 3.x (spec/10 section 6.1).
_TRANSPORT = "mwaa.celery.sqs_broker.Transport"
_QUEUE_ALIAS = "default"

_EXTRA_CELERY = "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"

# Shell bookkeeping that leaks into a captured environment and means nothing to Airflow.
_SHELL_NOISE = ("_", "SHLVL", "OLDPWD")

_LOOPBACK = ("127.0.0.1", "localhost")

_PLACE = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Effective:
    """The merged environment.

    Attributes:
        values: Effective variables by name.
        restored: Variables the startup script exported and MWAA put back, sorted.
    """

    values: Mapping[str, Value]
    restored: tuple[str, ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        """Plain names and values, as a process gets them."""
        return {name: value.value for name, value in self.values.items()}


def effective(inputs: RuntimeInputs, exports: Mapping[str, str] | None = None) -> Effective:
    """Merge the layers for Airflow's processes.

    Args:
        inputs: The component's inputs.
        exports: Whole environment captured from the startup script; ``None`` when none ran.
    """
    base = _base_layers(inputs)
    script = changes(inputs, exports or {})
    reserved = {variable.name for variable in reserved_variables(inputs.version.airflow)}
    layers: dict[str, dict[str, Value]] = {
        CONTAINER: base[CONTAINER],
        OPINIONATED: base[OPINIONATED],
        STARTUP: _values(
            STARTUP,
            {
                name: _python_path(inputs, value) if name == "PYTHONPATH" else value
                for name, value in script.items()
                if name not in reserved
            },
        ),
        OPTIONS: base[OPTIONS],
        PROTECTED: {
            name: Value(
                name,
                value.value,
                PROTECTED,
                value.source or "spec/10 section 2.6",
                value.reason or "a script or an option cannot change it",
            )
            for name, value in base[CONTAINER].items()
            if is_protected(name, inputs.version.airflow)
        }
        | _web_address(inputs, base[CONTAINER]),
        ESSENTIAL: base[ESSENTIAL],
    }
    _merge_extra_celery(inputs, layers)
    _use_old_names(inputs, layers, STARTUP)
    merged = {name: _win(name, layers) for name in dict.fromkeys(name for rows in layers.values() for name in rows)}
    restored = {
        name
        for name, value in script.items()
        if name not in merged or (merged[name].layer not in (OPTIONS, STARTUP) and merged[name].value != value)
    }
    return Effective(merged, tuple(sorted(restored)))


def _web_address(inputs: RuntimeInputs, container: Mapping[str, Value]) -> dict[str, Value]:
    """Outside an image: where the web server listens, which is the engine's business.

    Nobody signs in, so no other machine may reach it; and the engine asks and publishes the port that it chose.
    """
    facts = web(inputs.version.airflow)
    reason = "the engine chose it: nobody signs in, so only this machine may reach the web server"
    names = () if inputs.in_image else (facts.host, facts.port)
    return {
        name: replace(container[name], layer=PROTECTED, source="design section 8", reason=reason)
        for name in names
        if name in container
    }


def script_environment(inputs: RuntimeInputs) -> dict[str, str]:
    """What the startup script sees while it runs (spec/10 section 2.2, after the table)."""
    base = _base_layers(inputs)
    _merge_extra_celery(inputs, base)
    merged: dict[str, str] = {}
    for layer in (CONTAINER, OPINIONATED, OPTIONS, ESSENTIAL):
        merged.update({name: value.value for name, value in base[layer].items()})
    return merged


def changes(inputs: RuntimeInputs, exports: Mapping[str, str]) -> dict[str, str]:
    """What a script really exported: the captured environment without what it was started with.

    MWAA merges the whole capture, which has the same result, because every other layer is merged again around it.
    """
    if not exports:
        return {}
    before = script_environment(inputs)
    return {name: value for name, value in exports.items() if before.get(name) != value and name not in _SHELL_NOISE}


def condition_holds(condition: str, inputs: RuntimeInputs) -> bool:
    """Whether a catalog row's ``when`` holds.

    Raises:
        KeyError: the catalog names a condition the runtime does not know.
    """
    task_logs = inputs.logs["TASK"]
    return {
        "": True,
        "celery": inputs.executor == CELERY,
        "metrics": inputs.metrics,
        "mwaa_iam": inputs.auth_type == "mwaa-iam",
        "not_mwaa_iam": inputs.auth_type != "mwaa-iam",
        "auth_none": inputs.auth_type == "none",
        "workspace": inputs.workspace,
        "links": inputs.component != "webserver" or urlsplit(inputs.base_url).hostname not in _LOOPBACK,
        "task_logs": task_logs.publishes,
    }[condition]


def service_variables(inputs: RuntimeInputs) -> dict[str, str]:
    """What MWAA's service puts into a container and no image sets by itself: values of the class, remote logging.

    Our runtime computes them; an image of AWS's own (``Local.Image``) must be given them as plain variables.
    """
    rows = {row.name for row in configuration_rows(inputs.version.airflow) if row.layer == CONTAINER}
    rows |= {old for name in rows for old in old_variables(name, inputs.version.airflow)}
    found = _base_layers(inputs)[CONTAINER]
    endpoint = _endpoint_variables(inputs) if inputs.aws_endpoint and inputs.dags_use_endpoint else {}
    return {**{name: value.value for name, value in found.items() if name in rows}, **endpoint}


def metrics_files(inputs: RuntimeInputs) -> dict[str, str]:
    """The customer's own metric options by file name, for the metrics bridge to filter by (spec/10 section 7.8)."""
    defaults = {"statsd_on": "True", "metrics_block_list": "", "metrics_allow_list": ""}
    return {
        f"{key}.txt": inputs.options.get(variable_of(f"metrics.{key}"), default) for key, default in defaults.items()
    }


def _values(layer: str, pairs: Mapping[str, str], source: str = "", reason: str = "") -> dict[str, Value]:
    return {name: Value(name, value, layer, source, reason) for name, value in pairs.items()}


def _win(name: str, layers: Mapping[str, Mapping[str, Value]]) -> Value:
    found = [layers[layer][name] for layer in LAYERS if name in layers[layer]]
    winner = found[-1]
    lost = tuple(Overridden(value.layer, value.value) for value in found[:-1] if value.value != winner.value)
    return Value(name, winner.value, winner.layer, winner.source, winner.reason, lost)


def _base_layers(inputs: RuntimeInputs) -> dict[str, dict[str, Value]]:
    """Every layer but the startup script's, before the merge."""
    layers: dict[str, dict[str, Value]] = {layer: {} for layer in LAYERS}
    names = _names(inputs)
    for row in configuration_rows(inputs.version.airflow):
        value = _fill(row, names) if condition_holds(row.when, inputs) else None
        if value is not None:
            layers[row.layer][row.name] = Value(row.name, value, row.layer, row.source, row.reason)
    forced = {value.name: value for value in _forced(inputs)}
    layers[ESSENTIAL] = {**forced, **layers[ESSENTIAL]}
    layers[CONTAINER] |= _values(CONTAINER, inputs.container)
    layers[CONTAINER] |= _image_variables(inputs)
    layers[OPTIONS] = _values(OPTIONS, _options(inputs), "AirflowConfigurationOptions")
    _use_old_names(inputs, layers, OPTIONS)
    return layers


def _options(inputs: RuntimeInputs) -> dict[str, str]:
    locked = {variable_of(row.name) for row in locked_options(inputs.version.airflow)}
    allowed = migrate_db_options()
    taken = (CUSTOM_DOMAIN, "AIRFLOW__API__BASE_URL") if inputs.base_url else ()  # the service's own, in a row
    return {
        name: value
        for name, value in inputs.options.items()
        if name not in (*locked, *taken) and (inputs.component != "migrate-db" or name in allowed)
    }


def _names(inputs: RuntimeInputs) -> dict[str, str]:
    """What fills the ``{places}`` of catalog rows; a name that is not known is left out."""
    names: dict[str, str | None] = {
        "environment_name": inputs.environment_name,
        "executor": inputs.executor,
        "queue_name": inputs.queue_name,
        "visibility_timeout": str(limits().visibility_timeout_seconds),
        "broker_url": _broker_url(inputs),
        "database_url": inputs.database.url if inputs.database else None,
        "fernet_key": inputs.fernet_key,
        "fernet_secret": inputs.fernet_secret,
        "web_secret": inputs.web_secret,
        "execution_api_url": _execution_api_url(inputs),
        "extra_celery_config": json.dumps(_celery_keys(inputs)) if inputs.queue_url else None,
        "python_folder": str(inputs.python_folder),
        "version_digits": inputs.version.digits,
        "component": inputs.component,
        "base_url": inputs.base_url or None,
        "webserver_log_level": inputs.logs["WEBSERVER"].level,
        "task_log_group_arn": inputs.logs["TASK"].arn,
        **inputs.class_values,
    }
    return {name: value for name, value in names.items() if value is not None}


def _fill(row: ConfigurationRow, names: Mapping[str, str]) -> str | None:
    if row.literal:
        return row.value
    if any(place not in names for place in _PLACE.findall(row.value)):
        return None
    return _PLACE.sub(lambda match: names[match.group(1)], row.value)


def _broker_url(inputs: RuntimeInputs) -> str:
    parts = urlsplit(inputs.queue_endpoint or f"https://sqs.{inputs.region}.amazonaws.com")
    return f"sqs://{parts.netloc}"


def _execution_api_url(inputs: RuntimeInputs) -> str | None:
    url = inputs.api_server_url
    if not url:
        return None
    return f"{url if '://' in url else 'https://' + url}".rstrip("/") + "/execution"


def _celery_keys(inputs: RuntimeInputs) -> dict[str, object]:
    """MWAA's own keys of ``EXTRA_CELERY_CONFIG`` on 3.2 and later (spec/10 sections 6.1 and 6.2)."""
    queue = {"url": inputs.queue_url}
    options = {
        "predefined_queues": {inputs.queue_name: queue, _QUEUE_ALIAS: queue},
        "is_secure": inputs.use_ssl,
        "region": inputs.region,
        "visibility_timeout": limits().visibility_timeout_seconds,
    }
    return {"broker_transport": _TRANSPORT, "broker_transport_options": options}


def _merge_extra_celery(inputs: RuntimeInputs, layers: dict[str, dict[str, Value]]) -> None:
    """Container's keys, then the option's, then MWAA's, as whole top-level keys (spec/10 section 6.2)."""
    own = layers[ESSENTIAL].get(_EXTRA_CELERY)
    if own is None:
        return
    merged: dict[str, object] = {}
    for layer in (CONTAINER, OPTIONS):
        if _EXTRA_CELERY in layers[layer]:
            try:
                given = json.loads(layers[layer][_EXTRA_CELERY].value)
            except ValueError:
                continue
            merged |= given if isinstance(given, dict) else {}
    merged |= _celery_keys(inputs)
    layers[ESSENTIAL][_EXTRA_CELERY] = Value(own.name, json.dumps(merged), ESSENTIAL, own.source, own.reason)


def _forced(inputs: RuntimeInputs) -> Iterator[Value]:
    """Every option of a section that is MWAA's own, at Airflow's default (spec/10 section 2.3)."""
    for section in forced_sections():
        for option, default in airflow_defaults(inputs.version.airflow).items():
            if option.startswith(f"{section.name}."):
                yield Value(variable_of(option), default, ESSENTIAL, section.source, section.reason)


def _use_old_names(inputs: RuntimeInputs, layers: dict[str, dict[str, Value]], layer: str) -> None:
    """Set a row of the service under the old name of its option, where that is the name a layer above uses.

    Airflow reads an old name only while the new one is not set: the user's value would lose to ours.
    """
    above = layers.get(layer, {})
    for row in configuration_rows(inputs.version.airflow):
        held = layers[CONTAINER].get(row.name)
        if row.layer != CONTAINER or held is None or row.name in inputs.container:
            continue
        for old in old_variables(row.name, inputs.version.airflow):
            if old in above:
                layers[CONTAINER][old] = replace(held, name=old)
                del layers[CONTAINER][row.name]


def _python_path(inputs: RuntimeInputs, given: str = "") -> str:
    """``PYTHONPATH``, with what a script exported first; MWAA's own modules are always found (spec/10 section 0)."""
    home, own = inputs.visible_home, str(inputs.python_folder)
    files = [f"{home}/config", f"{home}/dags"] if inputs.version.has("python_path_with_files") else []
    return ":".join(dict.fromkeys(part for part in (*given.split(":"), *files, own) if part))


def host_name(inputs: RuntimeInputs) -> str:
    """The name that the component's own processes see."""
    return inputs.hostname if inputs.placement == "mount" and inputs.hostname else socket.gethostname()


def _image_variables(inputs: RuntimeInputs) -> dict[str, Value]:
    """What MWAA's image sets for every process (spec/10 section 2.5), and ours for the local AWS endpoint."""
    home, given = str(inputs.visible_home), inputs.container
    source = CONSOLE_LEVELS.get(inputs.component)
    # In an image the container's own; elsewhere nothing of the user's PATH, which leads to what MWAA does not have.
    path = [f"{home}/.local/bin", *((inputs.in_image and given.get("PATH")) or limits().path).split(":")]
    path += [str(inputs.tools)] if inputs.tools else []
    image = {
        "AIRFLOW_HOME": home,
        "AIRFLOW_USER_HOME": home,
        "HOME": home,
        "HOSTNAME": host_name(inputs),
        "PWD": home,
        "PATH": ":".join(dict.fromkeys(path)),
        "PYTHONPATH": _python_path(inputs),
        "PYTHONUNBUFFERED": "1",
        "PYTHON_VERSION": inputs.version.python_patch,
        "MWAA_HOME": given.get("MWAA_HOME", "/usr/local/mwaa"),
        "AIRFLOW_CONSTRAINTS_FILE": f"{home}/.local/etc/airflow_constraints.txt",
        "MWAA_ESSENTIAL_CONSTRAINTS_FILE": f"{home}/.local/etc/mwaa_essential_constraints.txt",
        "AIRFLOW_CONSOLE_LOG_LEVEL": inputs.logs[source].level if source else "INFO",
        "AIRFLOW__CORE__DAGS_FOLDER": given.get("AIRFLOW__CORE__DAGS_FOLDER", f"{home}/dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": given.get("AIRFLOW__CORE__PLUGINS_FOLDER", f"{home}/plugins"),
    }
    if inputs.region:
        image |= {name: given.get(name) or inputs.region for name in ("AWS_REGION", "AWS_DEFAULT_REGION")}
    ours = {"MWAA_LOCAL__WORKER_HEARTBEAT": str(inputs.heartbeat_file)}
    if inputs.database is not None:
        ours["MWAA_LOCAL__SQL_ALCHEMY_CONN"] = inputs.database.url
    if inputs.aws_endpoint and inputs.dags_use_endpoint:
        ours |= _endpoint_variables(inputs)
    return {
        **_values(CONTAINER, image, "spec/10 section 2.5", "set in MWAA's image"),
        **_values(CONTAINER, ours, "ours", "the local environment"),
        **_values(CONTAINER, dict(_without_proxy(inputs)), "ours", "local addresses are not behind the user's proxy"),
    }


def _endpoint_variables(inputs: RuntimeInputs) -> dict[str, str]:
    """Lets DAG code reach the local AWS endpoint with no address in the code; the user's own variables win."""
    ours = {
        "AWS_ENDPOINT_URL": inputs.aws_endpoint,
        "AWS_ACCESS_KEY_ID": inputs.aws_access_key,
        "AWS_SECRET_ACCESS_KEY": inputs.aws_secret_key,
        # boto3 would put "api." and the like before the local host's name (design section 8).
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
    }
    return {name: inputs.container.get(name, value) for name, value in ours.items()}


def _without_proxy(inputs: RuntimeInputs) -> Iterator[tuple[str, str]]:
    given = inputs.container
    if not any(
        given.get(name) for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")
    ):
        return
    addresses = (inputs.aws_endpoint, inputs.queue_url, inputs.api_server_url or "")
    local = ["localhost", "127.0.0.1", *(urlsplit(url).hostname or "" for url in addresses if "://" in url)]
    for name in ("NO_PROXY", "no_proxy"):
        before = [host for host in given.get(name, given.get("NO_PROXY", "")).split(",") if host]
        yield name, ",".join(dict.fromkeys([*before, *(host for host in local if host)]))
