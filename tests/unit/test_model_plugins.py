"""Which plugins count: one answer for starting (both engines), checking and packaging, in every layout people have."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from preflight_support import hits, workspace, write
from runtime_support import process_variables

from mwaa_local import model
from mwaa_local.engines.docker import mounts as docker_mounts
from mwaa_local.errors import WorkflowFileError
from mwaa_local.preflight.packaging import package as packaging
from mwaa_local.preflight.workspace import Workspace
from mwaa_local.runtime import files
from mwaa_local.runtime.reading import read_inputs
from mwaa_local.workflow import revision as inputs


def zipped(**files_in_it: str) -> bytes:
    """An archive; `__` stands for a slash, and each file is a module that may be executed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, text in files_in_it.items():
            info = zipfile.ZipInfo(name.replace("__", "/") + ".py")
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o755) << 16
            made.writestr(info, text)
    return stream.getvalue()


@dataclass(frozen=True)
class Layout:
    """One project, and what has to come of it."""

    files: dict[str, str | bytes]
    used: str
    modules: set[str]
    says: str = ""


A, B = zipped(a="A = 1\n"), zipped(b="B = 1\n")
LAYOUTS = {
    "folder": Layout({"plugins/f.py": ""}, "plugins", {"f.py"}),
    "nothing": Layout({"dags/d.py": ""}, "plugins", set()),
    "zip in the root": Layout({"plugins.zip": A}, "plugins.zip", {"a.py"}),
    "zip in the folder": Layout({"plugins/plugins.zip": A}, "plugins/plugins.zip", {"a.py"}),
    "zip in a folder kept for Git": Layout(
        {"plugins/plugins.zip": A, "plugins/.gitkeep": "", "plugins/README.md": "x", "plugins/__pycache__/a.pyc": b""},
        "plugins/plugins.zip",
        {"a.py"},
    ),
    "zip in the root beside an empty folder": Layout(
        {"plugins.zip": A, "plugins/.gitkeep": "", "plugins/__pycache__/a.pyc": b"", "plugins/.airflowignore": "x"},
        "plugins.zip",
        {"a.py"},
    ),
    "zip in the root beside a folder": Layout(
        {"plugins.zip": A, "plugins/f.py": ""}, "plugins", {"f.py"}, "the folder plugins/; plugins.zip is not used"
    ),
    "zip in the folder beside modules": Layout(
        {"plugins/plugins.zip": A, "plugins/deep/f.py": ""},
        "plugins",
        {"deep/f.py"},
        "the folder plugins/; plugins/plugins.zip is not used",
    ),
    "two zips": Layout(
        {"plugins.zip": A, "plugins/plugins.zip": B}, "plugins.zip", {"a.py"}, "plugins/plugins.zip is not used"
    ),
    "two zips and a folder": Layout(
        {"plugins.zip": A, "plugins/plugins.zip": B, "plugins/f.py": ""},
        "plugins",
        {"f.py"},
        "plugins.zip and plugins/plugins.zip are not used",
    ),
    "zip elsewhere, named": Layout(
        {"mwaa.yaml": "Local: {Paths: {Plugins: build/p-1.2.zip}}\n", "build/p-1.2.zip": A, "plugins/f.py": ""},
        "build/p-1.2.zip",
        {"a.py"},
    ),
    "archive without the ending, named": Layout(
        {"mwaa.yaml": "Local: {Paths: {Plugins: build/plugins}}\n", "build/plugins": A}, "build/plugins", {"a.py"}
    ),
    "folder elsewhere, named": Layout(
        {"mwaa.yaml": "Local: {Paths: {Plugins: src/p}}\n", "src/p/f.py": "", "plugins.zip": A}, "src/p", {"f.py"}
    ),
    "folder elsewhere with a zip only, named": Layout(
        {"mwaa.yaml": "Local: {Paths: {Plugins: src/p}}\n", "src/p/plugins.zip": A, "plugins.zip": B},
        "src/p/plugins.zip",
        {"a.py"},
    ),
    "folder elsewhere, empty, named": Layout(
        {"mwaa.yaml": "Local: {Paths: {Plugins: src/p}}\n", "src/p/.gitkeep": "", "plugins.zip": B}, "src/p", set()
    ),
    "dist is where package writes": Layout({"dist/plugins.zip": A, "plugins/f.py": ""}, "plugins", {"f.py"}),
    "wheels are content": Layout(
        {"plugins/x-1-py3-none-any.whl": b"PK", "plugins/plugins.zip": A}, "plugins", set(), "is not used"
    ),
}


@pytest.fixture(params=LAYOUTS, ids=lambda name: name.replace(" ", "-"))
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    found = LAYOUTS[request.param]
    write(tmp_path, found.files)
    return found


def test_the_definition_and_the_check_choose_the_same(layout: Layout, tmp_path: Path) -> None:
    environment = model.load(tmp_path)
    assert environment.workflow.plugins == tmp_path / layout.used
    assert bool(environment.workflow.plugins_choice) == bool(layout.says)
    assert layout.says in environment.workflow.plugins_choice
    with Workspace(tmp_path) as space:
        assert space.environment.workflow == environment.workflow
        assert {entry.name for entry, _ in (space.plugins.python if space.plugins else ())} == layout.modules


def test_a_component_of_the_process_engine_gets_exactly_these(layout: Layout, tmp_path: Path) -> None:
    workflow = {"plugins": str(model.load(tmp_path).workflow.plugins)}
    home = tmp_path / "component"
    given = process_variables(tmp_path / "x", MWAA_LOCAL__WORKFLOW=json.dumps(workflow), MWAA_LOCAL__HOME=str(home))
    files.place(read_inputs("worker", given))
    placed = home / "plugins"
    assert {path.relative_to(placed).as_posix() for path in placed.rglob("*.py")} == layout.modules
    assert not (placed / "plugins.zip").exists()
    if layout.used != "plugins" and layout.modules == {"a.py"}:
        assert stat.S_IMODE((placed / "a.py").stat().st_mode) == 0o755, "the archive's modes are kept"


def test_a_container_is_given_the_archive_or_the_folder(layout: Layout, tmp_path: Path) -> None:
    environment = model.load(tmp_path)
    mounted, variables = docker_mounts.mounts(environment, tmp_path / "state", {})
    sources = {item["source"] for item in mounted if item["type"] == "bind"}
    chosen = tmp_path / layout.used
    assert str(chosen if chosen.exists() else tmp_path / "state" / "empty") in sources
    assert ("MWAA_LOCAL__PLUGINS_ZIP" in variables) == chosen.is_file()


def test_the_package_is_made_of_these(layout: Layout, tmp_path: Path) -> None:
    with Workspace(tmp_path) as space:
        made = packaging.package(space, tmp_path / "result")
    with zipfile.ZipFile(made.archive) as archive:
        assert {name for name in archive.namelist() if name.endswith(".py")} == layout.modules
        assert "plugins.zip" not in archive.namelist()
    assert bool(made.notes) == bool(layout.says)


def test_an_archive_made_again_between_two_starts_is_a_change(tmp_path: Path) -> None:
    def digest() -> str | None:
        return inputs.of_workspace(model.load(tmp_path), tmp_path / "memory.json").digests.get(inputs.PLUGINS)

    write(tmp_path, {"plugins.zip": A})
    first = digest()
    write(tmp_path, {"plugins.zip": B})
    second = digest()
    write(tmp_path, {"plugins/f.py": ""})
    third = digest()
    assert first and second and third and len({first, second, third}) == 3
    write(tmp_path, {"plugins/plugins.zip": A})
    assert digest() == third, "`package --out plugins` changes nothing that runs"


def test_package_does_not_write_over_what_it_is_made_from(tmp_path: Path) -> None:
    write(tmp_path, {"plugins/plugins.zip": A})
    with Workspace(tmp_path) as space, pytest.raises(WorkflowFileError, match="over the archive it is made from"):
        packaging.package(space, tmp_path / "plugins")
    assert (tmp_path / "plugins" / "plugins.zip").read_bytes() == A


def test_package_into_the_plugins_folder_twice_is_the_same_archive(tmp_path: Path) -> None:
    write(tmp_path, {"plugins/f.py": "X = 1\n"})
    digests = set()
    for _ in range(2):
        with Workspace(tmp_path) as space:
            digests.add(packaging.package(space, tmp_path / "plugins").sha256)
    assert len(digests) == 1


def test_a_broken_archive_is_refused_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, {"plugins/plugins.zip": b"no archive"})
    (found,) = hits("PLG001", workspace(tmp_path, {}))
    assert found.file == tmp_path / "plugins" / "plugins.zip"
    workflow = json.dumps({"plugins": str(model.load(tmp_path).workflow.plugins)})
    given = process_variables(tmp_path / "x", MWAA_LOCAL__WORKFLOW=workflow, MWAA_LOCAL__HOME=str(tmp_path / "home"))
    with pytest.raises(WorkflowFileError, match="cannot be read") as caught:
        files.place(read_inputs("worker", given))
    assert caught.value.where == str(tmp_path / "plugins" / "plugins.zip")


def test_a_top_folder_called_plugins_is_placed_as_on_mwaa_and_said(tmp_path: Path) -> None:
    write(tmp_path, {"plugins.zip": zipped(plugins__a="A = 1\n")})
    said: list[str] = []
    workflow = json.dumps({"plugins": str(model.load(tmp_path).workflow.plugins)})
    given = process_variables(tmp_path / "x", MWAA_LOCAL__WORKFLOW=workflow, MWAA_LOCAL__HOME=str(tmp_path / "home"))
    files.place(read_inputs("worker", given), said.append)
    assert (tmp_path / "home" / "plugins" / "plugins" / "a.py").is_file()
    assert ["below plugins/" in text for text in said] == [True]


def test_containers_started_without_the_tool_say_that_they_do_not_unpack(tmp_path: Path) -> None:
    write(tmp_path, {"home/plugins/plugins.zip": A})
    given = process_variables(tmp_path / "x", MWAA_LOCAL__WORKFLOW="{}", MWAA_LOCAL__HOME=str(tmp_path / "home"))
    said: list[str] = []
    files.place(read_inputs("worker", given), said.append)
    assert ["not unpacked" in text for text in said] == [True]
