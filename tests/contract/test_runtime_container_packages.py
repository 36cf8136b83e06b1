"""pip in a component: what a startup script installs is the component's own; the shared set is never changed."""

from __future__ import annotations

import ensurepip
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_runtime_namespace import namespaces_allowed
from test_runtime_paths import CLOSED, Machine

from mwaa_local.packages import ensure, ensure_base
from mwaa_local.runtime import container_packages
from packages_support import HERE, tiny_version, wheel

MODES = [
    pytest.param("mount", marks=pytest.mark.skipif(not namespaces_allowed(), reason="no mount namespace")),
    "folder",
]
FORMS = (
    "pip install",
    "pip3 install --user",
    "python3 -m pip install",
    "python -m pip -q install",
    '"$(command -v pip3)" install',
)


def digest(folder: Path) -> dict[str, str]:
    """Every file of a package set with its content's hash; byte code and what only the first use writes apart."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


class MachineWithPip(Machine):
    """As MWAA's image, its base set has pip: the one that Python brings along."""

    def __init__(self, path: Path, python: str) -> None:
        self.path, self.python, self.cache = path, python, path / "cache"
        (path / "wheels").mkdir()
        (bundled,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
        shutil.copy(bundled, path / "wheels")
        version = tiny_version({"tiny-core": "1.0", "pip": bundled.name.split("-")[1]})
        wheel(path / "wheels", "tiny-core", "1.0")
        wheel(path / "wheels", "tool", "1.0", command="tool-run")
        environment = {"PATH": os.defpath, "HOME": str(path), "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(path / "wheels")}  # fmt: skip
        self.base = ensure_base(version, self.cache, environment=environment, python=Path(python))
        (path / "requirements.txt").write_text("# -c none\ntool==1.0\n")
        self.own = ensure(version, path / "requirements.txt", base=self.base, cache=self.cache, environment=environment, constraint_address=CLOSED)  # fmt: skip


@pytest.fixture(scope="module", params=["own", "distribution"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MachineWithPip]:
    python = sys.executable if request.param == "own" else f"/usr/bin/python{HERE}"
    if request.param == "distribution" and not Path(python).exists():
        pytest.skip(f"this machine has no {python}")
    yield MachineWithPip(tmp_path_factory.mktemp("machine"), python)


@pytest.fixture
def wheels(machine: Machine) -> Path:
    folder = machine.path / "more"
    wheel(folder, "tool", "2.0", command="tool-run", body="VERSION = 2\ndef main():\n    print('two')\n")
    wheel(folder, "extra", "1.0", needs=("tiny-core",), body="VALUE = 7\n")
    return folder


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", FORMS)
def test_a_plain_install_is_the_components_own(
    machine: Machine, wheels: Path, tmp_path: Path, mode: str, form: str
) -> None:
    before = digest(machine.own.path)
    install = f"{form} --no-index --disable-pip-version-check --find-links {wheels}"
    script = (
        f"{install} extra >&2 && {install} --upgrade tool >&2 && "
        'python3 -c "import extra, tool, tiny_core; print(extra.VALUE, tool.VERSION, tiny_core.__file__)"'
    )
    out = machine.boot(tmp_path, "bash", "-c", script, mode=mode)
    value, version, core = out.split()
    assert (value, version) == ("7", "2")
    assert container_packages.FOLDER not in core, "what the set has was there already"
    assert digest(machine.own.path) == before
    own = tmp_path / "home" / container_packages.FOLDER / "lib" / f"python{HERE}" / "site-packages"
    assert {path.name for path in own.glob("*.dist-info")} == {"extra-1.0.dist-info", "tool-2.0.dist-info"}


@pytest.mark.parametrize("mode", MODES)
def test_a_virtual_environment_is_left_alone(machine: Machine, wheels: Path, tmp_path: Path, mode: str) -> None:
    """The form in which dbt comes to MWAA: made and filled in the startup script, called by its path."""
    options = f"--no-index --disable-pip-version-check --find-links {wheels}"
    script = (
        f"pip install {options} extra >&2 && python3 -m venv own >&2 && own/bin/pip install {options} tool >&2 && "
        f"own/bin/tool-run && (source own/bin/activate && pip install {options} --force-reinstall tool >&2 && tool-run) && "
        "own/bin/python -c \"import importlib.util as u; print(u.find_spec('extra'))\""
    )
    assert machine.boot(tmp_path, "bash", "-c", script, mode=mode).split() == ["two", "two", "None"]
    assert (tmp_path / "home" / "own" / "bin" / "tool-run").is_file()
    own = tmp_path / "home" / container_packages.FOLDER
    assert not list(own.rglob("tool-2.0.dist-info"))


def test_uninstalling_what_is_shared_changes_nothing(machine: Machine, tmp_path: Path) -> None:
    before = digest(machine.own.path)
    machine.boot(tmp_path, "bash", "-c", "pip uninstall -y tool; true", mode="folder")
    assert digest(machine.own.path) == before
