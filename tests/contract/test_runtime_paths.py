"""Packages, Python and commands lie where MWAA has them (spec/10 sections 4.1, 5.1 and 5.4): real sets, real mounts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_runtime_namespace import namespaces_allowed

import mwaa_local
from mwaa_local.packages import PackageSet, ensure, ensure_base
from mwaa_local.packages.store import Store
from packages_support import HERE, tiny_version, wheel

CLOSED = "http://127.0.0.1:9/c-{airflow}/c-{python}.txt"
HOME, LOCAL = "/usr/local/airflow", "/usr/local/airflow/.local"
SITE = f"{LOCAL}/lib/python{HERE}/site-packages"

# What a component does before its processes start; then the words after the folders, as the component would run them.
BOOT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from runtime_support import process_variables
from mwaa_local.runtime import entrance, environment, files, namespace, package_set, processes
from mwaa_local.runtime.reading import read_inputs
from mwaa_local.runtime.status import Status
from dataclasses import replace
folder, sets, mode, words = Path(sys.argv[2]), sys.argv[3].split(","), sys.argv[4], sys.argv[6:]
wanted = namespace.describe("ip-127-3-0-8") if mode == "mount" else ""
variables = process_variables(folder, MWAA_LOCAL__BASE_SET=sets[0], MWAA_LOCAL__NAMESPACE=wanted, PATH=os.environ["PATH"])
inputs = read_inputs("worker", variables)
inputs = replace(inputs, version=replace(inputs.version, python=sys.argv[5]))
inputs = entrance.enter(inputs, Status(inputs.run_dir, "worker"))
for found in sets:
    package_set.place(inputs, Path(found))
files.link_packages(inputs.python_folder)
files.keep_environment(inputs, environment.effective(inputs).variables)
if words[0] == "python":
    words[:1] = processes.python_words(inputs)
os.execvpe(words[0], words, environment.effective(inputs).variables)
"""

LOOK = """
import json, os, site, sys, tool, tiny_core
print(json.dumps({
    "prefix": sys.prefix, "executable": sys.executable, "user_site": site.getusersitepackages(), "path": sys.path,
    "tool": tool.__file__, "real": os.path.realpath(tool.__file__), "core": tiny_core.__file__, "home": os.getcwd(),
    "local": sorted(os.listdir(os.path.expanduser("~/.local"))), "bin": os.listdir("/usr/local/bin"),
    "PATH": os.environ["PATH"],
}))
"""


class Machine:
    """A cache with a base set and a set of one requirement with a command."""

    def __init__(self, path: Path, python: str) -> None:
        self.path = path
        self.python = python
        self.cache = path / "cache"
        version = tiny_version({"tiny-core": "1.0"})
        wheel(path / "wheels", "tiny-core", "1.0")
        wheel(path / "wheels", "tool", "1.0", command="tool-run",
              body="def main():\n    import sys\n    print(sys.executable, sys.path[0], __file__)\n")  # fmt: skip
        environment = {
            "PATH": os.defpath, "HOME": str(path), "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(path / "wheels"),
        }  # fmt: skip
        self.base = ensure_base(version, self.cache, environment=environment, python=Path(python))
        (path / "requirements.txt").write_text("# -c none\ntool==1.0\n")
        self.own: PackageSet = ensure(
            version, path / "requirements.txt", base=self.base, cache=self.cache, environment=environment,
            constraint_address=CLOSED,
        )  # fmt: skip

    def boot(self, folder: Path, *words: str, mode: str = "mount", before: str = "") -> str:
        (folder / "dags").mkdir(parents=True, exist_ok=True)
        paths = [
            str(Path(mwaa_local.__file__).parents[1]),
            *(path for path in sys.path if path.endswith("site-packages")),
        ]
        environment = {"PATH": before + os.environ["PATH"], "PYTHONPATH": ":".join(paths)}
        support = str(Path(__file__).parents[1] / "unit")
        done = subprocess.run(
            [sys.executable, "-c", BOOT, support, str(folder), f"{self.base.path},{self.own.path}", mode, HERE, *words],
            capture_output=True, text=True, timeout=60, env=environment, cwd="/", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def look(self, folder: Path, **options: str) -> dict[str, Any]:
        return dict(json.loads(self.boot(folder, "python", "-c", LOOK, **options)))


@pytest.fixture(scope="module", params=["own", "distribution"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """With a Python as `make install` leaves it, and with the distribution's, which may look for packages elsewhere."""
    python = sys.executable if request.param == "own" else f"/usr/bin/python{HERE}"
    if request.param == "distribution" and not Path(python).exists():
        pytest.skip(f"this machine has no {python}")
    yield Machine(tmp_path_factory.mktemp("machine"), python)


allowed = pytest.mark.skipif(not namespaces_allowed(), reason="this machine allows no mount namespace")


@allowed
def test_every_path_a_task_can_ask_for_is_mwaas(machine: Machine, tmp_path: Path) -> None:
    found = machine.look(tmp_path)
    assert found["prefix"] == "/usr/local"
    assert found["executable"] == f"/usr/local/bin/python{HERE}"
    assert found["user_site"] == SITE
    assert found["tool"] == found["real"] == f"{SITE}/tool/__init__.py"
    assert found["core"] == f"{SITE}/tiny_core/__init__.py", "the base's packages are in the same folder"
    assert SITE in found["path"]
    assert not [entry for entry in found["path"] if str(machine.path) in entry], "no path of the cache"
    assert {f"python{HERE}", "python3", "python"} <= set(found["bin"])
    assert set(found["local"]) <= {"bin", "etc", "include", "lib", "share"}, "neither an interpreter nor our files"


@allowed
def test_a_console_scripts_first_line_is_mwaas_and_it_runs(machine: Machine, tmp_path: Path) -> None:
    out = machine.boot(tmp_path, "bash", "-c", 'head -1 "$(command -v tool-run)"; command -v tool-run; tool-run')
    assert out.splitlines() == [
        f"#!/usr/local/bin/python{HERE}",
        f"{LOCAL}/bin/tool-run",
        f"/usr/local/bin/python{HERE} {LOCAL}/bin {SITE}/tool/__init__.py",
    ]


@allowed
def test_what_the_user_installed_for_that_python_is_not_seen(machine: Machine, tmp_path: Path) -> None:
    """MWAA's image has nothing of it; the tool's own modules are there, and pytest is in this Python."""
    names = "pytest", "mwaa_local", "yaml"
    script = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    assert machine.boot(tmp_path, "python", "-c", script) == "[]\n"


@allowed
def test_a_virtual_environment_made_inside_has_mwaas_python_and_can_see_its_packages(
    machine: Machine, tmp_path: Path
) -> None:
    script = (
        'python3 -m venv --without-pip "$HOME/own" && "$HOME/own/bin/python" -c '
        '"import sys; print(sys.prefix, sys._base_executable)"'
    )
    prefix, base = machine.boot(tmp_path, "bash", "-c", script).split()
    assert prefix == f"{HOME}/own"
    assert Path(base).name.startswith("python")


@allowed
def test_nothing_of_it_is_left_on_this_machine(machine: Machine, tmp_path: Path) -> None:
    before = [sorted(Path(place).iterdir()) for place in ("/usr/local", "/usr/local/bin")]
    machine.look(tmp_path)
    assert [sorted(Path(place).iterdir()) for place in ("/usr/local", "/usr/local/bin")] == before
    assert not any(path.is_file() for path in (tmp_path / "home" / ".local").rglob("*"))
    empty = tmp_path / "run" / "namespace" / "empty"
    assert not empty.exists() or not list(empty.iterdir())


@allowed
def test_the_users_path_is_not_the_components(machine: Machine, tmp_path: Path) -> None:
    """A DAG must not pass here on a program that MWAA lacks (spec/10 sections 2.5 and 5.4)."""
    (tmp_path / "mine").mkdir()
    for name in ("terraform", "valgrind"):
        (tmp_path / "mine" / name).write_text("#!/bin/sh\necho mine\n")
        (tmp_path / "mine" / name).chmod(0o755)
    path = machine.look(tmp_path / "w", before=f"{tmp_path}/mine:")["PATH"].split(":")
    standard = f"{LOCAL}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".split(":")
    assert path[:7] == standard
    assert path[7:] == []
    script = "command -v terraform; valgrind || true"
    out = machine.boot(tmp_path / "w", "bash", "-c", script, before=f"{tmp_path}/mine:")
    assert "terraform" not in out
    if not Path("/usr/bin/valgrind").exists():
        assert out == "mine\n", "a command of MWAA's image is found wherever this machine keeps it"


def test_without_a_namespace_the_set_is_one_link_and_everything_runs(machine: Machine, tmp_path: Path) -> None:
    found = machine.look(tmp_path, mode="folder")
    local = tmp_path / "home" / ".local"
    assert found["prefix"] == str(local)
    assert found["tool"] == f"{local}/lib/python{HERE}/site-packages/tool/__init__.py"
    assert machine.boot(tmp_path, "tool-run", mode="folder").endswith("tool/__init__.py\n")


@allowed
def test_a_home_of_a_start_without_namespace_serves_one_with(machine: Machine, tmp_path: Path) -> None:
    machine.look(tmp_path, mode="folder")
    assert (tmp_path / "home" / ".local").is_symlink()
    assert machine.look(tmp_path)["real"] == f"{SITE}/tool/__init__.py"
    machine.look(tmp_path, mode="folder")
    assert (machine.own.path / "bin" / "tool-run").is_file(), "the set itself is never cleared"


@allowed
def test_a_set_in_use_is_kept_when_the_cache_is_cleared_up(machine: Machine, tmp_path: Path) -> None:
    sets = Store(tmp_path / "cache" / "package-sets")
    sets.root.mkdir(parents=True)
    for place in (machine.base.path, machine.own.path):
        place.rename(sets.root / place.name)
    try:
        moved = Machine.__new__(Machine)
        moved.__dict__ |= machine.__dict__
        moved.base, moved.own = (
            type("Set", (), {"path": sets.root / p.path.name})() for p in (machine.base, machine.own)
        )
        moved.look(tmp_path)
        assert machine.own.path.name in sets.linked()
    finally:
        for place in (machine.base.path, machine.own.path):
            (sets.root / place.name).rename(place)


@allowed
def test_a_command_in_a_component_that_does_not_run_sees_the_same(machine: Machine, tmp_path: Path) -> None:
    machine.look(tmp_path)
    words = ["-m", "mwaa_local.runtime", "exec", "worker", "--", "tool-run"]
    sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
    from runtime_support import process_variables

    variables = process_variables(
        tmp_path, MWAA_LOCAL__BASE_SET=str(machine.base.path), MWAA_LOCAL__NAMESPACE=json.dumps({"hostname": "x", "home": HOME})
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
        check=False,
    )
    assert done.stdout == f"/usr/local/bin/python{HERE} {LOCAL}/bin {SITE}/tool/__init__.py\n", done.stderr
