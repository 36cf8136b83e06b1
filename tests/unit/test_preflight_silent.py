"""Files that Airflow passes over, and zip archives in the DAG folder."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from preflight_support import DAG, hits, imported, options, outcomes, workspace

from mwaa_local.preflight.findings import Unchecked
from mwaa_local.preflight.imports import FileImport, ImportProblem, Imports
from mwaa_local.preflight.readings.silent import Silent
from mwaa_local.preflight.run import _lines

LOADER = "from dagfactory import load_yaml_dags\n\nload_yaml_dags(globals_dict=globals())\n"


def packed(**files: str) -> bytes:
    """A zip archive; `__` in a name stands for a slash, and `.py` is added."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".py", text)
    return data.getvalue()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (LOADER, 3),
        ("import dagfactory\nf = dagfactory.DagFactory('x')\nf.generate_dags(globals())\n", 2),
        ("from gusty import create_dag as make\nx = make('x')\n", 2),
        ("from cosmos import DbtDag\nx = DbtDag(project_config=1)\n", 2),
        ("from cosmos import ProfileConfig\nx = ProfileConfig(1)\n", 0),
        ("from dagfactory import load_yaml_dags\ndef f():\n    load_yaml_dags()\n", 0),
        ("import pandas\npandas.DataFrame()\n", 0),
    ],
)
def test_a_known_generator_is_called_where_nobody_looks(text: str, line: int, tmp_path: Path) -> None:
    found = hits("DAG010", workspace(tmp_path, {"dags/load.py": text}))
    assert [item.line for item in found] == ([line] if line else [])
    assert not hits("DAG010", workspace(tmp_path / "b", {"dags/load.py": "# airflow dag\n" + text}))


def test_a_file_that_gives_dags_when_imported_is_named_with_them(tmp_path: Path) -> None:
    files = {"dags/a.py": "from lib.make import build\nx = build('x')\n", "dags/lib/make.py": DAG}
    space = workspace(tmp_path, files)
    assert space.dags.silent == (Silent(tmp_path / "dags/a.py", ()),)
    assert not hits("DAG010", space)
    result = FileImport("a", 0.1, False, (), (), dags=({"id": "x"}, {"id": "y"}))
    space.__dict__["imports"] = Imports(None, silent={tmp_path / "dags/a.py": result})
    (found,) = hits("DAG010", space)
    assert found.message == (
        "the file's text holds no 'airflow' and no 'dag', so it is taken for one without a DAG; "
        "imported, it gives the DAGs x, y"
    )
    assert found.file == tmp_path / "dags/a.py"


def test_what_is_worth_an_import(tmp_path: Path) -> None:
    files = {
        "dags/plain.py": "import os, json\nx = 1\n",
        "dags/script.py": "import pandas, boto3\nfrom own.clean import f\n",
        "dags/own/clean.py": "x = 1\n",
        "dags/behind.py": "from own import deeper\ndeeper.x()\n",
        "dags/own/deeper.py": "from own.factory import x\nimport behind\n",
        "dags/own/factory.py": DAG,
        "dags/loader.py": "import own.generator\n",
        "dags/own/generator.py": "import dagfactory\n",
        "dags/hidden.py": "import dagfactory\n",
        "dags/.airflowignore": "hidden.py\n",
        "dags/real.py": DAG + "import dagfactory\n",
        "dags/pack/__init__.py": "from own import factory\n",
    }
    found = {item.path.name: item.modules for item in workspace(tmp_path, files).dags.silent}
    assert found == {
        "behind.py": (), "deeper.py": (), "loader.py": (), "script.py": ("boto3", "pandas"), "generator.py": ("dagfactory",),
    }  # fmt: skip


def test_without_safe_mode_nothing_is_passed_over(tmp_path: Path) -> None:
    space = workspace(tmp_path, {"dags/load.py": LOADER} | options(core__dag_discovery_safe_mode="False"))
    assert not hits("DAG010", space)
    assert [path.name for path in space.dags.imported] == ["load.py"]


def test_the_words_are_those_of_the_version(tmp_path: Path) -> None:
    files = {"dags/a.py": "from airflow.sdk import Asset\nx = Asset('x')\n"}
    assert len(workspace(tmp_path, files, "3.2.1").dags.parsed) == 1
    assert len(workspace(tmp_path, files, "2.10.3").dags.parsed) == 0


def test_archives_are_looked_into(tmp_path: Path) -> None:
    files = {
        "dags/good.py": DAG,
        "dags/packed.zip": packed(one=DAG + "x = (\n", helper="x = 1\n", lib__deep="y = (\n"),
        "dags/hidden.zip": packed(one=DAG),
        "dags/.airflowignore": "hidden.zip\n",
        "dags/fake.zip": "no archive",
    }
    space = workspace(tmp_path, files)
    archive = tmp_path / "dags/packed.zip"
    assert set(space.dags.imported) == {tmp_path / "dags/good.py", archive}
    assert {file.path for file in space.dags.parsed} == {tmp_path / "dags/good.py", archive / "one.py"}
    (found,) = hits("DAG001", space)
    assert (found.file, found.line) == (archive / "one.py", 7)
    assert space.relative(archive / "one.py") == "dags/packed.zip/one.py"
    assert _lines(archive / "one.py")[6] == "x = ("
    assert _lines(archive / "nothing.py") == []


def test_rules_about_dag_files_count_inside_archives(tmp_path: Path) -> None:
    text = 'import boto3\nfrom airflow.sdk import DAG\nboto3.client("s3").list_buckets()\n'
    (found,) = hits("DAG006", workspace(tmp_path, {"dags/p.zip": packed(one=text)}))
    assert (found.file, found.line) == (tmp_path / "dags/p.zip/one.py", 3)


def test_an_import_error_inside_an_archive(tmp_path: Path) -> None:
    space = workspace(tmp_path, {"dags/p.zip": packed(one=DAG, lib__deep="x = (\n")})
    inner = tmp_path / "dags/p.zip/one.py"
    deep = tmp_path / "dags/p.zip/lib/deep.py"
    problems = (
        ImportProblem("ModuleNotFoundError: No module named 'x'", inner, 2),
        ImportProblem("SyntaxError: '(' was never closed", deep, 1),
    )
    imported(space, "dags/p.zip", problems=problems)
    assert [(item.file, item.line) for item in hits("DAG002", space)] == [(inner, 2), (deep, 1)]


@pytest.mark.parametrize(("version", "count"), [("2.10.3", 2), ("3.2.1", 1)])
def test_which_names_archives_have(version: str, count: int, tmp_path: Path) -> None:
    """Airflow 2 takes any file that is a zip archive; Airflow 3 goes by the name."""
    space = workspace(tmp_path, {"dags/p.zip": packed(a=DAG), "dags/p.whl": packed(b=DAG)}, version)
    assert len(space.dags.archives) == count


def test_an_archive_with_its_folder_on_top_gives_no_dags(tmp_path: Path) -> None:
    space = workspace(tmp_path, {"dags/p.zip": packed(mydags__one=DAG)})
    (found,) = hits("DAG010", space)
    assert found.message.startswith("mydags/one.py lies in a folder of the archive")
    assert not hits("DAG010", workspace(tmp_path / "b", {"dags/p.zip": packed(one=DAG, lib__two=DAG)}))
    assert not hits("DAG010", workspace(tmp_path / "c", {"dags/p.zip": packed(lib__two="x = 1\n")}))


def test_an_archive_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    data = bytearray(packed(one=DAG))
    data[data.index(b"from datetime")] ^= 0xFF  # its checksum does not fit any more
    (found,) = outcomes("DAG010", workspace(tmp_path, {"dags/p.zip": bytes(data)}))
    assert isinstance(found, Unchecked)
    assert found.what == "the DAG archive dags/p.zip"
