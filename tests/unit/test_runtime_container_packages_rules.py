"""Packages of one component: what pip is told, and what gives way to requirements.txt."""

from __future__ import annotations

from pathlib import Path

import pytest
from runtime_support import process_variables

from mwaa_airflow import sitecustomize
from mwaa_local.runtime import container_packages
from mwaa_local.runtime.reading import read_inputs


@pytest.mark.parametrize(
    ("words", "pip"),
    [
        ("python -m pip install x", True), ("python3 -I -m pip list", True), ("python /x/bin/pip3.12 install x", True),
        ("python x.py pip", False), ("python -m venv pip", False), ("python", False), ("python /x/__pip-runner__.py install", False),
    ],
)  # fmt: skip
def test_who_runs_pip(words: str, pip: bool) -> None:
    assert sitecustomize.is_pip(words.split()) is pip


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("install x", "install --prefix /p x"),
        ("-q install --user x", "-q install --prefix /p x"),
        ("install -t /x y", "install -t /x y"),
        ("install --target=/x y", "install --target=/x y"),
        ("list", "list"),
    ],
)
def test_what_pip_is_told(given: str, told: str) -> None:
    assert sitecustomize.arguments(given.split(), "/p") == told.split()


def test_requirements_come_later_and_stay(tmp_path: Path) -> None:
    inputs = read_inputs("worker", process_variables(tmp_path))
    assert sitecustomize.FOLDER == container_packages.FOLDER
    site = inputs.home / container_packages.FOLDER / "lib/python3.12/site-packages"
    for name, module in (("My_Tool", "tool"), ("other", "other")):
        (site / f"{name}-1.0.dist-info").mkdir(parents=True)
        (site / f"{module}.py").write_text("")
        (site / f"{name}-1.0.dist-info" / "RECORD").write_text(f"{module}.py,,\n../../../../../outside,,\n")
    (tmp_path / "outside").write_text("")
    assert container_packages.installed(inputs) == {"my-tool": "1.0", "other": "1.0"}
    assert container_packages.give_way(inputs, ["my.tool", "absent"]) == ["my-tool"]
    assert container_packages.installed(inputs) == {"other": "1.0"}
    assert not (site / "tool.py").exists()
    assert (site / "other.py").exists()
    assert container_packages.with_commands(inputs, "/bin") == "/bin"
    (inputs.home / container_packages.FOLDER / "bin").mkdir()
    assert container_packages.with_commands(inputs, "/bin").endswith(f"{container_packages.FOLDER}/bin:/bin")
    container_packages.clear(inputs)
    assert container_packages.installed(inputs) == {}


def test_a_component_begins_without_any_whether_there_were_some_or_not(tmp_path: Path) -> None:
    given = read_inputs("worker", process_variables(tmp_path))
    container_packages.clear(given)
    folder = given.home / container_packages.FOLDER
    assert container_packages.with_commands(given, "/bin") == "/bin"
    assert container_packages.installed(given) == {}
    (folder / "bin").mkdir(parents=True)
    assert container_packages.with_commands(given, "/bin") == f"{folder}/bin:/bin"
    container_packages.clear(given)
    assert not folder.exists()


def test_files_outside_of_the_folder_are_never_removed(tmp_path: Path) -> None:
    given = read_inputs("worker", process_variables(tmp_path))
    site = given.home / container_packages.FOLDER / "lib" / "python3.12" / "site-packages"
    info = site / "My_Tool-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "my_tool.py").touch()
    outside = tmp_path / "outside.py"
    outside.touch()
    up = "../" * len(site.relative_to(tmp_path).parts)
    (info / "RECORD").write_text(f"my_tool.py,sha256=x,1\n{up}outside.py,,\nMy_Tool-1.0.dist-info/RECORD,,\n")
    assert container_packages.installed(given) == {"my-tool": "1.0"}
    assert container_packages.give_way(given, ["other"]) == []
    assert container_packages.give_way(given, ["my.tool"]) == ["my-tool"]
    assert not (site / "my_tool.py").exists() and not info.exists()
    assert outside.exists()
    (site / "bare-2.dist-info").mkdir()
    assert container_packages.give_way(given, ["bare"]) == ["bare"], "one without a list of its files goes too"
