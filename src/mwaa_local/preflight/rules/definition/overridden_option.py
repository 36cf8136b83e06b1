"""DEF007: a configuration option whose value MWAA overrides."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog import configuration_rows, forced_sections, is_protected, service_options
from mwaa_local.catalog.airflow_defaults import airflow_defaults
from mwaa_local.catalog.airflow_names import option_names, variable_of
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

# Not a variable of the runtime's table: MWAA starts workers with --autoscale, which leaves concurrency without meaning.
_WITHOUT_EFFECT = {
    "celery.worker_concurrency": (
        "worker_autoscale decides how many tasks a worker runs",
        "set celery.worker_autoscale, max,min",
    )
}
# Options of another name that do what the protected one cannot.
_INSTEAD = {"api.base_url": "a custom domain is webserver.base_url, on every version"}


def check(workspace: Workspace) -> Iterator[Hit]:
    version = workspace.version.airflow
    names, taken = option_names(version), service_options()
    for option in workspace.environment.spec.options:
        if option in taken:
            continue
        now = names.names(option)[0]
        said = _reason(option, now, version)
        if said is not None:
            message, fix = said
            yield Hit(message, workspace.definition.path, workspace.definition.option_line(option), fix=fix, key=option)


def _reason(option: str, now: str, version: str) -> tuple[str, str] | None:
    """Why an option has no effect and what to do; ``None`` where it has one.

    Args:
        option: The name the definition uses.
        now: Airflow's name for it.
        version: Airflow's version.
    """
    shown = option if option == now else f"{option} (now {now})"
    if now in _WITHOUT_EFFECT:
        reason, fix = _WITHOUT_EFFECT[now]
        return f"{shown} has no effect: {reason}", fix
    variable = variable_of(now)
    rows = {row.name: row for row in configuration_rows(version) if row.when != "auth_none"}
    row = rows.get(variable)
    if row is not None and row.layer == "essential":
        return f"MWAA sets {shown} itself and ignores this value: {row.reason}", ""
    for section in forced_sections():
        if now.startswith(f"{section.name}.") and now in airflow_defaults(version):
            return f"MWAA sets {shown} itself and ignores this value: {section.reason}", ""
    if is_protected(variable, version):
        return f"{shown} is protected: the value of MWAA's container wins", _INSTEAD.get(now, "")
    if row is not None and row.layer == "opinionated" and option != now:
        return f"MWAA sets {now}, and Airflow reads its old name {option} only where that is not set", f"write {now}"
    return None


RULE = Rule(
    id="DEF007",
    severity=Severity.WARNING,
    area=Area.DEFINITION,
    title="Option that MWAA overrides",
    why=(
        "MWAA applies its essential settings on top of the definition without a word; the value here never "
        "reaches Airflow"
    ),
    source="spec/10 sections 2.2, 2.3, 2.6 and 7.8, spec/04 section 5.3",
    fix="Remove the option",
    check=check,
)
