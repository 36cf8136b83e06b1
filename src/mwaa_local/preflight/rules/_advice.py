"""What there is in a workspace and its package set, for advice about a failed import."""

from __future__ import annotations

import weakref

from mwaa_local.preflight.advice import advice
from mwaa_local.preflight.advice.facts import Facts
from mwaa_local.preflight.imports import ImportProblem
from mwaa_local.preflight.workspace import Workspace

_known: weakref.WeakKeyDictionary[Workspace, Facts] = weakref.WeakKeyDictionary()


def facts(workspace: Workspace) -> Facts:
    """What advice is decided from, read once per workspace."""
    if workspace not in _known:
        package_set = workspace.imports.package_set
        site = next(package_set.python.parent.parent.glob("lib/python*/site-packages"), None) if package_set else None
        _known[workspace] = Facts(
            airflow=workspace.version.airflow,
            python=site.parent.name.removeprefix("python") if site else workspace.version.python,
            project=workspace.project,
            dags=workspace.environment.workflow.dags,
            plugins=workspace.plugins_folder,
            site_packages=site,
        )
    return _known[workspace]


def waits_for_requirements(workspace: Workspace, problem: ImportProblem) -> str:
    """The module that requirements.txt may bring, where it could not be installed; empty where that is no reason."""
    package_set = workspace.imports.package_set
    if package_set is None or package_set.requirements is not False:
        return ""
    return advice.foreign_module(
        advice.Raised(problem.text, problem.file, problem.line, problem.last[0] if problem.last else None),
        facts(workspace),
    )


def of(workspace: Workspace, problem: ImportProblem) -> str:
    """What to do about a failed import."""
    last = problem.last[0] if problem.last else None
    return advice.advise(
        advice.Raised(problem.message or problem.text, problem.file, problem.line, last), facts(workspace)
    )
