"""Every effective Airflow value, its layer, and what it overrode."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from json import loads as parse_json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mwaa_local.catalog import limits
from mwaa_local.catalog.airflow_names import PREFIX, option_of, variable_of
from mwaa_local.cli import output
from mwaa_local.cli.context import settings
from mwaa_local.errors import UsageError
from mwaa_local.model import Environment, Secrets
from mwaa_local.runtime.airflow_options import (
    DEFAULT,
    Value,
    as_airflow_reads,
    as_one_option,
)
from mwaa_local.runtime.environment import CONTAINER, OPTIONS, STARTUP, Effective, effective
from mwaa_local.runtime.inputs import COMPONENTS, Wiring, variables_for
from mwaa_local.runtime.reading import read_inputs

_HIDDEN = "(secret)"
_ESCAPES = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command()(config)


def config(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="Options (core.parallelism) or variables; all when left out.")
    ] = None,
    component: Annotated[str, typer.Option(help="scheduler, worker or webserver.")] = "scheduler",
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what MWAA, the definition or the startup script sets.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Variables beside Airflow's options too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
) -> None:
    """Every Airflow value the environment runs with, the layer that set it, and what it overrode."""
    if component not in COMPONENTS:
        raise UsageError(
            f"no component {component!r}", why=f"components: {', '.join(COMPONENTS)}", hint="name one of them"
        )
    environment, engine, _ = settings(context).running()
    running = engine.exports(component)
    merged = planned(environment, component, running)
    started = engine.variables(component)
    if started is not None:
        merged = as_started(merged, started)
        waiting = not_applied(environment, started)
        if waiting:
            output.note(f"not applied yet, the next `mwaa-local up` does: {', '.join(waiting)}")
    version = environment.version.airflow
    whole = as_airflow_reads(merged.values, version)
    wanted = {variable_of(name) for name in names or ()}
    asked = {name: as_one_option(name, merged.values, version) for name in wanted - set(whole)}
    whole |= {name: value for name, value in asked.items() if value is not None}
    unknown = sorted(name for name, value in asked.items() if value is None)
    if unknown:
        raise UsageError(
            f"Airflow {version} has no option {option_of(unknown[0])}, and nothing sets it",
            why="neither Airflow nor a provider of MWAA's image describes it",
            hint=f"a provider of requirements.txt may: mwaa-local airflow config get-value "
            f"{' '.join(option_of(unknown[0]).split('.'))}",
        )
    values = [
        value
        for name, value in sorted(whole.items())
        if (name in wanted if wanted else everything or name.startswith("AIRFLOW__"))
        and not (changed and value.layer == DEFAULT)
    ]
    if json:
        output.emit_json(
            {
                "schema": "mwaa-local/config/1",
                "component": component,
                "airflow_version": environment.version.airflow,
                "startup_script_included": running is not None,
                "restored": list(merged.restored),
                "values": [document(value) for value in values],
            }
        )
        return
    if running is None and environment.workflow.startup_script.is_file():
        output.note("the environment does not run: what the startup script exports is not known and not included")
    _show(values)
    for name in merged.restored:
        output.out.print(f"put back after the startup script: {name}", markup=False)


def as_started(merged: Effective, started: Mapping[str, str]) -> Effective:
    """The layers with what a running component was started with where the definition says nothing: its addresses.

    Args:
        merged: The layers as the definition makes them.
        started: The component's variables.
    """
    applied = _options(started)
    values = dict(merged.values)
    for name, value in started.items():
        known = values.get(name)
        if known is None and name.startswith(PREFIX) and name not in applied:
            values[name] = Value(name, value, CONTAINER, "ours", "where it lies on this machine")
        elif known is not None and known.layer not in (OPTIONS, STARTUP) and known.value != value:
            values[name] = replace(known, value=value)
    return replace(merged, values=values)


def not_applied(environment: Environment, started: Mapping[str, str]) -> list[str]:
    """Options of the definition that a running component was started without, or with another value."""
    applied, wanted = _options(started), environment.spec.option_variables()
    return sorted(option_of(name) for name in applied.keys() | wanted if applied.get(name) != wanted.get(name))


def _options(started: Mapping[str, str]) -> dict[str, str]:
    """The configuration options that a component was started with, as variables."""
    value = parse_json(started.get("MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS") or "{}")
    return {str(name): str(text) for name, text in value.items()}


def document(value: Value) -> dict[str, Any]:
    """One value for ``--json`` readers; secrets stay hidden."""
    hide = value.secret
    return {
        "name": value.name,
        "option": option_of(value.name) if value.name.startswith("AIRFLOW__") else None,
        "value": _shown(value.value, hide),
        "layer": value.layer,
        "source": value.source,
        "reason": value.reason,
        "overrode": [{"layer": lost.layer, "value": _shown(lost.value, hide)} for lost in value.overrode],
    }


def _shown(value: str, secret: bool) -> str:
    """A value for people; nothing is no secret."""
    return _HIDDEN if secret and value else value


def planned(
    environment: Environment, component: str, exports: dict[str, str] | None, *, home: Path | None = None
) -> Effective:
    """The merged layers of a component as its definition makes them; addresses and secrets stand as placeholders.

    Args:
        environment: The definition.
        component: One of MWAA's components.
        exports: What the startup script exports; ``None`` when it is not known.
        home: Airflow's home folder where it is not MWAA's.
    """
    home = home or Path(limits().home)
    wiring = Wiring(
        database_host="postgres",
        database_port=5432,
        database_name="airflow",
        database_user="airflow",
        secrets=Secrets(_HIDDEN, _HIDDEN, _HIDDEN),
        aws_endpoint="http://aws:4566",
        queue_url=f"http://aws:4566/{limits().account_id}/{limits().queue_prefix}{environment.id}",
        api_server_url="http://webserver:8080",
        web_url=f"http://127.0.0.1:{environment.local.ports.web}",
        web_port=8080,
        hostname="ip-127-0-0-1",
        home=home,
        run_dir=home.parent / "mwaa" / "run",
        cache_dir=home.parent / "mwaa" / "cache",
        base_set=home.parent / "mwaa" / "base",
        workflow=False,
    )
    return effective(read_inputs(component, variables_for(environment, component, wiring)), exports)


def _show(values: list[Value]) -> None:
    titles = ("option", "value", "layer", "overrode", "why")
    rows = []
    for value in values:
        hide = value.secret
        lost = "; ".join(f"{item.layer}: {_shown(item.value, hide) or '(empty)'}" for item in value.overrode)
        rows.append((option_of(value.name), _shown(value.value, hide), value.layer, lost, value.reason))
    if not output.out.is_terminal:
        # For programs: one line each, nothing padded; a line end or a tab inside a value must not make two of it.
        for row in (titles, *rows):
            sys.stdout.write("\t".join(cell.translate(_ESCAPES) for cell in row).rstrip("\t") + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    output.out.print(table)
