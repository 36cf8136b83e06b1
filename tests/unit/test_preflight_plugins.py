"""Rules about the plugins folder and plugins.zip (spec/04 section 11, spec/05 T-11, T-27)."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest
from preflight_support import hits, options, outcomes, workspace, write

from mwaa_local.preflight.findings import Severity, Unchecked
from mwaa_local.preflight.imports import FileImport, ImportProblem, Imports
from mwaa_local.preflight.rules.plugins.wheel_target import fault_of
from mwaa_local.preflight.sets import PackageSet

PLUGIN = 'from airflow.plugins_manager import AirflowPlugin\n\n\nclass P(AirflowPlugin):\n    name = "p"\n'


def archive(
    path: Path, files: dict[str, str | bytes], *, mode: int | None = 0o644, links: dict[str, str] | None = None
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as made:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.create_system = 0 if mode is None else 3
            info.external_attr = 0x20 if mode is None else (stat.S_IFREG | mode) << 16
            made.writestr(info, content)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            made.writestr(info, target)
    return path


def found_in_zip(rule: str, folder: Path, files: dict[str, str | bytes], **more: object) -> list[str]:
    archive(folder / "plugins.zip", files, **more)  # type: ignore[arg-type]
    return [item.message for item in hits(rule, workspace(folder, {}))]


def test_corrupt_archive(tmp_path: Path) -> None:
    (found,) = hits("PLG001", workspace(tmp_path / "a", {"plugins.zip": b"PK nothing"}))
    assert "not a zip file" in found.message
    assert not found_in_zip("PLG001", tmp_path / "b", {"p.py": PLUGIN})


def test_encrypted_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "plugins.zip", {"p.py": PLUGIN})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(bytes(data))
    (found,) = hits("PLG001", workspace(tmp_path, {}))
    assert "p.py is encrypted" in found.message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x.py", "climbs out"),
        ("/etc/x.py", "absolute"),
        ("a/../../x.py", "climbs out"),
        ("C:\\x.py", "absolute"),
        ("..\\x.py", "climbs out"),
    ],
)
def test_hostile_entries(name: str, words: str, tmp_path: Path) -> None:
    (message,) = found_in_zip("PLG002", tmp_path, {"p.py": PLUGIN, name: "x"})
    assert words in message
    # And nothing is ever unpacked outside.
    folder = workspace(tmp_path, {}).plugins_folder
    assert sorted(path.name for path in folder.rglob("*")) == ["p.py"]


def test_links(tmp_path: Path) -> None:
    (message,) = found_in_zip("PLG002", tmp_path / "a", {"p.py": PLUGIN}, links={"l": "../../etc/passwd"})
    assert "a link out of the folder" in message
    assert not found_in_zip("PLG002", tmp_path / "b", {"p.py": PLUGIN}, links={"l": "p.py"})


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"plugins/p.py": PLUGIN}, True),
        ({"my-plugins/p.py": PLUGIN, "my-plugins/operators/o.py": ""}, True),
        ({"my-plugins/a-1.0-py3-none-any.whl": b""}, True),
        ({"p.py": PLUGIN, "operators/o.py": ""}, False),
        ({"mypackage/__init__.py": "", "mypackage/o.py": ""}, False),
        ({"operators/sub/o.py": ""}, False),
        ({"__MACOSX/._p.py": b"", "plugins/p.py": PLUGIN}, True),
    ],
)
def test_extra_folder(files: dict[str, str | bytes], fault: bool, tmp_path: Path) -> None:
    assert bool(found_in_zip("PLG003", tmp_path, files)) is fault


def test_a_folder_named_operators_is_no_extra_level(tmp_path: Path) -> None:
    assert not hits("PLG003", workspace(tmp_path, {"plugins/operators/o.py": "x = 1\n"}))
    assert hits("PLG003", workspace(tmp_path / "b", {"plugins/plugins/p.py": PLUGIN}))


def test_modes(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"run.sh": "echo\n", "tool": "#!/bin/sh\n", "p.py": PLUGIN}
    assert found_in_zip("PLG004", tmp_path / "a", files) == ["run.sh may not be executed", "tool may not be executed"]
    assert not found_in_zip("PLG004", tmp_path / "b", files, mode=0o755)
    (windows,) = found_in_zip("PLG004", tmp_path / "c", files, mode=None)
    assert "made on Windows" in windows
    space = workspace(tmp_path / "d", {"plugins/run.sh": "echo\n"})
    assert len(hits("PLG004", space)) == 1
    (tmp_path / "d/plugins/run.sh").chmod(0o755)
    assert not hits("PLG004", workspace(tmp_path / "d", {}))


def test_size(tmp_path: Path) -> None:
    big = {"mwaa.yaml": "Local: {MaxPluginsBytes: 100}\n", "plugins/data.bin": b"x" * 101}
    (found,) = hits("PLG005", workspace(tmp_path / "a", big))
    assert found.severity is Severity.ERROR
    assert not hits("PLG005", workspace(tmp_path / "b", big | {"plugins/data.bin": b"x" * 100}))


def test_leftovers(tmp_path: Path) -> None:
    (message,) = found_in_zip(
        "PLG006", tmp_path / "a", {"p.py": PLUGIN, "__MACOSX/._p.py": b"", "__pycache__/p.pyc": b""}
    )
    assert message.startswith("2 files")
    assert not found_in_zip("PLG006", tmp_path / "b", {"p.py": PLUGIN})


IGNORE_CASES = [
    ({"plugins/p.py": PLUGIN}, []),
    ({"plugins/p.py": PLUGIN, "plugins/operators/o.py": ""}, ["there is no .airflowignore"]),
    ({"plugins/p.py": PLUGIN, "plugins/operators/o.py": "", "plugins/.airflowignore": "operators/\n"}, []),
    (
        {
            "plugins/p.py": PLUGIN,
            "plugins/operators/o.py": "",
            "plugins/h.py": "",
            "plugins/.airflowignore": "operators/\n",
        },
        ["h.py defines no plugin"],
    ),
]


@pytest.mark.parametrize("version", ["3.2.1", "2.10.3"])
@pytest.mark.parametrize(("files", "words"), IGNORE_CASES)
def test_airflowignore(files: dict[str, str | bytes], words: list[str], version: str, tmp_path: Path) -> None:
    found = hits("PLG007", workspace(tmp_path, files, version))
    assert len(found) == len(words)
    assert all(word in item.message for word, item in zip(words, found, strict=True))


def test_a_plugin_that_is_hidden(tmp_path: Path) -> None:
    (found,) = hits("PLG016", workspace(tmp_path / "a", {"plugins/p.py": PLUGIN, "plugins/.airflowignore": "p.py\n"}))
    assert (found.line, "P is never loaded" in found.message) == (4, True)
    assert not hits(
        "PLG016", workspace(tmp_path / "b", {"plugins/p.py": PLUGIN, "plugins/.airflowignore": "operators/\n"})
    )


def test_import_errors_by_component(tmp_path: Path) -> None:
    space = workspace(tmp_path, {"plugins/p.py": PLUGIN})
    path = tmp_path / "plugins/p.py"
    bad = FileImport("webserver", 0.1, False, (ImportProblem("ImportError: no x", path, 1),), ())
    good = FileImport("worker", 0.1, False, (), ())
    space.__dict__["imports"] = Imports(
        PackageSet(Path("python"), True), plugins={"scheduler": good, "worker": good, "webserver": bad}
    )
    (found,) = hits("PLG008", space)
    assert found.message == "the plugin cannot be imported in webserver: ImportError: no x"
    assert (found.file, found.line) == (path, 1)
    space.__dict__["imports"] = Imports(
        PackageSet(Path("python"), True), plugins={"scheduler": bad, "worker": bad, "webserver": bad}
    )
    assert "in every component" in hits("PLG008", space)[0].message
    space.__dict__["imports"] = Imports(PackageSet(Path("python"), True), plugins={"scheduler": good})
    assert not outcomes("PLG008", space)


def test_a_plugin_that_needs_a_failed_requirement_is_not_judged(tmp_path: Path) -> None:
    space = workspace(tmp_path, {"plugins/p.py": PLUGIN})
    bad = FileImport("worker", 0.1, False, (ImportProblem("ModuleNotFoundError: No module named 'x'", None, 0),), ())
    space.__dict__["imports"] = Imports(PackageSet(Path("python"), False, problem="conflict"), plugins={"worker": bad})
    (missed,) = outcomes("PLG008", space)
    assert isinstance(missed, Unchecked)


@pytest.mark.parametrize(
    ("body", "version", "words"),
    [
        ("    operators = [int]\n", "3.2.1", "does not look at P.operators"),
        ("    hooks = [int]\n", "3.2.1", "P.hooks"),
        ("    hooks = [int]\n", "2.10.3", ""),
        ("    operators = [int]\n", "2.10.3", "P.operators"),
        ("    operators = []\n", "3.2.1", ""),
        ("    appbuilder_views = [1]\n", "3.2.1", "below /pluginsv2"),
        ("    appbuilder_views = [1]\n", "2.10.3", ""),
        ("    fastapi_apps = [1]\n", "2.10.3", "P.fastapi_apps"),
        ("    fastapi_apps = [1]\n", "3.2.1", ""),
        ("    admin_views = [1]\n", "3.2.1", "shows nothing"),
    ],
)
def test_plugin_api_of_a_version(body: str, version: str, words: str, tmp_path: Path) -> None:
    found = hits("PLG009", workspace(tmp_path, {"plugins/p.py": PLUGIN + body}, version))
    assert [item.line for item in found] == ([6] if words else [])
    assert all(words in item.message for item in found)


@pytest.mark.parametrize(
    ("name", "python", "fault"),
    [
        ("a-1.0-py3-none-any.whl", "3.12", ""),
        ("a-1.0-py2.py3-none-any.whl", "3.11", ""),
        ("a-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "3.12", ""),
        ("a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "3.12", "made for cp311-cp311"),
        ("a-1.0-cp39-abi3-manylinux_2_34_x86_64.whl", "3.12", ""),
        ("a-1.0-cp313-abi3-manylinux_2_17_x86_64.whl", "3.12", "made for cp313"),
        ("a-1.0-cp312-cp312-macosx_11_0_arm64.whl", "3.12", "macosx"),
        ("a-1.0-cp312-cp312-manylinux_2_17_aarch64.whl", "3.12", "aarch64"),
        ("a-1.0-cp312-cp312-musllinux_1_2_x86_64.whl", "3.12", "musllinux"),
        ("a-1.0-cp312-cp312-manylinux_2_39_x86_64.whl", "3.12", "glibc"),
        ("a-1.0-cp312-cp312-win_amd64.whl", "3.12", "win_amd64"),
        ("a-1.0-1-cp37-cp37m-manylinux1_x86_64.whl", "3.11", "cp37"),
        ("a.whl", "3.12", "not that of a wheel"),
    ],
)
def test_wheel_targets(name: str, python: str, fault: str) -> None:
    assert fault in fault_of(name, python)
    assert bool(fault) is bool(fault_of(name, python))


def test_wheels_in_the_plugins(tmp_path: Path) -> None:
    (found,) = hits("PLG010", workspace(tmp_path / "a", {"plugins/a-1.0-cp311-cp311-win_amd64.whl": b""}))
    assert "win_amd64" in found.message
    assert not hits("PLG010", workspace(tmp_path / "b", {"plugins/a-1.0-py3-none-any.whl": b""}))


def test_source_archives(tmp_path: Path) -> None:
    assert hits("PLG011", workspace(tmp_path / "a", {"plugins/a-1.0.tar.gz": b""}))
    assert not hits(
        "PLG011", workspace(tmp_path / "b", {"plugins/data/a.tar.gz": b"", "plugins/a-1.0-py3-none-any.whl": b""})
    )


def test_plugin_names(tmp_path: Path) -> None:
    unnamed = PLUGIN.replace('    name = "p"', "    x = 1")
    (found,) = hits("PLG012", workspace(tmp_path / "a", {"plugins/p.py": unnamed}))
    assert "has no name" in found.message
    (found,) = hits("PLG012", workspace(tmp_path / "b", {"plugins/p.py": PLUGIN, "plugins/q.py": PLUGIN}))
    assert "already taken by plugins/p.py" in found.message
    assert not hits("PLG012", workspace(tmp_path / "c", {"plugins/p.py": PLUGIN}))


def test_environment_set_by_a_lazy_plugin(tmp_path: Path) -> None:
    text = 'import os\nos.environ["LD_LIBRARY_PATH"] = "/x"\n' + PLUGIN
    (found,) = hits("PLG013", workspace(tmp_path / "a", {"plugins/p.py": text}))
    assert found.line == 2
    assert not hits(
        "PLG013", workspace(tmp_path / "b", {"plugins/p.py": text} | options(core__lazy_load_plugins="False"))
    )
    assert not hits("PLG013", workspace(tmp_path / "c", {"plugins/p.py": 'import os\nx = os.environ["A"]\n' + PLUGIN}))


def test_modules_that_hide_others(tmp_path: Path) -> None:
    (found,) = hits("PLG014", workspace(tmp_path / "a", {"plugins/logging.py": PLUGIN}))
    assert "'logging'" in found.message
    (found,) = hits("PLG014", workspace(tmp_path / "b", {"plugins/a/p.py": PLUGIN, "plugins/b/p.py": PLUGIN}))
    assert found.severity is Severity.WARNING
    assert not hits(
        "PLG014",
        workspace(
            tmp_path / "c", {"plugins/p.py": PLUGIN, "plugins/lib/email.py": "", "plugins/.airflowignore": "lib/\n"}
        ),
    )


def test_local_settings(tmp_path: Path) -> None:
    (found,) = hits(
        "PLG015", workspace(tmp_path / "a", {"dags/airflow_local_settings.py": "def task_policy(task):\n    pass\n"})
    )
    assert "does not see task_policy" in found.message
    assert not hits("PLG015", workspace(tmp_path / "b", {"dags/airflow_local_settings.py": "STATE = 1\n"}))
    space = workspace(tmp_path / "c", {"plugins/airflow_local_settings.py": "1/0\n"})
    path = tmp_path / "c/plugins/airflow_local_settings.py"
    space.__dict__["imports"] = Imports(
        None, settings={path: FileImport(str(path), 0.1, False, (ImportProblem("ZeroDivisionError", path, 1),), ())}
    )
    (found,) = hits("PLG015", space)
    assert "every Airflow process" in found.message


def test_an_archive_that_is_not_the_folder(tmp_path: Path) -> None:
    write(tmp_path, {"plugins/p.py": PLUGIN})
    archive(tmp_path / "plugins.zip", {"p.py": PLUGIN + "# older\n"})
    (found,) = hits("PLG017", workspace(tmp_path, {}))
    assert "holds another p.py" in found.message
    archive(tmp_path / "plugins.zip", {"p.py": PLUGIN})
    assert not hits("PLG017", workspace(tmp_path, {}))
    archive(tmp_path / "plugins.zip", {"x.py": ""})
    assert "lacks p.py of plugins, which is used here" in hits("PLG017", workspace(tmp_path, {}))[0].message
    archive(tmp_path / "plugins.zip", {"p.py": PLUGIN, "more.py": "", "w.whl": ""})
    assert "holds more.py, unlike plugins" in hits("PLG017", workspace(tmp_path, {}))[0].message


def test_two_archives_that_are_not_the_same(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    archive(tmp_path / "plugins.zip", {"p.py": PLUGIN})
    archive(tmp_path / "plugins/plugins.zip", {"p.py": PLUGIN})
    assert not hits("PLG017", workspace(tmp_path, {}))
    archive(tmp_path / "plugins/plugins.zip", {"p.py": ""})
    (found,) = hits("PLG017", workspace(tmp_path, {}))
    assert "plugins/plugins.zip holds another p.py than plugins.zip, which is used here" in found.message


def test_findings_in_an_archive_name_the_file_in_it(tmp_path: Path) -> None:
    archive(tmp_path / "plugins.zip", {"p.py": PLUGIN + "    operators = [int]\n"})
    space = workspace(tmp_path, {})
    (found,) = hits("PLG009", space)
    assert found.file is not None
    assert space.relative(found.file) == "plugins.zip/p.py"


def test_an_archive_is_unpacked_where_the_temporary_folder_is_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As macOS has it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "link"))
    archive(tmp_path / "project/plugins.zip", {"p.py": PLUGIN})
    with workspace(tmp_path / "project", {}) as space:
        assert [path.name for path in space.plugins_folder.rglob("*")] == ["p.py"]
