"""A change of the version tried beside what runs: the second environment and its data, what is compared, what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engines_support import Quiet
from fake_engine import FakeEngine, Machine

from mwaa_local import catalog, cli, model
from mwaa_local.cli import context as cli_context
from mwaa_local.cli import rehearse
from mwaa_local.cli.rehearse import Seen
from mwaa_local.engines import lifecycle, rehearsal
from mwaa_local.engines.choose import Choice
from mwaa_local.errors import EngineError
from mwaa_local.model import Environment


class Project:
    """A project on a fake machine, running."""

    def __init__(self, folder: Path, version: str = "2.10.3") -> None:
        self.folder, self.machine = folder, Machine()
        (folder / "mwaa.yaml").write_text(f"Name: e\nAirflowVersion: {version}\nLocal: {{Ports: {{Web: 8111}}}}\n")
        self.environment = model.load(folder, flags={}, variables={})
        self.engine = self.of(self.environment)
        lifecycle.up(self.engine, self.environment, Quiet(), timeout_s=1)
        self.machine.databases[self.environment.state]["value"] = "mine"

    def of(self, environment: Environment) -> Any:
        return FakeEngine(environment, self.machine)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_it_has_the_files_and_fields_of_the_one_that_runs_and_ports_of_its_own(project: Project) -> None:
    other = rehearsal.environment_of(project.environment, "2.11.0")
    assert (other.name, other.version.airflow) == ("e-rehearsal", "2.11.0")
    assert other.workflow == project.environment.workflow
    assert other.local.ports.explicit == frozenset()
    assert other.local.allow_unsupported
    long = project.environment.having(name="x" * 80)
    assert len(rehearsal.environment_of(long, "2.11.0").name) == 80


@pytest.mark.parametrize("target", ["2.11.0", "2.10.1", "2.4.3"])
def test_within_a_major_the_data_go_along_and_the_one_that_runs_is_left_alone(project: Project, target: str) -> None:
    other = rehearsal.environment_of(project.environment, target)
    second, copy = project.of(other), project.folder / "copy"
    before = dict(project.machine.running[project.environment.state])
    rehearsal.bring_up(project.engine, second, other, copy, Quiet(), timeout_s=1)
    assert project.machine.databases[other.state] == {"version": target, "value": "mine"}
    assert project.machine.databases[project.environment.state] == {"version": "2.10.3", "value": "mine"}
    assert project.machine.running[project.environment.state] == before


def test_an_engine_that_has_no_place_for_the_data_yet_is_started_first(project: Project) -> None:
    other = rehearsal.environment_of(project.environment, "2.11.0")
    second = project.of(other)
    project.machine.fails["restore"] = EngineError("this environment has no database yet")
    rehearsal.bring_up(project.engine, second, other, project.folder / "copy", Quiet(), timeout_s=1)
    assert project.machine.databases[other.state]["value"] == "mine"


def test_what_is_worse_is_what_worked_before() -> None:
    now = Seen("2.10.3", {"a.py": "x"}, {"one": "success", "two": "failed", "three": "success"})
    then = Seen("3.2.1", {"/dags/a.py": "x", "/dags/b.py": "ImportError: gone"}, {"one": "failed", "two": "failed"})
    assert rehearse._worse(now, then) == [
        "/dags/b.py cannot be imported: ImportError: gone",
        "one ends failed, and success on 2.10.3",
        "three is not there",
    ]


def test_options_that_moved_and_packages_that_differ(tmp_path: Path) -> None:
    (tmp_path / "mwaa.yaml").write_text(
        "AirflowVersion: 2.10.3\n"
        "AirflowConfigurationOptions: {scheduler.dag_dir_list_interval: '60', core.parallelism: '9', mine.own: 'x'}\n"
    )
    environment = model.load(tmp_path, flags={}, variables={})
    (line,) = rehearse._options(environment, "3.2.1")
    assert line == (
        "scheduler.dag_dir_list_interval is called dag_processor.refresh_interval there; the old name still counts"
    )
    found = rehearse._packages(catalog.version("2.10.3"), catalog.version("3.2.1"))
    assert found["apache-airflow"] == ("2.10.3", "3.2.1")
    assert found["apache-airflow-core"] == ("", "3.2.1")
    assert all(old != new for old, new in found.values())


class Told:
    """``mwaa-local rehearse`` over the fake machine and a web server that says what a test wants."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.seen = {"2.10.3": Seen("2.10.3", {}, {"d": "success"}), "2.11.0": Seen("2.11.0", {}, {"d": "success"})}
        self.findings: tuple[str, ...] = ()
        self._capsys, self._monkeypatch, self._project = capsys, monkeypatch, project
        monkeypatch.setattr(rehearse, "_seen", lambda environment, *_: self.seen[environment.version.airflow])
        monkeypatch.setattr(rehearse, "_findings", lambda *_: self.findings)
        monkeypatch.setattr(cli_context, "choose", lambda environment, _: Choice(project.of(environment), "so"))

    def __call__(self, *words: str) -> tuple[int, str, str]:
        argv = ["mwaa-local", "--project", str(self._project.folder), "rehearse", *words]
        self._monkeypatch.setattr("sys.argv", argv)
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err


@pytest.fixture
def told(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    return Told(project, monkeypatch, capsys)


def test_a_change_that_makes_nothing_worse_ends_with_0_and_leaves_nothing(project: Project, told: Told) -> None:
    code, out, _ = told("2.11.0")
    assert code == 0
    assert "2.10.3 -> 2.11.0: nothing is worse; a copy of the data was taken along; 1 of 1 runs succeeded" in out
    assert "celery 5.4.0 -> 5.5.2" in out or "and " in out
    assert [path.name for path in project.environment.site.iterdir() if path.is_dir()] == ["e"]


def test_what_is_worse_ends_with_1(told: Told) -> None:
    told.seen["2.11.0"] = Seen("2.11.0", {}, {"d": "failed"})
    told.findings = ("DAG009 a.py:3 gone",)
    code, out, _ = told("2.11.0", "--json")
    document = json.loads(out)
    assert (code, document["passed"]) == (1, False)
    assert document["worse"] == ["d ends failed, and success on 2.10.3"]
    assert document["findings"] == ["DAG009 a.py:3 gone"]
    assert document["now"]["airflow_version"] == "2.10.3"


def test_one_that_does_not_come_up_ends_with_2_and_is_removed(project: Project, told: Told) -> None:
    project.machine.fails["wait"] = EngineError("scheduler ended", hint="look")
    code, _, err = told("2.11.0")
    assert code == 2
    assert "scheduler ended" in err
    assert not (project.environment.site / "e-rehearsal").exists()
    assert project.engine.observe().healthy


def test_kept_it_runs_on(project: Project, told: Told) -> None:
    assert told("2.11.0", "--keep")[0] == 0
    assert project.of(rehearsal.environment_of(project.environment, "2.11.0")).observe().healthy


def test_without_an_environment_that_runs_or_another_version_there_is_nothing_to_compare(
    project: Project, told: Told
) -> None:
    assert "runs on Airflow 2.10.3 already" in told("2.10.3")[2]
    project.engine.down(timeout_s=1)
    code, _, err = told("2.11.0")
    assert code == 1
    assert "does not run" in err
