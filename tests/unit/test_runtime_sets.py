"""The package set of a component and the Python behind it: what is found, linked, shown, and what a failure leaves."""

from __future__ import annotations

import sysconfig
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runtime_support import process_variables

from mwaa_local.errors import MachineError, RequirementsError
from mwaa_local.packages import sets
from mwaa_local.packages.store import Store
from mwaa_local.runtime import interpreter, namespace, package_set
from mwaa_local.runtime.inputs import RuntimeInputs
from mwaa_local.runtime.package_set import InstalledSet
from mwaa_local.runtime.reading import read_inputs

MINOR = "3.12"


@pytest.fixture
def inputs(tmp_path: Path) -> RuntimeInputs:
    for folder in ("home/requirements", "run", "base/bin", "base/lib", "base/etc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "base" / "bin" / "python").touch()
    return read_inputs("worker", process_variables(tmp_path))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the cache was told is in use."""
    found: list[Any] = []
    monkeypatch.setattr(Store, "register", lambda self, link: found.append(link))
    return found


def requirements(inputs: RuntimeInputs, data: str | bytes) -> None:
    file = inputs.home / "requirements" / "requirements.txt"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())


def test_the_base_set_is_linked_and_kept_in_the_cache(inputs: RuntimeInputs, registered: list[Any]) -> None:
    found = package_set.base(inputs)
    assert found == InstalledSet(inputs.base_set, {"verdict": "none"})
    assert (inputs.home / ".local").readlink() == inputs.base_set
    assert registered == [inputs.run_dir / "package-set"]
    assert (inputs.run_dir / "package-set").readlink() == inputs.base_set
    package_set.base(inputs)
    assert len(registered) == 1, "it is told once"


def test_a_base_set_that_is_not_there_is_named(inputs: RuntimeInputs) -> None:
    (inputs.base_set / "bin" / "python").unlink()
    with pytest.raises(MachineError, match=r"Airflow 3\.2\.1 is not installed") as caught:
        package_set.base(inputs)
    assert caught.value.where == str(inputs.base_set)


def prepare(inputs: RuntimeInputs, variables: dict[str, str] | None = None) -> tuple[InstalledSet, list[str]]:
    said: list[str] = []
    start = InstalledSet(inputs.base_set, {"verdict": "none"})
    return package_set.prepare(inputs, variables or {}, said.append, start), said


class Installer:
    """Stands in for the resolver's half of the tool."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.result = SimpleNamespace(
            path=folder / "own", key="k", source="index", installed_now=True, seconds=1.23456,
            changed={"six": "1", "attrs": "2"}, notes=("noted",),
        )  # fmt: skip
        self.result.path.mkdir()
        monkeypatch.setattr(sets, "load", lambda path: ("loaded", path))
        monkeypatch.setattr(sets, "ensure", self._ensure)

    def _ensure(self, version: Any, file: Path, *, emit: Any, **more: Any) -> Any:
        self.asked.append({"version": version.airflow, "file": file, **more})
        for number in range(40):
            emit(f"line {number}")
        if self.error is not None:
            raise self.error
        return self.result


@pytest.fixture
def installer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registered: list[Any]) -> Installer:
    return Installer(monkeypatch, tmp_path)


@pytest.mark.parametrize("data", ["", "\n  \n", "# only a comment\n   # and another\r\n"])
def test_a_file_that_asks_for_nothing_is_not_looked_at(inputs: RuntimeInputs, installer: Installer, data: str) -> None:
    requirements(inputs, data)
    found, said = prepare(inputs)
    assert (found.folder, found.verdict, said) == (inputs.base_set, {"verdict": "none"}, [])
    assert installer.asked == []


def test_without_a_file_or_its_variable_neither(inputs: RuntimeInputs, installer: Installer) -> None:
    assert prepare(inputs)[0].folder == inputs.base_set
    requirements(inputs, "six\n")
    assert prepare(replace(inputs, requirements_path=None))[0].folder == inputs.base_set
    assert installer.asked == []


@pytest.mark.parametrize("data", ["six\n", "# why\nsix\n", "# x".encode("utf-16-le")])
def test_every_other_file_is(inputs: RuntimeInputs, installer: Installer, data: str | bytes) -> None:
    """UTF-16 too: better one look too many than a file overlooked."""
    requirements(inputs, data)
    prepare(inputs)
    assert len(installer.asked) == 1


def test_a_file_that_cannot_be_read_is_left_to_the_installer(inputs: RuntimeInputs, installer: Installer) -> None:
    (inputs.home / "requirements" / "requirements.txt").mkdir()
    prepare(inputs)
    assert len(installer.asked) == 1


def test_a_set_is_made_with_the_components_variables_and_linked(
    inputs: RuntimeInputs, installer: Installer, tmp_path: Path
) -> None:
    requirements(inputs, "six\n")
    found, said = prepare(inputs, {"A": "1", "MWAA_CONSTRAINTS_DIR": "/constraints"})
    (asked,) = installer.asked
    assert asked == {
        "version": "3.2.1", "file": inputs.home / "requirements" / "requirements.txt", "cache": tmp_path / "cache",
        "base": ("loaded", inputs.base_set), "environment": {"A": "1", "MWAA_CONSTRAINTS_DIR": "/constraints"},
        "path_map": {"/usr/local/airflow": inputs.home}, "constraints_dir": Path("/constraints"), "resolver": "uv",
    }  # fmt: skip
    assert said == [f"line {number}" for number in range(40)]
    assert found.folder == tmp_path / "own"
    assert (inputs.home / ".local").readlink() == tmp_path / "own"
    assert dict(found.verdict) == {
        "verdict": "ok", "set": "k", "source": "index", "installed": True, "seconds": 1.235, "changed": 2,
        "names": ["attrs", "six"], "notes": ["noted"], "conflict": [],
        "tail": [f"line {number}" for number in range(10, 40)],
    }  # fmt: skip


def test_a_set_that_was_found_has_no_words_of_an_installer(inputs: RuntimeInputs, installer: Installer) -> None:
    requirements(inputs, "six\n")
    installer.result.installed_now, installer.result.changed = False, None
    verdict = prepare(inputs)[0].verdict
    assert (verdict["installed"], verdict["tail"], verdict["changed"], verdict["names"]) == (False, [], 0, [])
    assert installer.asked[0]["constraints_dir"] is None


def test_another_place_of_the_file_counts_outside_of_mwaas_home_only(
    inputs: RuntimeInputs, installer: Installer, tmp_path: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("six\n")
    prepare(replace(inputs, requirements_path=other))
    prepare(replace(inputs, requirements_path=Path("/usr/local/airflow/elsewhere.txt")))
    assert [asked["file"] for asked in installer.asked] == [other], "the one below the home is where MWAA has it"


def test_a_failure_leaves_the_base_set_and_says_why(inputs: RuntimeInputs, installer: Installer) -> None:
    requirements(inputs, "six\n")
    installer.error = RequirementsError("no such package", where="line 1")
    installer.error.conflicts = ("a needs b",)  # type: ignore[attr-defined]
    found, _ = prepare(inputs)
    assert found.folder == inputs.base_set
    assert not (inputs.home / ".local").exists()
    verdict = dict(found.verdict)
    assert (verdict["verdict"], verdict["installed"], verdict["conflict"]) == ("failed", False, ["a needs b"])
    assert verdict["error"]["what"] == "no such package"
    assert verdict["tail"][-1] == "line 39" and len(verdict["tail"]) == 30


# -- its place ---------------------------------------------------------------------------------------------------------


def test_in_an_image_its_folders_are_linked_one_by_one(inputs: RuntimeInputs, registered: list[Any]) -> None:
    placed = replace(inputs, placement="image")
    (inputs.base_set / "mwaa-bin").mkdir()
    (inputs.base_set / "note").touch()
    (inputs.base_set / "link").symlink_to(inputs.base_set / "lib")
    local = inputs.home / ".local"
    local.symlink_to(inputs.base_set)
    package_set.place(placed, inputs.base_set)
    assert not local.is_symlink()
    shown = {path.name: path.readlink() for path in local.iterdir()}
    assert shown.keys() == {"bin", "lib", "etc"} | ({"mwaa-bin"} - {package_set.limits().scripts_folder})
    assert shown["lib"] == inputs.base_set / "lib"


def test_the_folder_of_commands_as_mwaa_has_them_is_bin(inputs: RuntimeInputs, registered: list[Any]) -> None:
    scripts = inputs.base_set / package_set.limits().scripts_folder
    scripts.mkdir()
    package_set.place(replace(inputs, placement="image"), inputs.base_set)
    assert (inputs.home / ".local" / "bin").readlink() == scripts
    assert not (inputs.home / ".local" / scripts.name).exists()


def test_in_a_namespace_they_are_shown_and_a_refusal_says_where(
    inputs: RuntimeInputs, registered: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = replace(inputs, placement="mount")
    shown: list[Any] = []
    monkeypatch.setattr(namespace, "show", lambda source, place: shown.append((source, place)))
    package_set.place(placed, inputs.base_set)
    local = inputs.home / ".local"
    assert set(shown) == {(inputs.base_set / name, local / name) for name in ("bin", "lib", "etc")}

    def refuse(_source: Path, place: Path) -> None:
        raise namespace.NotAllowedError("mount: not permitted")

    monkeypatch.setattr(namespace, "show", refuse)
    with pytest.raises(MachineError, match="the package set cannot be put into place") as caught:
        package_set.place(placed, inputs.base_set)
    assert caught.value.why == "mount: not permitted"
    assert str(local) in caught.value.hint


# -- the Python behind it ----------------------------------------------------------------------------------------------


def installation(folder: Path, library: str = "lib", site: str = "site-packages") -> Path:
    """A Python as `make install` leaves it, and a set made with it; the set."""
    standard = folder / "python" / library / f"python{MINOR}"
    standard.mkdir(parents=True)
    (standard / "os.py").touch()
    (standard / "site.py").write_text(f"x = '{site}'\n")
    executable = folder / "python" / "bin" / "python3.12"
    executable.parent.mkdir()
    executable.touch()
    made = folder / "set"
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "python").symlink_to(executable)
    (made / "lib" / f"python{MINOR}").mkdir(parents=True)
    return made


def test_what_of_a_python_is_shown_at_mwaas_prefix(tmp_path: Path) -> None:
    made = installation(tmp_path)
    prefix = tmp_path / "python"
    shown = interpreter.behind(made)
    assert shown is not None
    assert (shown.minor, shown.executable, shown.home) == (MINOR, prefix / "bin" / "python3.12", None)
    assert shown.path == Path("/usr/local/bin/python3.12")
    assert shown.files == {f"lib/python{MINOR}": prefix / "lib" / f"python{MINOR}"}
    assert shown.empty == (f"lib/python{MINOR}/site-packages",)
    (prefix / "include" / f"python{MINOR}").mkdir(parents=True)
    for name in (f"libpython{MINOR}.so.1.0", "libother.so"):
        (prefix / "lib" / name).touch()
    (prefix / "lib" / f"libpython{MINOR}.so").symlink_to(f"libpython{MINOR}.so.1.0")
    shown = interpreter.behind(made)
    assert shown is not None
    library = prefix / "lib" / f"libpython{MINOR}.so.1.0"
    assert shown.files == {
        f"lib/python{MINOR}": prefix / "lib" / f"python{MINOR}",
        f"include/python{MINOR}": prefix / "include" / f"python{MINOR}",
        f"lib/libpython{MINOR}.so": library,
        f"lib/libpython{MINOR}.so.1.0": library,
    }


def test_red_hats_second_folder_is_known(tmp_path: Path) -> None:
    shown = interpreter.behind(installation(tmp_path, library="lib64"))
    assert shown is not None
    assert list(shown.files) == [f"lib64/python{MINOR}"]
    assert shown.empty == (f"lib/python{MINOR}/site-packages", f"lib64/python{MINOR}/site-packages")


def test_one_that_looks_for_packages_elsewhere_is_shown_as_a_virtual_environment(tmp_path: Path) -> None:
    """Debian's."""
    shown = interpreter.behind(installation(tmp_path, site="dist-packages"))
    assert shown is not None
    assert (shown.files, shown.home) == ({}, tmp_path / "python" / "bin")
    made = installation(tmp_path / "other")
    (tmp_path / "other" / "python" / "lib" / f"python{MINOR}" / "site.py").unlink()
    unknown = interpreter.behind(made)
    assert unknown is not None and unknown.home is not None, "what cannot be read is not trusted"


def test_what_cannot_be_shown_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert interpreter.behind(tmp_path / "none") is None
    made = installation(tmp_path)
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: f"/usr/local/lib/python{MINOR}/site-packages")
    assert interpreter.behind(made) is None, "it would hide the tool's own modules"
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: "/usr/local/lib/python3.99/site-packages")
    assert interpreter.behind(made) is not None
    (tmp_path / "python" / "lib" / f"python{MINOR}" / "os.py").unlink()
    assert interpreter.behind(made) is None, "no standard library is found"
    (made / "lib" / f"python{MINOR}").rmdir()
    assert interpreter.behind(made) is None


def test_the_images_python_where_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert interpreter.of_image("3.99") is None
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/usr/local/bin/python3.12")
    assert interpreter.of_image("3.12") == Path("/usr/local/bin/python3.12")
