"""A checked-out project is material to look at: what `validate` runs of it, and what it never runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from preflight_sets import base_python

from mwaa_local.model.cache import cache_folder

pytestmark = pytest.mark.contract
VERSION = "3.2.1"
SHADOWS = (
    "pip", "site", "json", "os", "sitecustomize", "usercustomize", "encodings", "setuptools", "airflow", "mwaa_local",
    "yaml", "typer", "uv", "subprocess", "tempfile", "mwaa_inside_guards",
)  # fmt: skip
BACKEND = """
import os, pathlib, tarfile, zipfile
{mark}
INFO = "Metadata-Version: 2.1\\nName: sourced\\nVersion: 1.0\\n"
def get_requires_for_build_wheel(config_settings=None):
    return []
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = pathlib.Path(folder, "sourced-1.0.dist-info"); info.mkdir()
    (info / "METADATA").write_text(INFO)
    return info.name
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "sourced-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("sourced.py", "")
        archive.writestr("sourced-1.0.dist-info/METADATA", INFO)
        archive.writestr("sourced-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("sourced-1.0.dist-info/RECORD", "")
    return name
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that runs into the hands of whoever stands in it; what is run leaves a mark."""
    base_python(VERSION)
    folder, marks = tmp_path / "project", tmp_path / "marks"
    marks.mkdir()

    def mark(name: str) -> str:
        return f"open({str(marks / name)!r}, 'w').close()\n"

    def write(name: str, text: str) -> Path:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        return place

    for name in SHADOWS:
        write(f"{name}.py", mark(f"shadow-{name}"))
    write("evil.pth", f"import os; {mark('pth')}")
    for name in (".venv/bin/python", ".venv/bin/python3", "ruff", "git", "bash", "shellcheck"):
        write(name, f"#!/bin/sh\n: > {marks}/program-{name.replace('/', '-')}\n").chmod(0o755)
    write(".venv/pyvenv.cfg", "home = /nowhere\n")
    write(".python-version", "2.7.1\n")
    for name in ("pyproject.toml", "uv.toml", "ruff.toml", "setup.cfg", "pip.conf", ".shellcheckrc"):
        write(name, "this is = not [ readable\n")
    write("rc", f": > {marks}/rc\n")
    write("mwaa.yaml", f"AirflowVersion: {VERSION}\n")
    write("dags/d.py", f"# airflow dag\n{mark('dag')}")
    write("plugins/p.py", mark("plugin"))
    write("startup/startup.sh", f"export STAGE=dev\n: > {marks}/startup\n")
    write("requirements/requirements.txt", "--no-index\n--find-links /usr/local/airflow/plugins\nsourced==1.0\n")
    source = tmp_path / "sourced-1.0"
    source.mkdir()
    (source / "backend.py").write_text(BACKEND.format(mark=mark("build")))
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    with tarfile.open(folder / "plugins/sourced-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, "sourced-1.0")
    return folder


def validate(project: Path, *words: str) -> tuple[dict[str, object], set[str], str]:
    home = project / "home"
    home.mkdir(exist_ok=True)
    env = {
        "PATH": f".::{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "MWAA_LOCAL_CACHE_DIR": str(cache_folder(os.environ)),
        "BASH_ENV": str(project / "rc"),
        "LANG": "C.UTF-8",
    }
    command = [str(Path(sys.executable).with_name("mwaa-local")), "validate", "--format", "json", *words]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=250, check=False)
    assert done.stdout, done.stderr
    marks = {path.name for path in (project.parent / "marks").iterdir()}
    return json.loads(done.stdout), marks, done.stderr


@pytest.mark.parametrize("resolver", ["uv", "pip"])
def test_what_shadows_a_module_is_not_run(project: Path, resolver: str) -> None:
    """DAG files, plugins and builds of source archives are what runs, and nothing else that lies there."""
    (project / "mwaa.yaml").write_text(f"AirflowVersion: {VERSION}\nLocal:\n  Resolver: {resolver}\n")
    report, marks, _ = validate(project)
    assert marks == {"dag", "plugin", "build"}
    assert not [item for item in report["unchecked"] if not item["brief"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("resolver", ["uv", "pip"])
def test_an_untrusted_project_runs_nothing(project: Path, resolver: str) -> None:
    (project / "mwaa.yaml").write_text(f"AirflowVersion: {VERSION}\nLocal:\n  Resolver: {resolver}\n")
    (project / "startup/startup.sh").write_text(
        f"export PIP_CERT={project}/rc\nexport PIP_PROXY=http://127.0.0.1:9\nexport GIT_SSH_COMMAND='touch x'\n"
    )
    with (project / "requirements/requirements.txt").open("a") as file:
        file.write("here @ file:///usr/local/airflow/plugins/here\nother @ git+https://127.0.0.1:9/other.git\n")
    here = project / "plugins/here"
    here.mkdir()
    (here / "setup.py").write_text(f"open({str(project.parent / 'marks/setup')!r}, 'w').close()\n")
    report, marks, _ = validate(project, "--untrusted", "--fix", "--diff")
    assert marks == set()
    assert any("--untrusted" in note for note in report["notes"])  # type: ignore[attr-defined]
    told = {item["what"] for item in report["unchecked"]}  # type: ignore[attr-defined]
    assert told >= {"imports of DAGs and plugins", "packages that come as source"}
    assert not [item for item in report["findings"] if item["rule"].startswith("REQ00")]  # type: ignore[attr-defined]


def test_an_untrusted_project_is_checked_as_far_as_reading_goes(project: Path) -> None:
    (project / "requirements/requirements.txt").write_text("")
    (project / "dags/d.py").write_text("# airflow dag\nx = (\n")
    report, _, _ = validate(project, "--untrusted")
    assert {item["rule"] for item in report["findings"]} >= {"DAG001"}  # type: ignore[attr-defined]
    assert report["exit_code"] == 1
    (project / "dags/d.py").write_text("# airflow dag\n")
    report, _, _ = validate(project, "--untrusted", "dags")
    assert report["exit_code"] == 0, "what the caller switched off is named, and is no failure"
    assert report["unchecked"]
