"""Small workspaces for the tests of preflight rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mwaa_local.preflight import registry
from mwaa_local.preflight.findings import Hit, Unchecked
from mwaa_local.preflight.imports import Access, FileImport, ImportProblem, Imports
from mwaa_local.preflight.sets import PackageSet
from mwaa_local.preflight.workspace import Workspace

DAG = """from datetime import datetime

from airflow.sdk import DAG

with DAG("one", schedule=None, start_date=datetime(2024, 1, 1)):
    pass
"""


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Make the files of a workspace."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
    return folder


def workspace(folder: Path, files: Mapping[str, str | bytes], version: str = "3.2.1") -> Workspace:
    """A workspace whose files are imported nowhere; its `imports` say that nothing went wrong."""
    made = Workspace(write(folder, files), flags={"AirflowVersion": version} if version else {})
    made.__dict__["imports"] = Imports(None)
    return made


def imported(
    space: Workspace,
    name: str,
    *,
    problems: tuple[ImportProblem, ...] = (),
    accesses: tuple[Access, ...] = (),
    dags: tuple[dict[str, object], ...] = (),
    seconds: float = 0.1,
    late: bool = False,
) -> None:
    """Pretend that a DAG file was imported with a certain result."""
    path = space.project / name
    known = dict(space.imports.dags)
    known[path] = FileImport(str(path), seconds, late, problems, accesses, dags)
    space.__dict__["imports"] = Imports(PackageSet(Path("python"), True), dags=known)


def outcomes(rule_id: str, space: Workspace) -> list[Hit | Unchecked]:
    """What a rule says."""
    return list(registry.rule(rule_id).check(space))


def hits(rule_id: str, space: Workspace) -> list[Hit]:
    """What a rule finds."""
    return [item for item in outcomes(rule_id, space) if isinstance(item, Hit)]


def script(text: str) -> dict[str, str]:
    """A workspace with a startup script."""
    return {"startup/startup.sh": text}


def options(**values: str) -> dict[str, str]:
    """A definition with configuration options; `__` stands for the dot."""
    lines = "".join(f'  {key.replace("__", ".")}: "{value}"\n' for key, value in values.items())
    return {"mwaa.yaml": f"AirflowConfigurationOptions:\n{lines}"}
