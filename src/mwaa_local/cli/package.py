"""What goes to the bucket, and what a change of requirements alters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mwaa_local.cli import output
from mwaa_local.cli.context import settings
from mwaa_local.errors import RequirementsError, UsageError


def register(app: typer.Typer) -> None:
    """Mount the commands."""
    app.command()(package)
    app.command()(diff)


def package(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")] = Path("dist"),
    wheels: Annotated[bool, typer.Option("--wheels", help="Every requirement as a wheel inside plugins.zip.")] = False,
    build: Annotated[
        bool, typer.Option("--build", help="Build wheels that no index has: in MWAA's image where Docker is.")
    ] = False,
    prove: Annotated[
        bool, typer.Option("--prove/--no-prove", help="Install the result with the network off, as MWAA would.")
    ] = True,
    airflow_version: Annotated[str | None, typer.Option(help="Airflow version; beats mwaa.yaml.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
) -> None:
    """Make plugins.zip, the same bytes each time, and with --wheels a requirements file that needs no network.

    Exit codes: 0 made (and proved), 1 it cannot be made or the proof failed.
    """
    from mwaa_local.preflight.packaging import build as packaging_build
    from mwaa_local.preflight.packaging import package as packaging
    from mwaa_local.preflight.resolving import resolve
    from mwaa_local.preflight.workspace import Workspace

    chosen = settings(context)
    if build and not wheels:
        raise UsageError("--build without --wheels has nothing to build", hint="add --wheels")
    flags = {**chosen.flags, **({"AirflowVersion": airflow_version} if airflow_version else {})}
    with Workspace(chosen.project, flags=flags, variables=chosen.variables) as workspace:
        environment = workspace.environment
        name = environment.local.image or f"mwaa-local:{environment.version.airflow}-{environment.local.base}"
        image = packaging_build.docker_image(name, resolve.prepare(workspace)) if build else None
        folder = out if out.is_absolute() else workspace.project / out
        made = packaging.package(
            workspace, folder, wheels=wheels, build=build, check=prove, image=image, emit=output.note,
        )  # fmt: skip
    proof = made.proof
    document: dict[str, Any] = {
        "archive": str(made.archive),
        "sha256": made.sha256,
        "bytes": made.size,
        "files": made.files,
        "requirements": str(made.requirements) if made.requirements else None,
        "wheels": made.wheels,
        "built": list(made.built),
        "proof": None
        if proof is None
        else {"ok": proof.ok, "network_off": proof.network_off, "seconds": round(proof.seconds, 1), "why": proof.why},
        "notes": list(made.notes),
    }
    for note in made.notes:
        output.warn(note)
    if json:
        output.emit_json(document)
    else:
        output.out.print(
            f"{made.archive}  {made.files} files, {output.human_bytes(made.size)}, sha256 {made.sha256[:16]}",
            markup=False,
        )
        if made.requirements:
            output.out.print(f"{made.requirements}  {len(made.wheels)} wheels for Linux x86_64", markup=False)
        if proof is not None and proof.ok:
            off = (
                "with the network off"
                if proof.network_off
                else "without an index; the network could not be switched off here"
            )
            output.out.print(f"Proved: pip installed {len(proof.installed)} packages {off}, in {proof.seconds:.0f} s")
    if proof is not None and not proof.ok:
        tried = proof.seconds > 0
        raise RequirementsError(
            "The package does not install" if tried else "The package is made, but not proved",
            where=str(made.requirements), why=proof.why,
            hint="run `mwaa-local validate requirements`" if tried else "use --no-prove, or run it on Linux x86_64",
        )  # fmt: skip


def diff(
    context: typer.Context,
    old: Annotated[Path, typer.Argument(help="A requirements file.")],
    new: Annotated[Path, typer.Argument(help="Another one.")],
    airflow_version: Annotated[str | None, typer.Option(help="Airflow version; beats mwaa.yaml.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON document.")] = False,
) -> None:
    """Show what changes in the installed versions from one requirements file to another.

    Exit codes: 0 both can be installed, whether or not they differ; 1 one of them cannot.
    """
    from mwaa_local.preflight.resolving import diff as resolve_diff
    from mwaa_local.preflight.workspace import Workspace

    chosen = settings(context)
    for path in (old, new):
        if not path.is_file():
            raise UsageError(f"there is no {path}", hint="name two requirements files")
    flags = {**chosen.flags, **({"AirflowVersion": airflow_version} if airflow_version else {})}
    with Workspace(chosen.project, flags=flags, variables=chosen.variables) as workspace:
        found = resolve_diff.diff(workspace, old.resolve(), new.resolve())
    if json:
        changes = [
            {"name": item.name, "before": item.before or None, "after": item.after or None} for item in found.changes
        ]
        output.emit_json(
            {"airflow": found.airflow, "old": str(old), "new": str(new), "changes": changes, "notes": list(found.notes)}
        )
        return
    for note in found.notes:
        output.warn(note)
    if not found.changes:
        output.out.print(f"Nothing changes on Airflow {found.airflow}")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("package", "before", "after"):
        table.add_column(title)
    for item in found.changes:
        table.add_row(item.name, item.before or "-", item.after or "removed")
    output.out.print(table)
