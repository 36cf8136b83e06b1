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
from mwaa_local.errors import EngineError, MachineError, RequirementsError
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
    "content", [b"", b"plain", gzip.compress(b"-- something else\n"), gzip.compress(b"-- mwaa-local snapshot {}\n")]
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
