"""What this machine has, what is missing, what to do."""

from __future__ import annotations

import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mwaa_local import catalog
from mwaa_local.cli import output
from mwaa_local.cli.context import Settings, settings
from mwaa_local.errors import MwaaLocalError, UsageError
from mwaa_local.packages import child

_GIB = 2**30
_NEEDED_DISK = 4 * _GIB
_NEEDED_MEMORY = 2 * _GIB


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``state`` is ``ok``, ``warning`` or ``missing``."""

    subject: str
    state: str
    detail: str
    action: str = ""


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command()(doctor)


def doctor(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
    state: Annotated[
        bool, typer.Option("--state", help="Look at the environment's data instead: what is sound, what is damaged.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="With --state: mend what can be mended, after a copy of everything.")
    ] = False,
) -> None:
    """Look at this machine: Python, engines, disk, memory, ports, registries. Exit code 1 when no engine can run.

    With --state, look at the environment's data, without changing them. Exit code 1 when something is damaged.
    """
    chosen = settings(context)
    if repair and not state:
        raise UsageError("--repair goes with --state", hint="mwaa-local doctor --state --repair")
    if state:
        raise typer.Exit(_state(chosen, json=json, repair=repair))
    findings = list(_look(chosen))
    usable = any(finding.subject.endswith("engine") and finding.state != "missing" for finding in findings)
    if json:
        output.emit_json(
            {"schema": "mwaa-local/doctor/1", "usable": usable, "findings": [vars(finding) for finding in findings]}
        )
    else:
        marks = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "missing": "[red]✗[/]"}
        for finding in findings:
            output.out.print(f"{marks[finding.state]} [bold]{escape(finding.subject)}[/]: {escape(finding.detail)}")
            if finding.action:
                output.out.print(f"    {finding.action}", markup=False)
    raise typer.Exit(0 if usable else 1)


def _state(chosen: Settings, *, json: bool, repair: bool) -> int:
    """Say what is damaged, and mend it if asked to; the exit code."""
    from mwaa_local.engines.layout import Layout
    from mwaa_local.engines.process import site, soundness

    environment = chosen.environment()
    layouts = Layout(environment.state), site.layout_of(environment)
    found = soundness.look_whole(*layouts)
    looked, left = list(found.looked_at), [_damage(one) for one in found.findings]
    done: list[str] = []
    copies: list[str] = []
    if repair and any(one.repair for one in found.findings):
        mended = soundness.repair_whole(*layouts)
        copies, done = list(map(str, mended.copies)), list(mended.done)
        left = [_damage(one) for one in mended.left]
    if found.engine == "docker":
        from mwaa_local.engines.docker.engine import DockerEngine

        volume = DockerEngine(environment, chosen.variables).endpoint_state(repair=repair)
        way = soundness.ENDPOINT_REPAIR
        left += [{**one, "repair": way} for one in volume.get("damage", ())]
        done += volume.get("repaired", ())
        copies += [volume["copy"]] if volume.get("copy") else []
        looked += [f"AWS endpoint: its volume ({', '.join(volume['kept']) or 'nothing yet'})"] if volume else []
    if json:
        output.emit_json(
            {
                "schema": "mwaa-local/state/1",
                "sound": not left,
                "engine": found.engine,
                "looked_at": looked,
                "not_looked_at": list(found.passed_over),
                "damage": left,
                "repaired": done,
                "copies": copies,
            }
        )
        return 1 if left else 0
    for line in looked:
        output.out.print(f"[green]✓[/] {escape(line)}")
    for line in found.passed_over:
        output.out.print(f"[yellow]![/] {escape(line)}")
    for copy in copies:
        output.out.print(f"a copy of everything as it was: {copy}", markup=False)
    for line in done:
        output.out.print(f"[green]mended[/] {escape(line)}")
    for one in left:
        place = f"{one['path']}:{one['line']}" if one["line"] else one["path"]
        output.out.print(f"[red]✗[/] {escape(place)}: {escape(one['what'])}")
        repairable = f"--repair {one['repair']}"
        way = repairable if one["repair"] else "restore it from a backup, or `mwaa-local reset` begins anew"
        output.out.print(f"    {way}", markup=False)
    if not left:
        output.out.print("the environment's data are sound" if looked else "there are no data of this environment here")
    return 1 if left else 0


def _damage(one: Any) -> dict[str, Any]:
    return {"path": str(one.damage.path), "line": one.damage.line, "what": one.damage.what, "repair": one.repair}


def _look(chosen: Settings) -> Iterator[Finding]:
    yield Finding(
        "system",
        "ok",
        f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}",
    )
    for check in (_disk, _memory):
        yield check(chosen.project.resolve())
    yield from _definition(chosen)
    yield _process_engine(chosen)
    yield _docker_engine(chosen)
    yield from _tools(chosen.variables)


def _disk(project: Path) -> Finding:
    free = shutil.disk_usage(project).free
    text = f"{free / _GIB:.1f} GiB free in {project}"
    if free < _NEEDED_DISK:
        return Finding("disk", "warning", text, f"about {_NEEDED_DISK // _GIB} GiB are needed for packages and data")
    return Finding("disk", "ok", text)


def _memory(_: Path) -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    text = f"{memory.available / _GIB:.1f} GiB available of {memory.total / _GIB:.1f}"
    if memory.available < _NEEDED_MEMORY:
        return Finding(
            "memory",
            "warning",
            text,
            f"an idle environment takes about 1.3 GB; {_NEEDED_MEMORY // _GIB} GiB is comfortable",
        )
    return Finding("memory", "ok", text)


def _definition(chosen: Settings) -> Iterator[Finding]:
    try:
        environment = chosen.environment()
    except MwaaLocalError as error:
        yield Finding("definition", "missing", error.what, f"{error.where}: {error.why} {error.hint}")
        return
    yield Finding(
        "definition",
        "ok",
        f"{environment.name}, Airflow {environment.version.airflow}, {environment.environment_class.name}",
    )
    for name, port in (("web", environment.local.ports.web), ("aws", environment.local.ports.aws)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.settimeout(0.5)
            taken = probe.connect_ex(("127.0.0.1", port)) == 0
        if taken:
            yield Finding(
                f"port {port}",
                "warning",
                f"something answers on the {name} port",
                "fine if it is this environment; else another port is taken",
            )


def _process_engine(chosen: Settings) -> Finding:
    from mwaa_local.model.cache import cache_folder
    from mwaa_local.packages import find_python

    try:
        version = chosen.environment().version
    except MwaaLocalError:
        version = catalog.version(catalog.default_version())
    if sys.platform == "win32":
        return Finding("process engine", "missing", "Windows has no process engine", "use WSL 2, or Docker")
    if shutil.which("bash") is None:
        return Finding("process engine", "missing", "bash is not installed", "install bash: startup scripts need it")
    try:
        found = find_python(version, environment=chosen.variables, cache=cache_folder(chosen.variables))
    except MwaaLocalError as error:
        return Finding("process engine", "missing", f"{error.what}: {error.why}", error.hint)
    if found.warning:
        return Finding("process engine", "warning", found.warning)
    return Finding("process engine", "ok", f"Python {found.version} for Airflow {version.airflow} at {found.path}")


def _docker_engine(chosen: Settings) -> Finding:
    from mwaa_local.engines.docker.engine import why_unusable

    try:
        reason = why_unusable(chosen.environment(), chosen.variables)
    except MwaaLocalError as error:
        reason = error.what
    if reason:
        return Finding("docker engine", "missing", reason, "docs/how-to/air-gapped.md; or use the process engine")
    return Finding("docker engine", "ok", "a daemon answers and the images exist or can be built")


def _tools(variables: Mapping[str, str]) -> Iterator[Finding]:
    wanted: tuple[tuple[str, list[str], Callable[[str], str]], ...] = (
        ("docker compose", ["docker", "compose", "version", "--short"], str.strip),
        ("aws", ["aws", "--version"], lambda text: text.split()[0] if text else ""),
        ("shellcheck", ["shellcheck", "--version"], lambda text: " ".join(text.split()[5:7])),
    )
    for name, argv, read in wanted:
        program = child.program(argv[0])
        if program is None:
            yield Finding(name, "warning", "not installed", "optional")
            continue
        try:
            done = child.ask([program, *argv[1:]], env=variables, timeout_s=10)
        except OSError as error:
            yield Finding(name, "warning", str(error), "optional")
            continue
        said = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).decode("utf-8", "replace")
        if done.returncode:
            yield Finding(name, "warning", (said.strip().splitlines() or ["fails"])[-1], "optional")
        else:
            yield Finding(name, "ok", read(said))
