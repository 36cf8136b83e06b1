"""Limits at their very edge: the last value that is good, and the first that is not."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from preflight_support import DAG, hits, imported, options, script, workspace

from mwaa_local.preflight.findings import Severity
from mwaa_local.preflight.imports import QUEUE

GIB = 1024**3


def said(rule: str, folder: Path, files: dict[str, str], version: str = "3.2.1") -> list[str]:
    return [item.message for item in hits(rule, workspace(folder, files, version))]


# -- DEF013 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "section"), [("3.2.1", "dag_processor"), ("2.10.3", "core")])
@pytest.mark.parametrize(
    ("importing", "processing", "found"),
    [("30", "31", False), ("30", "30", True), ("31", "30", True), ("49", None, False), ("50", None, True),
     ("51", None, True), (None, "31", False), (None, "30", True), (None, "29", True), ("30.5", "31", False)],
)  # fmt: skip
def test_the_import_has_to_end_before_its_process(
    version: str, section: str, importing: str | None, processing: str | None, found: bool, tmp_path: Path
) -> None:
    given = {"core__dagbag_import_timeout": importing, f"{section}__dag_file_processor_timeout": processing}
    files = options(**{name: value for name, value in given.items() if value is not None})
    messages = said("DEF013", tmp_path, files, version)
    assert len(messages) == found
    if found:
        assert (
            f"({importing or 30} s) is not below {section}.dag_file_processor_timeout ({processing or 50} s)"
            in (messages[0])
        )


def test_the_line_of_the_later_time_limit_is_named(tmp_path: Path) -> None:
    files = options(core__dagbag_import_timeout="60", dag_processor__dag_file_processor_timeout="60")
    (found,) = hits("DEF013", workspace(tmp_path, files))
    assert (found.line, found.fix) == (3, "raise dag_processor.dag_file_processor_timeout above 60")


@pytest.mark.parametrize(("version", "section"), [("3.2.1", "dag_processor"), ("2.10.3", "scheduler")])
def test_parsing_processes_up_to_the_threads_of_the_class(version: str, section: str, tmp_path: Path) -> None:
    files = options(**{f"{section}__parsing_processes": "1000"})
    (message,) = said("DEF013", tmp_path / "many", files, version)
    found = re.search(r"has threads for \((\d+)\)", message)
    assert found is not None
    limit = int(found[1])
    for count, wrong in ((limit - 1, False), (limit, False), (limit + 1, True)):
        files = options(**{f"{section}__parsing_processes": str(count)})
        assert bool(said("DEF013", tmp_path / str(count), files, version)) is wrong, count


def test_a_number_that_is_none_is_an_error(tmp_path: Path) -> None:
    (found,) = hits("DEF013", workspace(tmp_path, options(dag_processor__parsing_processes="two")))
    assert (found.severity, found.line) == (Severity.ERROR, 2)


def test_nothing_given_nothing_said(tmp_path: Path) -> None:
    assert not said("DEF013", tmp_path, {"mwaa.yaml": "Name: x\n"})


# -- DEF009 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "value", "severity", "fix"),
    [
        ("3.2.1", "5,5", None, ""),
        ("3.2.1", " 5 , 5 ", None, ""),
        ("3.2.1", "1,1", None, ""),
        ("3.2.1", "5,4", Severity.WARNING, "set celery.worker_autoscale: 5,5"),
        ("3.2.1", "4,5", Severity.ERROR, "write 5,4"),
        ("3.2.1", "0,0", Severity.ERROR, "write 20,0"),
        ("2.10.3", "0,0", Severity.ERROR, "write 20,0"),
        ("2.10.3", "5,4", None, ""),
        ("2.10.3", "5,5", None, ""),
        ("2.10.3", "4,5", Severity.ERROR, "write 5,4"),
        ("3.2.1", "5", Severity.ERROR, "write 20,0, the default of mw1.large"),
        ("3.2.1", "5,5,5", Severity.ERROR, "write 20,0, the default of mw1.large"),
        ("3.2.1", "-5,5", Severity.ERROR, "write 20,0, the default of mw1.large"),
    ],
)
def test_autoscale(version: str, value: str, severity: Severity | None, fix: str, tmp_path: Path) -> None:
    text = f'EnvironmentClass: mw1.large\nAirflowConfigurationOptions:\n  celery.worker_autoscale: "{value}"\n'
    found = hits("DEF009", workspace(tmp_path, {"mwaa.yaml": text}, version))
    assert [(item.severity, item.fix, item.line) for item in found] == ([(severity, fix, 3)] if severity else [])


# -- DEF011, DEF017 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "found"), [("DEBUG", False), ("INFO", False), ("WARNING", True), ("ERROR", True), ("CRITICAL", True)]
)
def test_task_logs_from_warnings_on_are_too_few(level: str, found: bool, tmp_path: Path) -> None:
    text = f"LoggingConfiguration:\n  TaskLogs: {{Enabled: true, LogLevel: {level}}}\n"
    assert bool(said("DEF011", tmp_path, {"mwaa.yaml": text})) is found


@pytest.mark.parametrize(
    ("port", "found"), [("25", True), (" 25 ", True), ("465", False), ("2525", False), ("", False)]
)
def test_the_one_mail_port_that_is_shut(port: str, found: bool, tmp_path: Path) -> None:
    assert bool(said("DEF017", tmp_path, options(smtp__smtp_port=port))) is found


# -- DAG003 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "seconds", "found"),
    [("100", 33.0, False), ("100", 33.01, True), ("30", 9.9, False), ("30", 9.91, True), ("100", 0.0, False)],
)
def test_a_third_of_the_time_limit_is_slow(limit: str, seconds: float, found: bool, tmp_path: Path) -> None:
    space = workspace(tmp_path, {"dags/d.py": DAG} | options(core__dagbag_import_timeout=limit))
    imported(space, "dags/d.py", seconds=seconds)
    assert [item.severity for item in hits("DAG003", space)] == ([None] if found else [])


# -- DAG013 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "found"),
    [
        ({"execution_timeout": 43200}, False), ({"execution_timeout": 43201}, True), ({"execution_timeout": None}, False),
        ({"mode": "poke", "timeout": 43200}, False), ({"mode": "poke", "timeout": 43201}, True),
        ({"mode": "poke", "timeout": None}, False), ({"mode": "reschedule", "timeout": 99999}, False),
        ({"timeout": 99999}, False),
    ],
)  # fmt: skip
def test_twelve_hours_are_the_longest_task(task: dict[str, object], found: bool, tmp_path: Path) -> None:
    space = workspace(tmp_path, {"dags/d.py": DAG})
    imported(space, "dags/d.py", dags=({"id": "one", "tasks": [{"task": "t", "queue": QUEUE, **task}]},))
    assert bool(hits("DAG013", space)) is found


# -- DAG014 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "fix"),
    [
        ("mw1.small", 25, None),
        ("mw1.small", 26, "use mw1.medium, or fewer DAGs"),
        ("mw1.small", 125, "use mw1.medium, or fewer DAGs"),
        ("mw1.small", 126, "use mw1.large, or fewer DAGs"),
        ("mw1.2xlarge", 2000, None),
        ("mw1.2xlarge", 2001, "fewer DAGs per environment"),
    ],
)
def test_half_of_a_class_is_its_capacity(name: str, count: int, fix: str | None, tmp_path: Path) -> None:
    space = workspace(tmp_path, {"dags/d.py": DAG, "mwaa.yaml": f"Name: x\nEnvironmentClass: {name}\n"})
    imported(space, "dags/d.py", dags=tuple({"id": str(number), "tasks": []} for number in range(count)))
    assert [(item.fix, item.line) for item in hits("DAG014", space)] == ([(fix, 2)] if fix else [])


@pytest.mark.parametrize(("version", "section"), [("3.2.1", "dag_processor"), ("2.10.3", "scheduler")])
@pytest.mark.parametrize(("seconds", "found"), [(30.0, False), (30.1, True)])
def test_a_round_of_imports_ends_before_the_next(
    version: str, section: str, seconds: float, found: bool, tmp_path: Path
) -> None:
    space = workspace(tmp_path / "a", {"dags/d.py": DAG, "mwaa.yaml": "EnvironmentClass: mw1.small\n"}, version)
    imported(space, "dags/d.py", seconds=seconds)
    assert bool(hits("DAG014", space)) is found
    slower = {
        "dags/d.py": DAG,
        "mwaa.yaml": f"AirflowConfigurationOptions:\n  {section}.min_file_process_interval: 31\n",
    }
    space = workspace(tmp_path / "b", slower | {"dags/e.py": DAG}, version)
    imported(space, "dags/d.py", seconds=seconds)
    imported(space, "dags/e.py", seconds=1.0)
    assert not [item for item in hits("DAG014", space) if seconds == 30.0]


# -- PLG005 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "cap", "severity"),
    [
        (GIB, 2 * GIB, ()),
        (GIB + 1, 2 * GIB, (None,)),
        (2 * GIB, 2 * GIB, (None,)),
        (2 * GIB + 1, 2 * GIB, (Severity.ERROR,)),
    ],
)
def test_a_folder_of_plugins(size: int, cap: int, severity: tuple[Severity | None, ...], tmp_path: Path) -> None:
    files = {"mwaa.yaml": f"Local: {{MaxPluginsBytes: {cap}}}\n", "plugins/data.bin": ""}
    space = workspace(tmp_path, files)
    with (tmp_path / "plugins/data.bin").open("wb") as stream:
        stream.truncate(size)  # a hole: nothing is written
    assert tuple(item.severity for item in hits("PLG005", space)) == severity


@pytest.mark.parametrize(("more", "found"), [(0, False), (1, True)])
def test_an_archive_of_plugins_by_its_own_size(more: int, found: bool, tmp_path: Path) -> None:
    """A zip archive may have anything before its entries; here a hole."""
    small = tmp_path / "small.zip"
    with zipfile.ZipFile(small, "w") as archive:
        archive.writestr("p.py", "X = 1\n")
    tail = small.read_bytes()
    with (tmp_path / "plugins.zip").open("wb") as stream:
        stream.seek(GIB + more - len(tail))
        stream.write(tail)
    small.unlink()
    assert bool(hits("PLG005", workspace(tmp_path, {"mwaa.yaml": "Name: x\n"}))) is found


# -- SUP009 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("sleep 294\n", []), ("sleep 295\n", [1]), ("sleep 4m\nsleep 54\n", []), ("sleep 4m\nsleep 55\nsleep 1\n", [2]),
        ("sleep 294.9\n", []), ("sleep 0.1h\n", [1]), ("sleep 300 &\n", []), ("sleep 147\nsleep 147\n", []),
    ],
)  # fmt: skip
def test_a_script_may_take_five_minutes_less_the_patience(text: str, lines: list[int], tmp_path: Path) -> None:
    assert [item.line for item in hits("SUP009", workspace(tmp_path, script(text)))] == lines
