"""Look at an environment: status, logs, addresses, versions."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from mwaa_local import catalog
from mwaa_local.cli import output
from mwaa_local.cli.context import settings
from mwaa_local.cli.lifecycle import component_document
from mwaa_local.engines.protocol import Addresses, ComponentState, Engine
from mwaa_local.engines.verdicts import verdicts
from mwaa_local.errors import EngineError, MwaaLocalError, UsageError
from mwaa_local.model import Environment
from mwaa_local.observability.airflow_api import AirflowApi, ImportFailure, RefusedError, TaskInstance
from mwaa_local.runtime import crash

_T = TypeVar("_T")
# An end of support is announced so long before (spec/02 section 9.3).
_SOON_DAYS = 180
_COLORS = {"healthy": "green", "starting": "yellow", "restarting": "yellow", "stopped": "dim"}


def register(app: typer.Typer) -> None:
    """Mount the commands."""
    app.command()(status)
    app.command()(logs)
    app.command()(env)
    app.command()(versions)


def status(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
) -> None:
    """State, health, uptime and memory of every component; what scripts, requirements and DAG files ran into.

    Exit codes: 0 everything is healthy, 1 not, or nothing runs.
    """
    environment, engine, addresses = settings(context).running()
    components = engine.components()
    errors: list[ImportFailure] | None = None
    if addresses is not None:
        try:
            errors = AirflowApi(addresses.web, environment.version.airflow, timeout_s=5).import_errors()
        except MwaaLocalError:
            errors = None  # the table says already that the web server does not answer
    healthy = addresses is not None and all(component.state == "healthy" for component in components)
    if json:
        output.emit_json(
            {
                "schema": "mwaa-local/status/1",
                "name": environment.name,
                "airflow_version": environment.version.airflow,
                "engine": engine.name,
                "running": addresses is not None,
                "healthy": healthy,
                "web": addresses.web if addresses else None,
                "aws": addresses.aws if addresses else None,
                "bucket": addresses.bucket if addresses else None,
                "memory_bytes": sum(component.memory_bytes or 0 for component in components),
                "components": [component_document(component) for component in components],
                "dag_import_errors": None if errors is None else [{"file": e.file, "trace": e.trace} for e in errors],
            }
        )
    else:
        _table(environment, engine, components)
        for verdict in verdicts(components):
            output.out.print("requirements.txt was not installed", style="red")
            for line in str(verdict).splitlines():
                output.out.print(f"    {line}", markup=False)
        for component in components:
            _troubles(component)
        for error in errors or ():
            last = error.trace.strip().splitlines()[-1:] or [""]
            output.out.print(f"DAG import error: {error.file}: {last[0]}", style="red", markup=False)
        if addresses:
            output.out.print(f"Airflow {addresses.web}   AWS {addresses.aws}   bucket {addresses.bucket}", markup=False)
        else:
            output.out.print(f"{environment.name} does not run: mwaa-local up", markup=False)
    raise typer.Exit(0 if healthy else 1)


def _table(environment: Environment, engine: Engine, components: list[ComponentState]) -> None:
    total = sum(component.memory_bytes or 0 for component in components)
    title = escape(
        f"{environment.name}: Airflow {environment.version.airflow}, {engine.name} engine, {output.human_bytes(total)}"
    )
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in ("component", "state", "uptime", "memory", "restarts", "pid", "detail"):
        table.add_column(column, overflow="fold")
    shared = [component for component in components if component.site]
    for component in [*(one for one in components if not one.site), *shared]:
        if shared and component is shared[0]:
            table.add_section()
        color = _COLORS.get(component.state, "red")
        uptime = time.time() - component.started_at if component.started_at else None
        table.add_row(
            f"{component.name} (site)" if component.site else component.name,
            f"[{color}]{component.state}[/]",
            output.human_seconds(uptime),
            output.human_bytes(component.memory_bytes),
            str(component.restarts) if component.restarts else "",
            str(component.pid or ""),
            escape(component.detail),
        )
    output.out.print(table)


def _troubles(component: ComponentState) -> None:
    """What the runtime says of a component's own boot, where something went wrong."""
    runtime = component.status or {}
    script = runtime.get("startup_script") or {}
    if script and (script.get("exit_status") or script.get("timed_out")):
        how = "ran into its time limit" if script.get("timed_out") else f"ended with status {script.get('exit_status')}"
        output.out.print(f"{component.name}: the startup script {how} after {script.get('seconds')} s", style="yellow")
        for line in (script.get("tail") or ())[-8:]:
            output.out.print(f"    {line}", markup=False)
    if last := runtime.get("crash"):
        _crash(component.name, last)
    elif error := runtime.get("error"):
        output.out.print(f"{component.name}: {error.get('what')}: {error.get('why')}", style="red", markup=False)


def _crash(component: str, last: dict[str, Any]) -> None:
    """How a process of a component died, so that nobody has to look for it in the logs."""
    times = f"{last.get('count')} times in a row, last" if int(last.get("count") or 1) > 1 else "once,"
    ago = output.human_seconds(max(0.0, time.time() - float(last.get("at") or 0.0)))
    output.out.print(f"{component}: {crash.sentence(last)}", style="red", markup=False)
    output.out.print(f"    it {last.get('ended')}, {times} {ago} ago", markup=False)
    for line in (last.get("trace") or ())[-8:]:
        output.out.print(f"    {line}", markup=False)


def logs(
    context: typer.Context,
    what: Annotated[list[str] | None, typer.Argument(help="A component; or: task DAG [RUN] [TASK].")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Lines to begin with.")] = 100,
    try_number: Annotated[
        int | None, typer.Option("--try", help="Which try of a task; the last when left out.")
    ] = None,
) -> None:
    """Output of a component, of all components, or of a task's tries as the UI shows them."""
    environment, engine, addresses = settings(context).running()
    words = list(what or ())
    if words[:1] == ["task"]:
        _task_logs(environment, addresses, words[1:], try_number)
        return
    if len(words) > 1:
        raise UsageError("logs takes one component, or: task DAG [RUN] [TASK]", hint="mwaa-local logs worker")
    names = [component.name for component in engine.components()]
    if words and words[0] not in names:
        raise UsageError(
            f"no component {words[0]!r}", why=f"components: {', '.join(names) or 'none'}", hint="name one of them"
        )
    if words:
        for line in engine.logs(words[0], follow=follow, lines=lines):
            output.out.print(line, markup=False)
        return
    if follow:
        _follow_all(engine, names, lines)
        return
    for name in names:
        for line in engine.logs(name, follow=False, lines=lines):
            output.out.print(f"{name} | {line}", markup=False)


def _follow_all(engine: Engine, names: list[str], lines: int) -> None:
    """Lines of every component as they come, until the last one ends; a thread for each, for each blocks on its own.

    Raises:
        MwaaLocalError: One cannot be read.
    """
    import queue
    import threading

    arrived: queue.Queue[str | MwaaLocalError | None] = queue.Queue(maxsize=1000)

    def read(name: str) -> None:
        try:
            for line in engine.logs(name, follow=True, lines=lines):
                arrived.put(f"{name} | {line}")
        except MwaaLocalError as error:
            arrived.put(error)
        finally:
            arrived.put(None)

    for name in names:
        threading.Thread(target=read, args=(name,), daemon=True).start()
    ended = 0
    while ended < len(names):
        found = arrived.get()
        if isinstance(found, MwaaLocalError):
            raise found
        if found is None:
            ended += 1
        else:
            output.out.print(found, markup=False)


def _task_logs(environment: Environment, addresses: Addresses | None, words: list[str], try_number: int | None) -> None:
    if not words or len(words) > 3:
        raise UsageError("which task?", hint="mwaa-local logs task DAG [RUN] [TASK]")
    if addresses is None:
        raise EngineError(f"{environment.name} does not run", where=str(environment.project), hint="mwaa-local up")
    api = AirflowApi(addresses.web, environment.version.airflow)
    dag_id = words[0]
    run_id, chosen = _tasks_of(api, dag_id, words[1:])
    for task in chosen:
        if task.try_number < 1:
            output.note(f"{task.task_id}: not tried yet ({task.state})")
            continue
        mapped = f"[{task.map_index}]" if task.map_index >= 0 else ""
        output.out.print(
            f"--- {dag_id} {run_id} {task.task_id}{mapped} try {try_number or task.try_number} ({task.state})",
            markup=False,
        )
        for line in api.task_log(dag_id, run_id, task, try_number=try_number):
            output.out.print(line, markup=False)


def _tasks_of(api: AirflowApi, dag_id: str, words: list[str]) -> tuple[str, list[TaskInstance]]:
    """The run and the tasks that are meant: all of the last run, or of one run, or one task; one word may be either.

    Raises:
        UsageError: there is no such DAG, run or task.
    """
    latest = _or_none(lambda: api.latest_run(dag_id))
    if latest is None:
        raise UsageError(f"DAG {dag_id} has no run yet", hint=f"mwaa-local airflow dags trigger {dag_id}")
    run_id, task_id = (words[0], words[1]) if len(words) == 2 else (words[0] if words else latest, None)
    tasks = _or_none(lambda: api.task_instances(dag_id, run_id)) or []
    if len(words) == 1 and not tasks:
        run_id, task_id, tasks = latest, words[0], api.task_instances(dag_id, latest)
    elif not tasks:
        raise UsageError(
            f"DAG {dag_id} has no run {run_id!r}", why=f"its last run: {latest}", hint="leave it out for the last run"
        )
    chosen = [task for task in tasks if task_id in (None, task.task_id)]
    if not chosen:
        raise UsageError(
            f"run {run_id} has no task {task_id!r}" + ("" if len(words) == 2 else ", and there is no run of that name"),
            why=f"tasks: {', '.join(dict.fromkeys(task.task_id for task in tasks))}",
            hint="name one of them",
        )
    return run_id, chosen


def _or_none(ask: Callable[[], _T]) -> _T | None:
    try:
        return ask()
    except RefusedError as error:
        if error.status != 404:
            raise
        return None


def client_variables(environment: Environment, aws: str) -> dict[str, str]:
    """What an AWS client needs to reach the local endpoint (design section 8).

    boto3 would put ``api.`` and the like before the host; nothing answers there.
    """
    return {
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": environment.local.region,
        "AWS_DEFAULT_REGION": environment.local.region,
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
    }


def env(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
) -> None:
    """Shell exports that point AWS clients at the environment: eval "$(mwaa-local env)"."""
    environment, _, addresses = settings(context).running()
    if addresses is None:
        raise EngineError(f"{environment.name} does not run", where=str(environment.project), hint="mwaa-local up")
    variables = {
        **client_variables(environment, addresses.aws),
        "MWAA_LOCAL_WEB_URL": addresses.web,
        "MWAA_LOCAL_BUCKET": addresses.bucket,
        **addresses.variables,
    }
    if json:
        output.emit_json(variables)
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
    typer.echo("unset AWS_PROFILE AWS_SESSION_TOKEN")


_OFFERED = {"guide": "available", "image": "not in the guide yet", "ended": "ended"}


def versions(
    context: typer.Context,
    packages: Annotated[
        str | None, typer.Option(help="List what the image of this version holds: --packages 3.2.1")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
) -> None:
    """Airflow versions that can be run, with their support on MWAA."""
    if packages is not None:
        _packages(catalog.version(packages), json=json)
        return
    rows: list[dict[str, Any]] = []
    for name in catalog.version_names():
        version = catalog.version(name)
        rows.append(
            {
                "airflow_version": name,
                "python": version.python,
                "airflow_release": version.airflow_release.isoformat(),
                "mwaa_release": version.mwaa_release.isoformat() if version.mwaa_release else None,
                "support": _OFFERED[version.offered],
                "support_ended": version.ended.isoformat() if version.ended else None,
                "packages": len(version.packages),
                "default": name == catalog.default_version(),
            }
        )
    if json:
        output.emit_json({"schema": "mwaa-local/versions/1", "versions": rows})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Airflow", "Python", "Airflow release", "on MWAA since", "support", "packages", ""):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row["airflow_version"],
            row["python"],
            row["airflow_release"],
            row["mwaa_release"] or "-",
            f"ended {row['support_ended']}" if row["support_ended"] else row["support"],
            str(row["packages"]),
            "default" if row["default"] else "",
        )
    output.out.print(table)
    _warn_of_the_end(context)


def _warn_of_the_end(context: typer.Context) -> None:
    """Say it where the definition's own version is out of support, or out of it soon."""
    try:
        version = settings(context).environment().version
    except MwaaLocalError:
        return  # `versions` is what such an error sends people to
    if version.ended is None:
        return
    days = (version.ended - date.today()).days
    when = "has ended" if days < 0 else f"ends in {days} days" if days <= _SOON_DAYS else ""
    if when:
        move = f"mwaa-local validate --target {catalog.default_version()}"
        output.warn(f"the support of Airflow {version.airflow}, which this project names, {when}: `{move}`")


def _packages(version: catalog.Version, *, json: bool) -> None:
    """What the image of a version holds; where the guide's list of providers differs, the image is right."""
    if json:
        output.emit_json(
            {"schema": "mwaa-local/packages/1", "airflow_version": version.airflow, "packages": dict(version.packages)}
        )
        return
    for name, pin in sorted(version.packages.items()):
        output.out.print(f"{name}=={pin}", markup=False, highlight=False)
