"""A copy of the example workspace with a fault of nearly every rule: each is found, at its line, and nothing else is said."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mwaa_local.model.cache import cache_folder
from mwaa_local.preflight import run, sets
from mwaa_local.preflight.findings import Area, Severity, Unchecked
from mwaa_local.preflight.report import Report
from mwaa_local.preflight.run import Request

ROOT = Path(__file__).parents[2]
BROKEN = ROOT / "tests/fixtures/preflight/broken"
EXAMPLE = ("dags", "plugins", "requirements", "startup", "mwaa.yaml")

PLANTED = {
    ("DEF002", "mwaa.yaml", 1),  # Nam
    ("DEF005", "mwaa.yaml", 4),  # MaxWorkers
    ("DEF015", "mwaa.yaml", 6),
    ("DEF004", "mwaa.yaml", 8),
    ("DEF007", "mwaa.yaml", 9),
    ("DEF008", "mwaa.yaml", 10),
    ("DEF009", "mwaa.yaml", 11),
    ("DEF010", "mwaa.yaml", 13),
    ("DEF017", "mwaa.yaml", 14),
    ("DEF011", "mwaa.yaml", 16),
    ("REQ018", "requirements/requirements.txt", 2),
    ("REQ008", "requirements/requirements.txt", 3),
    ("REQ011", "requirements/requirements.txt", 3),  # the private web server reaches no index
    ("REQ009", "requirements/requirements.txt", 5),
    ("REQ014", "requirements/requirements.txt", 6),
    ("SUP003", "startup/startup.sh", 2),
    ("SUP005", "startup/startup.sh", 3),
    ("SUP017", "startup/startup.sh", 5),
    ("SUP006", "startup/startup.sh", 6),
    ("SUP008", "startup/startup.sh", 6),  # the private web server downloads nothing
    ("SUP007", "startup/startup.sh", 7),  # tar
    ("SUP010", "startup/startup.sh", 9),
    ("SUP007", "startup/startup.sh", 10),  # wget
    ("SUP011", "startup/startup.sh", 12),
    ("SUP014", "startup/startup.sh", 13),
    ("SUP013", "startup/startup.sh", 14),
    ("SUP015", "startup/startup.sh", 15),
    ("SUP009", "startup/startup.sh", 16),
    ("SUP004", "startup/startup.sh", 17),
    ("PLG008", "plugins/needs_missing.py", 3),
    ("PLG009", "plugins/old_style.py", 15),
    ("PLG013", "plugins/old_style.py", 6),
    ("PLG012", "plugins/same_name.py", 5),
    ("PLG016", "plugins/hidden_plugin.py", 4),
    ("PLG007", "plugins/helper.py", 0),
    ("PLG004", "plugins/transform.sh", 0),
    ("PLG010", "plugins/numpy-2.1.0-cp312-cp312-macosx_11_0_arm64.whl", 0),
    ("PLG002", "plugins.zip", 0),
    ("PLG003", "plugins.zip", 0),
    ("PLG006", "plugins.zip", 0),
    ("PLG017", "plugins.zip", 0),
    ("DAG001", "dags/syntax.py", 3),
    ("DAG002", "dags/missing_module.py", 3),
    ("DAG004", "dags/twin.py", 5),
    ("DAG015", "dags/tasks.py", 7),
    ("DAG005", "dags/tasks.py", 8),
    ("DAG013", "dags/tasks.py", 9),
    ("DAG012", "dags/tasks.py", 13),
    ("DAG007", "dags/top_level.py", 7),
    ("DAG006", "dags/top_level.py", 12),
    ("DAG009", "dags/from_airflow_2.py", 2),
    ("DAG009", "dags/from_airflow_2.py", 3),
    ("DAG008", "dags/from_airflow_2.py", 5),
    ("DAG008", "dags/old_argument.py", 8),
    ("DAG018", "dags/database.py", 4),
    ("DAG017", "dags/executor.py", 7),
    ("DAG010", "dags/factory.py", 3),
    ("DAG011", "dags/helpers.py", 0),
}
# Faults for which pip stops, so that each needs a file of its own: the file, and what shall be found in it.
STOPPING = {
    "conflict": ("cowsay==6.1\nurllib3==1.25.0\n", {("REQ001", 2)}),
    "absent": ("cowsay==6.1\nthing-that-is-not-there-mwaa==1.0\n", {("REQ002", 2)}),
    "refused": ("cowsay==6.1\n--no-deps\n", {("REQ003", 2)}),
    "hash": (f"cowsay==6.1 --hash=sha256:{'0' * 64}\n", {("REQ017", 1)}),
    "library": ("cowsay==6.1\npygraphviz==1.14\n", {("REQ010", 2)}),
    "provider": ("apache-airflow-providers-amazon==9.0.0\n", {("REQ001", 1)}),
}
# What differs between versions only: the faults that Airflow 2 does not mind, and those only it minds.
ONLY_ON_3 = {"DEF004", "DEF008", "PLG009", "DAG008", "DAG009", "DAG018"}


def example(folder: Path) -> Path:
    """A copy of the repository's own workspace."""
    for name in EXAMPLE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


def broken(folder: Path) -> Path:
    """The copy with the faults planted."""
    example(folder)
    for path in BROKEN.rglob("*.txt"):
        target = folder / path.relative_to(BROKEN).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o644)
    # The archive as a Mac makes it of the folder above it, with one entry that wants out.
    with zipfile.ZipFile(folder / "plugins.zip", "w") as archive:
        for name, text in (
            ("plugins/helper.py", "VALUE = 0\n"),
            ("__MACOSX/plugins/._helper.py", "x"),
            ("plugins/../../../etc/profile.d/evil.sh", "x"),
        ):
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o755) << 16
            archive.writestr(info, text)
    return folder


def missed(report: Report) -> list[Unchecked]:
    """What could not be checked; a machine that has no constraint file of Airflow says so, and checks all the same."""
    return [item for item in report.unchecked if item.brief != "without Airflow's constraint file"]


def validated(folder: Path, **more: object) -> Report:
    variables = dict(os.environ)
    return run.validate(Request(folder, variables=variables, locate=sets.locator(cache_folder(variables)), **more))  # type: ignore[arg-type]


def places(report: Report) -> set[tuple[str, str, int]]:
    return {(item.rule.id, item.path, item.line) for item in report.findings if item.severity is not Severity.INFO}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    yield validated(broken(tmp_path_factory.mktemp("broken") / "project"))


def test_every_planted_fault_is_found_and_none_besides(report: Report) -> None:
    found = places(report)
    assert not PLANTED - found, "planted, not found"
    assert not found - PLANTED, "found, not planted"
    assert len(PLANTED) >= 20
    assert len({item.rule.id[:3] for item in report.findings}) >= 4


@pytest.mark.parametrize("name", STOPPING)
def test_a_requirement_that_stops_pip_is_found_and_nothing_besides(name: str, tmp_path: Path) -> None:
    text, wanted = STOPPING[name]
    folder = example(tmp_path / "project")
    (folder / "requirements/requirements.txt").write_text(text)
    found = validated(folder, areas=(Area.REQUIREMENTS,))
    assert places(found) == {(rule, "requirements/requirements.txt", line) for rule, line in wanted}
    assert not missed(found)


def test_everything_could_be_checked(report: Report) -> None:
    assert not missed(report)
    assert report.exit_code == 1


def test_each_finding_says_what_to_do(report: Report) -> None:
    for item in report.findings:
        assert all((item.message, item.fix, item.rule.why, item.rule.source)), item


def test_the_same_workspace_on_airflow_2(tmp_path: Path) -> None:
    """What Airflow 3 removed is no fault on 2.10.3, and `--target` tells the two apart."""
    report = validated(broken(tmp_path / "project"), flags={"AirflowVersion": "2.10.3"}, target="3.2.1")
    breaking = {
        item.rule.id for item in report.findings if item.when == "target" and item.severity is not Severity.INFO
    }
    assert breaking >= ONLY_ON_3, ONLY_ON_3 - breaking
    both = {
        (item.rule.id, item.path, item.line)
        for item in report.findings
        if item.when == "both" and item.severity is not Severity.INFO
    }
    assert {
        ("SUP004", "startup/startup.sh", 17),
        ("DAG001", "dags/syntax.py", 3),
        ("DAG002", "dags/missing_module.py", 3),
    } <= both
    assert not {item.rule.id for item in report.findings if item.when == "both"} & {"DAG008", "DAG009", "DAG018"}
