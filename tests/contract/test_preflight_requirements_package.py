"""`package --wheels` on a real base set and the real pip: the proof holds, and it fails when it should. Packages come from a folder."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from mwaa_local import catalog
from mwaa_local.errors import MachineError
from mwaa_local.model.cache import cache_folder
from mwaa_local.packages.base import ensure_base
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.sets import PackageSet
from mwaa_local.preflight.packaging import archive as packaging_archive
from mwaa_local.preflight.packaging import package as packaging
from mwaa_local.preflight.packaging import prove as packaging_prove
from mwaa_local.preflight.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "requirements"))
import corpus

# Builds a wheel without anything from an index.
BACKEND = """
import zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "source_only-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel_directory + "/" + name, "w") as archive:
        archive.writestr("source_only.py", "")
        archive.writestr("source_only-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: source-only\\nVersion: 1.0\\n")
        archive.writestr("source_only-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("source_only-1.0.dist-info/RECORD", "")
    return name
"""


@pytest.fixture(scope="module")
def base() -> PackageSet:
    try:
        found = ensure_base(catalog.version("3.2.1"), cache_folder(os.environ), environment=dict(os.environ))
    except (MachineError, UnmetRequirementsError) as error:
        pytest.skip(f"no base set: {error.what}")
    if found.minor != "3.12" or not packaging_prove.can_isolate():
        pytest.skip("the proof needs Python 3.12 and a network namespace")
    return found


@pytest.fixture
def project(tmp_path: Path, base: PackageSet) -> Path:
    folder = tmp_path / "project"
    corpus.make_home(folder)
    (folder / "plugins").rename(folder / "dags" / "wheels")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "hello.py").write_text("hello = 1\n")
    with tarfile.open(folder / "dags" / "wheels" / "source_only-1.0.tar.gz", "w:gz") as archive:
        for name, text in {
            "PKG-INFO": "Metadata-Version: 2.2\nName: source-only\nVersion: 1.0\n",
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "source-only"\nversion = "1.0"\n',
            "backend.py": BACKEND,
        }.items():
            entry = tarfile.TarInfo(f"source_only-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    (folder / "mwaa.yaml").write_text("Name: packaged\nAirflowVersion: 3.2.1\n")
    return folder


def workspace(project: Path, *lines: str) -> Workspace:
    head = "--find-links /usr/local/airflow/dags/wheels\n--no-index\n"
    (project / "requirements" / "requirements.txt").write_text(head + "".join(f"{line}\n" for line in lines))
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    kept = str(corpus.ROOT / "constraints")
    return Workspace(project, variables={**variables, "PIP_CONFIG_FILE": os.devnull, "MWAA_CONSTRAINTS_DIR": kept})


def test_wheels_are_packaged_and_installed_with_the_network_off(project: Path, tmp_path: Path) -> None:
    with workspace(project, "mwaa-corpus-app  # ours", "requests>=2 ; python_version > '3'", "boto3") as space:
        made = packaging.package(space, tmp_path / "dist", wheels=True)
    assert made.proof is not None and made.proof.ok and made.proof.network_off, made.proof
    assert made.wheels["mwaa-corpus-app"] == "mwaa_corpus_app-1.0-py3-none-any.whl"
    assert made.proof.installed["mwaa-corpus-lib"] == "2.1"
    with zipfile.ZipFile(made.archive) as archive:
        names = archive.namelist()
        pins = archive.read("packaged-constraints.txt").decode()
    assert {"hello.py", "packaged-constraints.txt", "mwaa_corpus_lib-2.1-py3-none-any.whl"} <= set(names)
    assert "boto3==1.42.84\n" in pins
    assert made.requirements is not None
    assert made.requirements.read_text().splitlines()[:3] == [
        "--find-links /usr/local/airflow/plugins",
        "--no-index",
        "--constraint /usr/local/airflow/plugins/packaged-constraints.txt",
    ]
    with workspace(project, "mwaa-corpus-app  # ours", "requests>=2 ; python_version > '3'", "boto3") as space:
        assert packaging.package(space, tmp_path / "again", wheels=True, check=False).sha256 == made.sha256


def test_what_has_no_wheel_is_named_and_built_on_request(project: Path, tmp_path: Path) -> None:
    with workspace(project, "mwaa-corpus-lib", "source-only") as space:
        with pytest.raises(packaging.NoWheelError, match=r"source-only 1\.0") as caught:
            packaging.package(space, tmp_path / "dist", wheels=True)
        assert "--build" in caught.value.hint
        assert not (tmp_path / "dist").exists()
        made = packaging.package(space, tmp_path / "dist", wheels=True, build=True)
    assert made.built == ("source-only",)
    assert made.proof is not None and made.proof.ok, made.proof


@pytest.mark.parametrize(
    ("line", "kind"), [("mwaa-corpus-native==1.0", "no-match"), ("apache-airflow==3.3.0", "conflict")]
)
def test_the_wrong_cpu_and_a_newer_airflow_never_get_in(project: Path, tmp_path: Path, line: str, kind: str) -> None:
    with workspace(project, line) as space, pytest.raises(UnmetRequirementsError) as caught:
        packaging.package(space, tmp_path / "dist", wheels=True)
    assert caught.value.kind == kind


def test_the_proof_reaches_no_index_and_finds_what_is_missing(base: PackageSet, tmp_path: Path) -> None:
    archive = tmp_path / "plugins.zip"
    packaging_archive.write(archive, [packaging_archive.Entry("a.py", b"")])
    given = tmp_path / "packaged-requirements.txt"
    version = catalog.version("3.2.1")
    given.write_text("humanize-no-such-thing==1\n")
    assert "No matching distribution" in packaging_prove.prove(archive, given, base, version, {}).why
    given.write_text("--no-index\nrequests\n")
    proof = packaging_prove.prove(archive, given, base, version, {"pandas": "2.3.3"})
    assert not proof.ok and "pandas missing" in proof.why


def test_the_command_tells_what_it_made(project: Path, tmp_path: Path) -> None:
    with workspace(project, "mwaa-corpus-app") as space:
        env = {**space.variables}
    program = Path(sys.executable).parent / "mwaa-local"
    argv = [str(program), "--project", str(project), "package", "--wheels", "--json", "--out", str(tmp_path / "out")]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["proof"]["ok"] and told["proof"]["network_off"] and Path(told["archive"]).is_file()
    (tmp_path / "new.txt").write_text("--find-links /usr/local/airflow/dags/wheels\n--no-index\nmwaa-corpus-lib==2.0\n")
    old = project / "requirements" / "requirements.txt"
    argv = [str(program), "--project", str(project), "diff", "--json", str(old), str(tmp_path / "new.txt")]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    changes = {item["name"]: (item["before"], item["after"]) for item in json.loads(done.stdout)["changes"]}
    assert changes == {"mwaa-corpus-app": ("1.0", None), "mwaa-corpus-lib": ("2.1", "2.0")}
