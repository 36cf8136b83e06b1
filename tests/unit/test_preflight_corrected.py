"""DAG files are imported although requirements.txt cannot be installed: with what --fix would write, else the base set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from preflight_support import DAG, imported, outcomes, workspace, write

from mwaa_local.model import Environment
from mwaa_local.preflight import imports, run
from mwaa_local.preflight.findings import Area, Hit, Unchecked
from mwaa_local.preflight.imports import FileImport, ImportProblem, Imports
from mwaa_local.preflight.resolving import fix as resolve_fix
from mwaa_local.preflight.resolving.fix import Change, Fix
from mwaa_local.preflight.sets import PackageSet
from mwaa_local.preflight.workspace import Workspace

FILES = {"dags/d.py": DAG, "requirements/requirements.txt": "x==9\n-c /usr/local/airflow/requirements/mine.txt\n"}


@pytest.mark.parametrize(("verified", "installs", "corrected"), [(True, True, True), (True, False, False), (False, True, False)])  # fmt: skip
def test_what_fix_would_write_is_installed(
    verified: bool, installs: bool, corrected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def locate(environment: Environment, _variables: Mapping[str, str], _exports: Mapping[str, str]) -> PackageSet:
        text = environment.workflow.requirements.read_text()
        seen.append(text)
        if "x==9" in text:
            return PackageSet(Path("base"), False, problem="there is no x 9")
        assert (environment.workflow.requirements.parent / "mine.txt").read_text() == "y==1\n"
        return PackageSet(Path("made"), True) if installs else PackageSet(Path("base"), False, problem="another")

    def fix(space: Workspace) -> Fix:
        file = space.environment.workflow.requirements
        change = Change(1, "x==9", "x==1", "there is no x 9")
        return Fix(file, file.read_text(), file.read_text().replace("x==9", "x==1"), (change,), (), verified)

    def pretend(package_set: PackageSet, request: imports.Request, progress: object = None) -> Imports:
        return Imports(
            package_set, dags={Path(path): FileImport(str(path), 0, False, (), ()) for path in request.files or ()}
        )

    monkeypatch.setattr(resolve_fix, "fix", fix)
    monkeypatch.setattr(imports, "run", pretend)
    write(tmp_path, {**FILES, "requirements/mine.txt": "y==1\n"})
    report = run.validate(run.Request(tmp_path, areas=(Area.DAGS,), locate=locate))
    assert ["x==1" in text for text in seen] == ([False, True] if verified else [False])
    (note,) = report.notes
    assert ("with what --fix would write instead of requirements.txt" in note) is corrected
    assert ("without requirements.txt" in note) is not corrected
    assert "there is no x 9" in note
    assert (tmp_path / "requirements/requirements.txt").read_text() == FILES["requirements/requirements.txt"]


def test_a_correction_without_a_change_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def locate(environment: Environment, _variables: Mapping[str, str], _exports: Mapping[str, str]) -> PackageSet:
        asked.append(environment.workflow.requirements.read_text())
        return PackageSet(Path("base"), False, problem="there is no x 9")

    def fix(space: Workspace) -> Fix:
        file = space.environment.workflow.requirements
        return Fix(file, file.read_text(), file.read_text(), (), (), True)

    monkeypatch.setattr(resolve_fix, "fix", fix)
    monkeypatch.setattr(imports, "run", lambda package_set, request, progress=None: Imports(package_set))
    run.validate(run.Request(write(tmp_path, FILES), areas=(Area.DAGS,), locate=locate))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ModuleNotFoundError: No module named 'snowflake'", Unchecked),
        ("ModuleNotFoundError: No module named 'airflow.providers.snowflake'", Unchecked),
        ("ImportError: cannot import name 'New' from 'airflow.providers.amazon.aws.hooks.s3' (x.py)", Unchecked),
        ("AttributeError: module 'pandas' has no attribute 'new'", Unchecked),
        ("ModuleNotFoundError: No module named 'dags'", Hit),
        ("ModuleNotFoundError: No module named 'helpers'", Hit),
        ("ModuleNotFoundError: No module named 'airflow.nonsense'", Hit),
        ("ModuleNotFoundError: No module named 'distutils'", Hit),
        ("NameError: name 'x' is not defined", Hit),
        ("ValueError: bad", Hit),
    ],
)
def test_only_what_packages_decide_waits_for_them(text: str, kind: type, tmp_path: Path) -> None:
    space = workspace(tmp_path, {"dags/d.py": "# airflow dag\n", "dags/team/helpers.py": "", "plugins/p.py": "x = 1\n"})
    problem = ImportProblem(text, tmp_path / "dags/d.py", 1)
    imported(space, "dags/d.py", problems=(problem,))
    failed = PackageSet(Path("python"), False, problem="a conflict")
    plugins = {"worker": FileImport("worker", 0, False, (ImportProblem(text, tmp_path / "plugins/p.py", 1),), ())}
    space.__dict__["imports"] = Imports(failed, dags=space.imports.dags, plugins=plugins)
    assert [type(item) for item in outcomes("DAG002", space)] == [kind]
    assert [type(item) for item in outcomes("PLG008", space)] == [kind]
