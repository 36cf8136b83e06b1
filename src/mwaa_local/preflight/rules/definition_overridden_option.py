"""DEF007: a configuration option whose value MWAA overrides."""

from __future__ import annotations

from collections.abc import Iterator

from mwaa_local.catalog import configuration_rows, is_protected
from mwaa_local.preflight.findings import Area, Hit, Rule, Severity
from mwaa_local.preflight.workspace import Workspace

# Not a variable of the runtime's table: MWAA starts workers with --autoscale, which leaves concurrency without meaning.
_WITHOUT_EFFECT = {
    "celery.worker_concurrency": (
        "worker_autoscale decides how many tasks a worker runs",
        "set celery.worker_autoscale, max,min",
    )
}


def check(workspace: Workspace) -> Iterator[Hit]:
    version = workspace.version.airflow
    forced = {row.name: row for row in configuration_rows(version) if row.layer == "essential"}
    for option in workspace.environment.options:
        line = workspace.definition.option_line(option)
        section, _, key = option.partition(".")
        variable = f"AIRFLOW__{section.upper()}__{key.upper()}"
        if option in _WITHOUT_EFFECT:
            reason, fix = _WITHOUT_EFFECT[option]
            yield Hit(f"{option} has no effect: {reason}", workspace.definition.path, line, fix=fix)
        elif variable in forced and forced[variable].when != "auth_none":
            row = forced[variable]
            if option == "celery.extra_celery_config":
                continue  # merged below MWAA's own keys, not replaced (spec/10 section 6.2)
            yield Hit(
                f"MWAA sets {option} itself and ignores this value: {row.reason}",
                workspace.definition.path,
                line,
                key=option,
            )
        elif is_protected(variable, version):
            yield Hit(
                f"{option} is protected: the value of MWAA's container wins",
                workspace.definition.path,
                line,
                key=option,
            )


RULE = Rule(
    id="DEF007",
    severity=Severity.WARNING,
    area=Area.DEFINITION,
    title="Option that MWAA overrides",
    why=(
        "MWAA applies its essential settings on top of the definition without a word; the value here never "
        "reaches Airflow"
    ),
    source="spec/10 sections 2.2, 2.3 and 2.6, spec/04 section 5.3",
    fix="Remove the option",
    check=check,
)
