"""What shall be, kept and changed: how many workers, which of them go, what was applied last, a database in a file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from engines_support import Quiet
from fake_engine import FakeEngine, Machine

from mwaa_local import model
from mwaa_local.engines import desired, lifecycle, replicas, snapshots
from mwaa_local.engines.desired import Desired
from mwaa_local.engines.protocol import UpResult
from mwaa_local.errors import DefinitionError, EngineError, MachineError, RequirementsError
from mwaa_local.workflow.revision import Revision


def nobody() -> set[str]:
    return set()


@pytest.mark.parametrize(
    ("wanted", "present", "busy", "names"),
    [
        (1, [], [], ["worker"]),
        (3, [], [], ["worker", "worker-2", "worker-3"]),
        (3, ["worker"], [], ["worker", "worker-2", "worker-3"]),
        (1, ["worker", "worker-2", "worker-3"], [], ["worker"]),
        (2, ["worker", "worker-2", "worker-3"], [], ["worker", "worker-2"]),
        (1, ["worker", "worker-2", "worker-3"], ["worker-2"], ["worker", "worker-2"]),
        (2, ["worker", "worker-2", "worker-3"], ["worker-3"], ["worker", "worker-3"]),
        (1, ["worker", "worker-2"], ["worker", "worker-2"], ["worker", "worker-2"]),
        # As Compose counts; a number that was given up is not given again beside a higher one.
        (3, ["worker", "worker-3"], [], ["worker", "worker-3", "worker-4"]),
        (3, ["worker-10", "worker-9", "worker"], [], ["worker", "worker-9", "worker-10"]),
        (2, ["worker-2"], [], ["worker", "worker-2"]),
    ],
)
def test_the_first_worker_stays_and_those_with_tasks(
    wanted: int, present: list[str], busy: list[str], names: list[str]
) -> None:
    assert replicas.workers(wanted, present, lambda: busy) == names


def test_nobody_is_asked_what_workers_do_unless_some_shall_go() -> None:
    def never() -> set[str]:
        raise AssertionError

    assert replicas.workers(2, ["worker"], never) == ["worker", "worker-2"]


def test_workers_stay_where_the_database_does_not_say_what_they_do() -> None:
    def gone() -> set[str]:
        raise EngineError("the metadata database does not answer")

    assert replicas.workers(1, ["worker", "worker-2"], gone) == ["worker", "worker-2"]


class Project:
    """A project on a fake engine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.machine = folder, Machine()

    def engine(self, text: str = "MaxWorkers: 5\n") -> FakeEngine:
        (self.folder / "mwaa.yaml").write_text(f"Name: e\n{text}")
        self.environment = model.load(self.folder, flags={}, variables={})
        return FakeEngine(self.environment, self.machine)

    def up(self, text: str = "MaxWorkers: 5\n") -> UpResult:
        engine = self.engine(text)
        return lifecycle.up(engine, self.environment, Quiet(), timeout_s=1)

    def scale(self, workers: int) -> UpResult:
        return lifecycle.scale(self.engine(), workers, Quiet(), timeout_s=1)

    def workers(self) -> list[str]:
        return self.engine().observe().workers


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_up_keeps_the_workers_that_scaling_added_while_they_are_allowed(project: Project) -> None:
    project.up()
    project.scale(4)
    project.up()
    assert len(project.workers()) == 4
    project.up("MaxWorkers: 3\n")
    assert len(project.workers()) == 3, "no more than the definition allows"
    project.up("MinWorkers: 5\nMaxWorkers: 5\n")
    assert len(project.workers()) == 5, "no fewer than it asks for"
    project.up()
    assert len(project.workers()) == 1, "that was the definition's wish and nobody's scaling"


def test_an_environment_begins_with_its_least_whatever_it_was_scaled_to(project: Project) -> None:
    project.up()
    project.scale(3)
    project.engine().down(timeout_s=1)
    project.up()
    assert project.workers() == ["worker"]


def test_scaling_applies_what_was_applied_last_and_not_what_the_files_say_now(project: Project) -> None:
    (project.folder / "requirements").mkdir()
    (project.folder / "requirements" / "requirements.txt").write_text("one\n")
    project.up("AirflowConfigurationOptions: {core.parallelism: '7'}\nMaxWorkers: 5\n")
    before = project.engine().desired()
    (project.folder / "requirements" / "requirements.txt").write_text("half a li")
    project.scale(2)
    after = project.engine().desired()
    assert before is not None
    assert after is not None
    assert after.workers == 2
    assert after.revision == before.revision
    assert after.environment.spec == before.environment.spec
    assert after.environment.spec.option_variables()["AIRFLOW__CORE__PARALLELISM"] == "7"


def test_a_worker_that_stays_is_told(project: Project) -> None:
    project.up()
    project.scale(3)
    project.machine.tasks[project.environment.state] = {"worker-3"}
    assert project.scale(1).warnings == ["worker-3: kept beyond 1 while a task may run on it"]
    project.machine.tasks.clear()
    assert project.scale(1).warnings == []


def test_requirements_that_cannot_be_had_are_met_before_anything_is_applied(project: Project) -> None:
    project.up()
    project.machine.calls.clear()
    project.machine.fails["make_packages"] = RequirementsError("no")
    with pytest.raises(RequirementsError):
        project.up()
    assert [method for _, method in project.machine.calls] == ["admit", "make_packages"]


def test_what_was_applied_is_read_back_whole(tmp_path: Path) -> None:
    (tmp_path / "mwaa.yaml").write_text(
        "Name: e\nAirflowVersion: 2.10.3\nEnvironmentClass: mw1.medium\nTags: {a: b}\nMinWorkers: 2\n"
        "AirflowConfigurationOptions: {core.parallelism: 7}\nLoggingConfiguration: {TaskLogs: {Enabled: true, LogLevel: DEBUG}}\n"
        "Local: {Ports: {Web: 8123}, Paths: {Dags: elsewhere}, Engine: process}\n"
    )
    environment = model.load(tmp_path, flags={"AirflowVersion": "2.11.0"}, variables={"MWAA_LOCAL_RESOLVER": "pip"})
    shall = Desired(environment, Revision({"plugins": "1"}), 4)
    shall.write(tmp_path / "desired.json")
    assert (tmp_path / "desired.json").stat().st_mode & 0o777 == 0o600
    found = desired.read(tmp_path / "desired.json", tmp_path)
    assert found is not None
    assert (found.workers, dict(found.revision.digests)) == (4, {"plugins": "1"})
    for name in ("spec", "local", "project", "workflow"):
        assert getattr(found.environment, name) == getattr(environment, name), name
    assert str(found.environment.sources["Local.Engine"]) == "kept desired.json"


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"workers": 0}, {"workers": "1"}, {"fields": []}, {"revision": None}, {"revision": {"a": 1}},
        {"fields": {"MinWorkers": "many"}}, {"fields": {"AirflowVersion": "9.9.9"}},
    ],
)  # fmt: skip
def test_what_this_version_does_not_understand_counts_as_nothing(tmp_path: Path, change: dict[str, object]) -> None:
    whole = {"format": 1, "fields": {"Name": "e"}, "revision": {}, "workers": 1}
    file = tmp_path / "desired.json"
    file.write_text(json.dumps(whole))
    assert desired.read(file, tmp_path) is not None
    file.write_text(json.dumps({**whole, **change}))
    assert desired.read(file, tmp_path) is None
    file.write_text("{half")
    assert desired.read(file, tmp_path) is None


# -- another version on the same data ----------------------------------------------------------------------------------


def asked(project: Project) -> list[str]:
    return [method for _, method in project.machine.calls]


@pytest.mark.parametrize(
    ("first", "then", "steps"),
    [
        ("2.10.3", "2.11.0", ["down", "snapshot", "apply", "wait"]),
        ("2.11.0", "2.10.3", ["down", "snapshot", "downgrade", "apply", "wait"]),
        ("3.0.6", "3.3.1", ["down", "snapshot", "apply", "wait"]),
    ],
)
def test_a_copy_of_the_database_comes_first_and_the_newer_version_takes_it_back(
    project: Project, first: str, then: str, steps: list[str]
) -> None:
    project.up(f"AirflowVersion: {first}\n")
    project.machine.databases[project.environment.state]["value"] = "kept"
    project.machine.calls.clear()
    result = project.up(f"AirflowVersion: {then}\n")
    assert asked(project) == ["admit", "make_packages", *steps]
    assert project.machine.databases[project.environment.state] == {"version": then, "value": "kept"}
    assert f"Airflow {first} -> {then}: the database was taken along, a copy of before is kept" in result.changes
    (copy,) = (project.environment.state / "snapshots").iterdir()
    assert snapshots.about(copy).airflow_version == first


@pytest.mark.parametrize("step", ["apply", "wait", "downgrade"])
def test_a_version_that_does_not_come_up_leaves_everything_as_it_was(project: Project, step: str) -> None:
    project.up("AirflowVersion: 2.11.0\nAirflowConfigurationOptions: {core.parallelism: '7'}\n")
    project.machine.databases[project.environment.state]["value"] = "kept"
    project.machine.fails[step] = EngineError("no", why="because")
    with pytest.raises(EngineError, match="no") as caught:
        project.up("AirflowVersion: 2.10.3\nAirflowConfigurationOptions: {core.parallelism: '8'}\n")
    assert caught.value.why.splitlines() == [
        "because", "everything is as it was before: Airflow 2.11.0 runs with its data",
    ]  # fmt: skip
    observed = project.engine().observe()
    assert observed.healthy
    assert observed.addresses is not None
    assert observed.addresses.airflow_version == "2.11.0"
    assert observed.desired is not None
    assert observed.desired.environment.spec.options["core.parallelism"] == "7"
    assert project.machine.databases[project.environment.state] == {"version": "2.11.0", "value": "kept"}


def test_one_that_did_not_run_is_left_stopped_with_its_data(project: Project) -> None:
    project.up("AirflowVersion: 2.10.3\n")
    project.engine().down(timeout_s=1)
    project.machine.fails["wait"] = EngineError("no")
    with pytest.raises(EngineError) as caught:
        project.up("AirflowVersion: 2.11.0\n")
    assert "the database is as it was before" in caught.value.why
    assert not project.engine().observe().runs
    assert project.machine.databases[project.environment.state]["version"] == "2.10.3"


def test_what_does_not_come_back_is_said_with_the_place_of_the_copy(project: Project) -> None:
    project.up("AirflowVersion: 2.10.3\n")
    project.machine.fails |= {"wait": EngineError("no"), "restore": EngineError("the disk is gone")}
    with pytest.raises(EngineError) as caught:
        project.up("AirflowVersion: 2.11.0\n")
    assert "did not come back: the disk is gone" in caught.value.why
    assert "2.10.3-before-2.11.0.sql.gz" in caught.value.why


def test_three_copies_are_kept(project: Project) -> None:
    for version in ("2.10.1", "2.10.3", "2.11.0", "2.10.3", "2.10.1"):
        project.up(f"AirflowVersion: {version}\n")
    kept = {path.name for path in (project.environment.state / "snapshots").iterdir()}
    assert len(kept) == 3
    assert "2.10.3-before-2.10.1.sql.gz" in kept


def test_another_major_has_a_database_of_its_own_and_none_is_copied(project: Project) -> None:
    project.up("AirflowVersion: 2.11.0\n")
    project.machine.databases[project.environment.state].clear()
    project.machine.calls.clear()
    project.up("AirflowVersion: 3.2.1\n")
    assert "snapshot" not in asked(project)


def test_a_version_out_of_support_runs_only_when_it_is_asked_for(project: Project) -> None:
    with pytest.raises(DefinitionError, match=r"support of Airflow 2\.6\.3 on 2025-12-30") as caught:
        project.up("AirflowVersion: 2.6.3\n")
    assert "--allow-unsupported" in caught.value.hint
    assert project.machine.calls == []
    project.up("AirflowVersion: 2.6.3\nLocal: {AllowUnsupported: true}\n")
    project.up("AirflowVersion: 2.6.3\n")
    assert project.engine().observe().healthy, "one that is there goes on"


# -- a database in a file ----------------------------------------------------------------------------------------------


def test_a_snapshot_says_what_it_is_and_gives_its_lines_back(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.sql.gz"
    with snapshots.writing(target, "3.2.1", "mine") as file:
        file.write(
            b"\\restrict abc\nSET x;\nCOPY t FROM stdin;\n\\restrict is data\n\\unrestrict too\n\\.\n\\unrestrict abc\n"
        )
    about = snapshots.about(target)
    assert (about.airflow_version, about.environment) == ("3.2.1", "mine")
    assert list(snapshots.lines(target))[1:] == [
        b"SET x;\n", b"COPY t FROM stdin;\n", b"\\restrict is data\n", b"\\unrestrict too\n", b"\\.\n",
    ]  # fmt: skip
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_snapshot_that_was_not_written_to_its_end_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError), snapshots.writing(tmp_path / "a", "3.2.1", "mine") as file:
        file.write(b"half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(MachineError), snapshots.writing(tmp_path / "file" / "a", "3.2.1", "mine"):
        pass


@pytest.mark.parametrize(
    "content",
    [b"", b"plain", gzip.compress(b"-- something else\n"), gzip.compress(b"-- mwaa-local snapshot {}\n")],
    ids=["empty", "plain", "another line", "no members"],
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(EngineError, match="no snapshot") as caught:
        snapshots.about(tmp_path / "x")
    assert caught.value.where == str(tmp_path / "x")


def test_half_a_snapshot_is_an_error_at_its_end(tmp_path: Path) -> None:
    with snapshots.writing(tmp_path / "a", "3.2.1", "mine") as file:
        file.write(bytes(range(256)) * 4000)
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes()[:-30])
    with pytest.raises(EngineError, match="to its end"):
        list(snapshots.lines(tmp_path / "b"))
