"""Finding an interpreter: where it is looked for, what stands in, what is said."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mwaa_local import catalog
from mwaa_local.catalog.packaging_facts import supported_pythons
from mwaa_local.errors import MachineError
from mwaa_local.packages import pythons

V = catalog.version("3.2.1")
Fake = Callable[..., Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Makes interpreters that answer as another version; the account has no Pythons of its own."""

    class Account:
        pw_dir = str(tmp_path / "account")

    monkeypatch.setattr("pwd.getpwuid", lambda number: Account)

    def make(relative: str, version: str, implementation: str = "CPython") -> Path:
        path = tmp_path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"#!{sys.executable}\nimport json\n"
            f"print(json.dumps({{'executable': {str(path)!r}, 'base': {str(path)!r}, 'prefix': '/p', "
            f"'version': {version!r}, 'implementation': {implementation!r}, 'platform': 'x', 'build': {version!r}}}))\n"
        )
        path.chmod(0o755)
        return path

    return make


def find(tmp_path: Path, **options: object) -> pythons.Interpreter:
    values = {"environment": {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}, "fetch": False, **options}
    return pythons.find(V, cache=tmp_path / "cache", **values)  # type: ignore[arg-type]


def test_the_nearest_patch_level_is_taken_wherever_it_lies(tmp_path: Path, fake: Fake) -> None:
    """MWAA's is 3.12.13 (spec/10 section 0)."""
    fake("bin/python3.12", "3.12.4")
    fake("home/.local/share/uv/python/cpython-3.12.21-x/bin/python3.12", "3.12.21")
    near = fake("home/.pyenv/versions/3.12.9/bin/python3.12", "3.12.9")
    found = find(tmp_path)
    assert (found.path, found.source, found.minor, found.warning) == (near, "pyenv", "3.12", None)
    newer = fake("home/.pyenv/versions/3.12.17/bin/python3.12", "3.12.17")
    assert find(tmp_path).path == newer, "the newer of two that are as near"
    same = fake("bin/python3.12", "3.12.13")
    assert find(tmp_path).path == same


def test_the_first_of_the_same_patch_level_counts_and_path_comes_first(tmp_path: Path, fake: Fake) -> None:
    fake("home/.pyenv/versions/3.12.9/bin/python3.12", "3.12.9")
    on_path = fake("bin/python3.12", "3.12.9")
    assert (find(tmp_path).path, find(tmp_path).source) == (on_path, "PATH")


def test_a_patch_level_that_is_not_the_images_is_told() -> None:
    assert pythons.patch_note(V, V.python_patch) is None
    note = pythons.patch_note(V, "3.12.1")
    assert note is not None
    assert note.startswith("Python 3.12.1 runs Airflow here, 3.12.13 on MWAA")
    assert pythons.patch_note(V, "3.13.0") is None, "another minor has a warning of its own"


def test_pyenvs_versions_are_found_with_their_shims_off_newest_first(tmp_path: Path, fake: Fake) -> None:
    fake("home/.pyenv/versions/3.12.1/bin/python3.12", "3.12.1")
    newest = fake("home/.pyenv/versions/3.12.11/bin/python3.12", "3.12.11")
    fake("bin/shims/python3.12", "3.12.5")
    found = find(tmp_path, environment={"PATH": str(tmp_path / "bin/shims"), "HOME": str(tmp_path / "home")})
    assert (found.path, found.source) == (newest, "pyenv")


def test_uvs_managed_store_is_looked_into(tmp_path: Path, fake: Fake) -> None:
    managed = fake("home/.local/share/uv/python/cpython-3.12.8-linux-x86_64-gnu/bin/python3.12", "3.12.8")
    assert find(tmp_path).path == managed
    elsewhere = fake("store/cpython-3.12.9-linux/bin/python3.12", "3.12.9")
    environment = {"PATH": "/nonexistent", "UV_PYTHON_INSTALL_DIR": str(tmp_path / "store")}
    assert find(tmp_path, environment=environment).path == elsewhere


def test_one_that_does_not_answer_is_passed_over(tmp_path: Path, fake: Fake) -> None:
    broken = fake("bin/python3.12", "3.12.4")
    broken.write_text("#!/bin/false\n")
    fake("home/.pyenv/versions/3.12.0/bin/python3.12", "3.12.0", "PyPy")
    good = fake("home/.local/share/uv/python/cpython-3.12.8-x/bin/python3.12", "3.12.8")
    assert find(tmp_path).path == good


def test_the_nearest_supported_minor_stands_in_and_says_so(tmp_path: Path, fake: Fake) -> None:
    fake("home/.pyenv/versions/3.10.3/bin/python3.10", "3.10.3")
    near = fake("home/.pyenv/versions/3.13.0/bin/python3.13", "3.13.0")
    found = find(tmp_path)
    assert found.path == near
    assert found.warning is not None
    assert "on Python 3.12; here it runs on 3.13.0" in found.warning


def test_an_unsupported_minor_never_stands_in(tmp_path: Path, fake: Fake) -> None:
    fake("home/.pyenv/versions/3.9.3/bin/python3.9", "3.9.3")
    with pytest.raises(MachineError) as caught:
        find(tmp_path)
    assert "No Python 3.12" in caught.value.what
    assert "pyenv install 3.12" in caught.value.hint


def test_an_image_takes_no_stand_in(tmp_path: Path, fake: Fake) -> None:
    fake("home/.pyenv/versions/3.13.0/bin/python3.13", "3.13.0")
    with pytest.raises(MachineError):
        find(tmp_path, nearest=False)


def test_a_named_one_is_the_only_one_asked(tmp_path: Path, fake: Fake) -> None:
    fake("bin/python3.12", "3.12.4")
    named = fake("mine/python", "3.11.2")
    found = find(tmp_path, explicit=named)
    assert found.path == named
    assert found.warning is not None
    with pytest.raises(MachineError, match="cannot run Airflow"):
        find(tmp_path, explicit=tmp_path / "none")
    with pytest.raises(MachineError) as caught:
        find(tmp_path, explicit=fake("mine/old", "3.7.2"))
    assert "it is Python 3.7.2" in caught.value.why


def test_the_real_interpreter_behind_a_virtual_environment_is_taken() -> None:
    found = pythons.probe(Path(sys.executable), "test")
    assert found is not None
    assert found.path == Path(getattr(sys, "_base_executable", sys.executable))
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert os.access(found.path, os.X_OK)


@pytest.mark.parametrize("name", catalog.version_names())
def test_every_version_supports_its_own_python(name: str) -> None:
    version = catalog.version(name)
    assert version.python in supported_pythons(name)
