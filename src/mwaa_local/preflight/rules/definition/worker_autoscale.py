"""DEF009: celery.worker_autoscale."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_OPTION = "celery.worker_autoscale"


def check(workspace: Workspace) -> Iterator[Hit]:
    class_ = workspace.environment.environment_class
    path, line = workspace.definition.path, workspace.definition.option_line(_OPTION)
    text = workspace.environment.spec.options.get(_OPTION)
    value = workspace.environment.spec.worker_autoscale
    match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", value)
    if match is None:
        yield Hit(
            f"{_OPTION} is {value!r}: two numbers are needed, maximum,minimum",
            path,
            line,
            fix=f"write {class_.worker_autoscale}, the default of {class_.name}",
            severity=Severity.ERROR,
        )
        return
    high, low = int(match.group(1)), int(match.group(2))
    if low > high:
        yield Hit(
            f"{_OPTION} is {value}: the maximum comes first",
            path,
            line,
            fix=f"write {low},{high}",
            severity=Severity.ERROR,
        )
    elif high == 0:
        yield Hit(
            f"{_OPTION} is {value}: a worker would run no task at all",
            path,
            line,
            fix=f"write {class_.worker_autoscale}",
            severity=Severity.ERROR,
        )
    elif workspace.version.has("pool_that_shrinks_kills") and high != low:
        # With MWAA's own default this is advice; a value of the user's own was meant to be looked at.
        severity = Severity.WARNING if text is not None else Severity.INFO
        yield Hit(
            f"on Airflow 3 a worker pool that shrinks ({value}) can kill a task without a log",
            path if text is not None else None,
            line,
            fix=f"set {_OPTION}: {high},{high}",
            severity=severity,
        )


RULE = Rule(
    id="DEF009",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="celery.worker_autoscale",
    why=(
        "the value is maximum,minimum tasks per worker; on Airflow 3 the guide traces tasks that fail without a "
        "log (WorkerLostError, exitcode 15) to a pool that shrinks, and sets both numbers equal"
    ),
    source="spec/04 section 5.1, spec/05 T-08",
    fix="Write maximum,minimum, with equal numbers on Airflow 3",
    check=check,
)
