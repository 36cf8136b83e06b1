"""What is asked of the package sets for a check: which variables, paths and limits, and what a failure becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from preflight_support import write

import mwaa_local.packages
from mwaa_local.model import load
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.sets import PackageSet as InstalledSet
from mwaa_local.preflight import sets


class Packages:
    """Remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.base = InstalledSet(folder / "base", "b", "3.2.1", "3.12.1", "base", "b")
        self.made = InstalledSet(folder / "made", "m", "3.2.1", "3.12.1", "requirements", "b")
        self.asked: dict[str, Any] = {}
        self.based: dict[str, Any] = {}
        self.error: UnmetRequirementsError | None = None

    def ensure_base(self, version: Any, cache: Path, **more: Any) -> InstalledSet:
        self.based = {"version": version.airflow, "cache": cache, **more}
        more["emit"]("base")
        return self.base

    def ensure(self, version: Any, file: Path, **more: Any) -> InstalledSet:
        self.asked = {"version": version.airflow, "file": file, **more}
        if self.error is not None:
            raise self.error
        return self.made


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    made = Packages(tmp_path)
    monkeypatch.setattr(mwaa_local.packages, "ensure", made.ensure)
    monkeypatch.setattr(mwaa_local.packages, "ensure_base", made.ensure_base)
    return made


def located(folder: Path, variables: dict[str, str], told: list[str] | None = None) -> sets.PackageSet:
    environment = load(folder, flags={"AirflowVersion": "3.2.1"}, variables={})
    emit = (told if told is not None else []).append
    return sets.locator(folder / "cache", emit)(environment, variables, {"EXPORTED": "by the script", "A": "script"})


def test_without_a_file_the_base_set_is_it(tmp_path: Path, packages: Packages) -> None:
    told: list[str] = []
    assert located(tmp_path, {"A": "1"}, told) == sets.PackageSet(packages.base.interpreter, None)
    assert (packages.asked, told) == ({}, ["base"])
    assert packages.based["cache"] == tmp_path / "cache"
    assert packages.based["environment"]["A"] == "1"


def test_a_file_is_installed_as_mwaa_would_see_it(tmp_path: Path, packages: Packages) -> None:
    write(tmp_path, {
        "requirements/requirements.txt": "a==1\n",
        "mwaa.yaml": "AirflowConfigurationOptions: {foo.user: me}\nLocal: {Resolver: pip}\n",
    })  # fmt: skip
    variables = {"A": "user", "MWAA_CONSTRAINTS_DIR": "/constraints", "UV_HTTP_RETRIES": "7"}
    assert located(tmp_path, variables) == sets.PackageSet(packages.made.interpreter, True)
    asked = packages.asked
    assert asked["file"] == tmp_path / "requirements/requirements.txt"
    assert (asked["base"], asked["cache"], asked["resolver"]) == (packages.base, tmp_path / "cache", "pip")
    assert asked["constraints_dir"] == Path("/constraints")
    assert asked["path_map"] == {
        f"/usr/local/airflow/{name}": tmp_path / name for name in ("dags", "plugins", "requirements")
    }
    given = asked["environment"]
    assert (given["A"], given["EXPORTED"], given["AIRFLOW__FOO__USER"]) == ("script", "by the script", "me")
    # An index that does not answer holds a check up less; the user's own word counts more.
    assert (given["UV_HTTP_TIMEOUT"], given["UV_HTTP_CONNECT_TIMEOUT"], given["UV_HTTP_RETRIES"]) == ("15", "5", "7")


@pytest.mark.parametrize("variables", [{}, {"MWAA_CONSTRAINTS_DIR": ""}])
def test_no_folder_of_constraints(tmp_path: Path, packages: Packages, variables: dict[str, str]) -> None:
    write(tmp_path, {"requirements/requirements.txt": "a==1\n"})
    located(tmp_path, variables)
    assert packages.asked["constraints_dir"] is None


@pytest.mark.parametrize(
    ("why", "problem"),
    [("", "it fails"), ("a conflict", "it fails (a conflict)"), ("x" * 600, "it fails (" + "x" * 490)],
)
def test_a_failure_leaves_the_base_set_and_its_words(
    tmp_path: Path, packages: Packages, why: str, problem: str
) -> None:
    write(tmp_path, {"requirements/requirements.txt": "a==1\n"})
    packages.error = UnmetRequirementsError("it fails", kind="conflict", why=why)
    assert located(tmp_path, {}) == sets.PackageSet(packages.base.interpreter, False, "", problem)


def test_another_python_is_said(tmp_path: Path, packages: Packages) -> None:
    packages.base = InstalledSet(tmp_path / "base", "b", "3.2.1", "3.11.9", "base", "b")
    assert located(tmp_path, {}).note == "on Python 3.11, since Python 3.12 is not on this machine"
    write(tmp_path, {"requirements/requirements.txt": "a==1\n"})
    assert "Python 3.11" in located(tmp_path, {}).note
