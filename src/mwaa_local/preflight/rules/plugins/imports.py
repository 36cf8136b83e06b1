"""PLG008: a plugin that cannot be imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mwaa_local.preflight.advice import advice
from mwaa_local.preflight.findings import Area, Hit, Severity, Unchecked
from mwaa_local.preflight.imports import ImportProblem
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.rules import _advice, _exports
from mwaa_local.preflight.workspace import Workspace


def check(workspace: Workspace) -> Iterator[Hit | Unchecked]:
    source = workspace.plugins
    if source is None or not source.python:
        return
    imports = workspace.imports
    yield from imports.unchecked
    where: dict[tuple[Path | None, str], list[tuple[str, ImportProblem]]] = {}
    for component, result in imports.plugins.items():
        for problem in result.problems:
            where.setdefault((problem.file, problem.text), []).append((component, problem))
    for (file, text), found in where.items():
        # A plugin may fail several times in one component: for its file and for what imports it.
        components = sorted({component for component, _ in found})
        everywhere = (
            "in every component" if len(components) == len(imports.plugins) else f"in {' and '.join(components)}"
        )
        if _advice.waits_for_requirements(workspace, found[0][1]):
            yield Unchecked(
                f"plugin {workspace.relative(file) if file else ''}".strip(),
                f"it needs a package and requirements.txt could not be installed ({text})",
                "mend requirements.txt first",
            )
            continue
        unsettled = _exports.doubt(workspace, found[0][1], file, components[0])
        if unsettled is not None:
            yield unsettled
            continue
        yield Hit(
            f"the plugin cannot be imported {everywhere}: {advice.told(found[0][1].message or text)}",
            file or source.path,
            found[0][1].line,
            fix=_exports.advice(workspace, found[0][1], file, components[0]) or _advice.of(workspace, found[0][1]),
            key=text,
        )


RULE = Rule(
    id="PLG008",
    severity=Severity.ERROR,
    area=Area.PLUGINS,
    title="Plugin fails to import",
    why=(
        "a broken plugin does not stop MWAA; it is listed as an import error and everything it brings is "
        "missing. Checked by a real import on this Airflow version, as scheduler, worker and web server"
    ),
    source="spec/04 section 11",
    fix="Mend what the plugin raises while it is imported",
    check=check,
)
