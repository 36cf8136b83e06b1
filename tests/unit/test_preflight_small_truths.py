"""What a finding says is all of it, once, and readable."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_support import DAG, hits, imported, workspace, write

from mwaa_local.preflight import run
from mwaa_local.preflight.findings import Area, Severity
from mwaa_local.preflight.imports import FileImport, ImportProblem, Imports
from mwaa_local.preflight.readings.text import TextFile
from mwaa_local.preflight.run import Request
from mwaa_local.preflight.sets import PackageSet

PLUGIN = "from airflow.plugins_manager import AirflowPlugin\n\nclass P(AirflowPlugin):\n    name = 'p'\n"


@pytest.mark.parametrize(
    ("failing", "words"), [(("worker",), "in worker:"), (("scheduler", "worker", "webserver"), "in every component:")]
)
def test_a_plugin_that_fails_twice_in_a_component_names_it_once(
    tmp_path: Path, failing: tuple[str, ...], words: str
) -> None:
    space = workspace(tmp_path, {"plugins/p.py": PLUGIN})
    problem = ImportProblem(text="NameError: name 'x' is not defined", file=tmp_path / "plugins" / "p.py", line=1)
    results = {
        name: FileImport("plugins", 0.1, False, (problem, problem) if name in failing else (), (), ())
        for name in ("scheduler", "worker", "webserver")
    }
    space.__dict__["imports"] = Imports(PackageSet(Path("python"), True), plugins=results)
    (found,) = hits("PLG008", space)
    assert words in found.message


def test_too_many_dags_are_told_with_the_number_that_was_passed(tmp_path: Path) -> None:
    space = workspace(tmp_path, {"dags/a.py": DAG, "mwaa.yaml": "EnvironmentClass: mw1.small\n"})
    imported(space, "dags/a.py", dags=tuple({"id": str(number)} for number in range(60)))
    (found,) = hits("DAG014", space)
    capacity, share = space.environment.environment_class.dag_capacity, space.parsing.capacity_share
    assert (
        f"60 DAGs on mw1.small: more than {capacity * share:g}, which is {share:.0%} of the {capacity}" in found.message
    )


@pytest.mark.parametrize(("version", "attribute", "severity"), [
    ("2.10.3", "fastapi_apps", Severity.WARNING), ("2.10.3", "operators", Severity.WARNING), ("3.2.1", "operators", None),
])  # fmt: skip
def test_what_airflow_2_ignores_in_a_plugin_is_no_error(
    tmp_path: Path, version: str, attribute: str, severity: Severity | None
) -> None:
    (found,) = hits("PLG009", workspace(tmp_path, {"plugins/p.py": f"{PLUGIN}    {attribute} = [1]\n"}, version))
    assert found.severity == severity


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-8"])
def test_lines_are_shown_in_the_encoding_they_were_saved_in(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    path = tmp_path / "a.txt"
    path.write_bytes(f"{mark}first\r\nsécond\r\n".encode(encoding))
    assert TextFile.read(path).shown == ["first", "sécond", ""]


def test_a_finding_in_a_utf_16_file_has_a_readable_excerpt(tmp_path: Path) -> None:
    write(tmp_path, {"startup/startup.sh": "#!/bin/bash\nexit 1\n".encode("utf-16"), "dags/a.py": DAG.encode("utf-16")})
    report = run.validate(Request(tmp_path, areas=(Area.STARTUP, Area.DAGS)))
    assert report.findings
    assert not [item for item in report.findings if "\ufffd" in item.excerpt or "\0" in item.excerpt]


@pytest.mark.parametrize(("version", "patterns"), [("2.10.3", ".*\n"), ("3.2.1", "*\n"), ("3.2.1", "*.py\n")])
def test_an_airflowignore_that_hides_every_dag_file_is_told(tmp_path: Path, version: str, patterns: str) -> None:
    files = {"dags/.airflowignore": patterns, "dags/a.py": DAG, "dags/b/c.py": DAG}
    found = [item for item in hits("DAG010", workspace(tmp_path, files, version)) if "no DAG" in item.message]
    assert [item.message for item in found] == [
        ".airflowignore hides all 2 Python files here: the environment has no DAG"
    ]
    assert found[0].severity is None
    assert found[0].file == tmp_path / "dags" / ".airflowignore"


def test_an_airflowignore_that_leaves_one_is_not(tmp_path: Path) -> None:
    files = {"dags/.airflowignore": "a.py\n", "dags/a.py": DAG, "dags/b.py": DAG}
    assert not [item for item in hits("DAG010", workspace(tmp_path, files)) if "no DAG" in item.message]
    assert not hits("DAG010", workspace(tmp_path / "x", {"dags/.airflowignore": "*\n", "dags/data.csv": ""}))
