"""PostgreSQL's words and refusals without a server; the launcher's; the name of a template."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from patience import until

from mwaa_local.catalog import version
from mwaa_local.engines.process import launch, postgres, template
from mwaa_local.engines.process.postgres import Cluster
from mwaa_local.errors import EngineError, MachineError
from mwaa_local.ground import processes

VERSION = version("3.2.1")


def test_the_server_listens_on_loopback_only_and_has_no_socket_without_password() -> None:
    words = Cluster(Path("/data"), "same", Path("/pg")).serve(5555)
    assert words[:5] == ["/pg/postgres", "-D", "/data", "-p", "5555"]
    assert set(words[5::2]) == {"-c"}
    settings = dict(word.split("=", 1) for word in words[6::2])
    assert settings["listen_addresses"] == "127.0.0.1"
    assert settings["unix_socket_directories"] == ""
    assert settings["password_encryption"] == "scram-sha-256"
    assert settings["max_connections"] == "100"
    assert "fsync" not in settings, "a crash of the machine loses nothing"


def test_a_program_is_started_through_the_launcher() -> None:
    words = postgres.launched("nobody", ["prog", "a"], parent=7)
    assert words[:3] == [sys.executable, "-I", "-S"]
    assert words[4:] == ["7", "nobody", "prog", "a"]
    assert Path(words[3]).name == "launch.py" and Path(words[3]).is_file()
    assert postgres.launched("same", ["prog"])[4] == "0", "tied to nobody"


def answer(monkeypatch: pytest.MonkeyPatch, **by_identity: Any) -> list[list[str]]:
    asked: list[list[str]] = []

    def run(words: list[str], **_: Any) -> Any:
        asked.append(words)
        code, out, err = by_identity[words[5]]
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def test_who_is_not_root_needs_no_other_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert postgres.working_identity() == "same"


@pytest.mark.parametrize(
    ("namespace", "nobody", "found"),
    [
        ((0, "1000\n", ""), (0, "65534\n", ""), "namespace"),
        ((1, "", "unshare: not permitted"), (0, "65534\n", ""), "nobody"),
        ((0, "0\n", ""), (0, "65534\n", ""), "nobody"),
        ((0, "", ""), (0, "65534\n", ""), "nobody"),
    ],
)
def test_root_takes_the_first_way_that_works(
    monkeypatch: pytest.MonkeyPatch, namespace: Any, nobody: Any, found: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    answer(monkeypatch, namespace=namespace, nobody=nobody)
    assert postgres.working_identity() == found


def test_root_without_any_way_is_told_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    answer(monkeypatch, namespace=(1, "", "unshare: not permitted"), nobody=(0, "0", ""))
    with pytest.raises(MachineError, match="PostgreSQL cannot run as root here") as caught:
        postgres.working_identity()
    assert caught.value.why == "namespace: unshare: not permitted; nobody: 0"


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for found in (None, SimpleNamespace(origin=None), SimpleNamespace(origin=str(tmp_path / "__init__.py"))):
        monkeypatch.setattr(postgres.importlib.util, "find_spec", lambda _name, found=found: found)
        with pytest.raises(MachineError, match="PostgreSQL is not there"):
            postgres.binaries()
    folder = tmp_path / "pginstall" / "bin"
    folder.mkdir(parents=True)
    (folder / "postgres").touch()
    assert postgres.binaries() == folder


# -- lock files and descriptions ---------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    (tmp_path / "data").mkdir()
    return Cluster(tmp_path / "data", "same", tmp_path)


@pytest.mark.parametrize(
    ("words", "stays", "runs"),
    [
        ([], False, False),
        (["/pg/postgres", "-D", "{data}"], True, True),
        (["/pg/postgres", "-D", "/other"], False, False),
        (["/usr/bin/vim", "{data}"], False, True),
    ],
)
def test_a_lock_is_stale_unless_its_process_is_a_server_of_this_folder(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, words: list[str], stays: bool, runs: bool
) -> None:
    lock = cluster.data / "postmaster.pid"
    lock.write_text("77\n/data\n")
    seen: list[int] = []
    line = [word.format(data=cluster.data) for word in words]
    monkeypatch.setattr(processes, "command_line", lambda pid: seen.append(pid) or line)
    assert cluster.running() == (77 if runs else None)
    cluster.clear_stale()
    assert lock.exists() is stays
    assert set(seen) == {77}


def test_without_a_lock_or_with_half_of_one_nothing_runs(cluster: Cluster) -> None:
    cluster.clear_stale()
    assert cluster.running() is None
    (cluster.data / "postmaster.pid").write_text("")
    cluster.clear_stale()
    assert cluster.running() is None
    assert (cluster.data / "postmaster.pid").exists()


def test_a_cluster_is_read_back_only_when_its_data_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert postgres.describe(tmp_path) is None
    data = tmp_path / "data"
    note = {"data": str(data), "identity": "namespace", "programs": None}
    (tmp_path / "cluster.json").write_text(json.dumps(note))
    assert postgres.describe(tmp_path) is None
    data.mkdir()
    for name in ("global", "base", "pg_wal"):
        (data / name).mkdir()
    (data / "global/pg_control").touch()
    assert postgres.describe(tmp_path) is None
    (data / "PG_VERSION").touch()
    monkeypatch.setattr(postgres, "binaries", lambda: Path("/wheel"))
    assert postgres.describe(tmp_path) == Cluster(data, "namespace", Path("/wheel"))
    (tmp_path / "cluster.json").write_text(json.dumps({**note, "programs": "/copy"}))
    assert postgres.describe(tmp_path) == Cluster(data, "namespace", Path("/copy"))


def test_data_that_lie_elsewhere_are_removed_too_and_no_others(tmp_path: Path) -> None:
    home, other, stranger = tmp_path / "home", tmp_path / "elsewhere", tmp_path / "stranger"
    for folder in (home, other / "data", stranger):
        folder.mkdir(parents=True)
    (home / "cluster.json").write_text(json.dumps({"data": str(home / "data"), "identity": "same", "programs": None}))
    postgres.destroy(home)
    assert not home.exists() and tmp_path.exists() and other.exists()
    home.mkdir()
    (home / "cluster.json").write_text(
        json.dumps({"data": str(other / "data"), "identity": "nobody", "programs": None})
    )
    postgres.destroy(home)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stranger"]
    postgres.destroy(home)


# -- what PostgreSQL says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "err", "kind", "what"),
    [
        (0, "", None, ""),
        (0, "LOG: fine", None, ""),
        (0, 'ERROR:  database "x" already exists', EngineError, "PostgreSQL set-up failed (exit code 0)"),
        (0, "FATAL:  no", EngineError, "PostgreSQL set-up failed (exit code 0)"),
        (1, "oh", EngineError, "PostgreSQL set-up failed (exit code 1)"),
        (1, "could not write: No space left on device", MachineError, "PostgreSQL set-up failed: the disk is full"),
    ],
)
def test_a_failure_is_seen_whatever_the_exit_code(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, code: int, err: str, kind: Any, what: str
) -> None:
    """Single-user mode ends with 0 after an error in a statement."""
    given: list[Any] = []

    def run(words: list[str], *, input: str, env: dict[str, str], **_: Any) -> Any:
        given.append((words[6:], input, env))
        return SimpleNamespace(returncode=code, stdout="", stderr=f"one\n{err}")

    monkeypatch.setattr(subprocess, "run", run)
    if kind is None:
        cluster.single(["ONE", "TWO"])
    else:
        with pytest.raises(kind) as caught:
            cluster.single(["ONE", "TWO"])
        assert caught.value.what == what
        assert caught.value.why == f"one\n{err}"
    ((words, text, env),) = given
    assert text == "ONE\nTWO\n", "a line each"
    assert words[:3] == [str(cluster.programs / "postgres"), "--single", "-D"] and words[-1] == "postgres"
    assert env == {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def test_a_set_up_that_does_not_end_is_named(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(words: list[str], *, timeout: float, **_: Any) -> Any:
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(EngineError, match="PostgreSQL set-up did not end in 60 s"):
        cluster.single(["ONE"])


class Answers:
    """A database of a few tables, asked through psycopg2."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tables: dict[str, list[str]]) -> None:
        self.tables, self.asked, self.closed, self.given = tables, list[str](), 0, dict[str, Any]()
        self.autocommit = False
        self.row: Any = None
        monkeypatch.setattr(psycopg2, "connect", self._connect)

    def _connect(self, **given: Any) -> Any:
        self.given = given
        return self

    @contextmanager
    def cursor(self) -> Any:
        yield self

    def execute(self, text: str, values: tuple[str, ...] = ()) -> None:
        self.asked.append(text)
        if values:
            self.row = (values[0] in self.tables,)
        elif "version_num" in text:
            rows = self.tables[text.split('"')[1]]
            self.row = (rows[0],) if rows else None

    def fetchone(self) -> Any:
        return self.row

    def close(self) -> None:
        self.closed += 1


def test_heads_of_tables_that_are_there_empty_or_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Answers(monkeypatch, {"a": ["head"], "b": []})
    assert postgres.schema_heads(1, "p", ["a", "b", "c"]) == {"a": "head", "b": None, "c": None}
    assert database.closed == 1 and database.autocommit


def test_a_connection_is_bounded_and_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Answers(monkeypatch, {})
    assert postgres.answers(5555, "secret", seconds=0.5) == ""
    assert database.asked == ["SELECT 1"] and database.closed == 1
    given = database.given
    assert (given["host"], given["port"], given["password"]) == ("127.0.0.1", 5555, "secret")
    assert (given["user"], given["dbname"], given["sslmode"]) == ("adminuser", "AirflowMetadata", "disable")
    assert given["connect_timeout"] == 2, "the least that the library honours"
    assert given["options"] == "-c statement_timeout=500"
    with postgres.connection(1, "p", seconds=5.9, database="postgres"):
        assert database.given["connect_timeout"] == 5 and database.given["dbname"] == "postgres"


def test_a_silent_server_is_one_line_or_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    said = ["refused\nIs it running?\n", "", "refused"]

    def connect(**_: Any) -> Any:
        raise psycopg2.OperationalError(said.pop(0))

    monkeypatch.setattr(psycopg2, "connect", connect)
    assert postgres.answers(1, "p") == "refused"
    assert postgres.answers(1, "p") == "OperationalError"
    with pytest.raises(EngineError, match="the metadata database does not answer") as caught:
        postgres.schema_heads(1, "p", ["a"])
    assert (caught.value.where, caught.value.why) == ("127.0.0.1:1", "refused")


# -- templates ---------------------------------------------------------------------------------------------------------


def test_the_name_of_a_template_changes_with_all_that_shapes_it(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_bytes(b"1234")
    first = template.key(VERSION, tmp_path, {"A": "1"})
    assert first.startswith("3.2.1-pg16-")
    assert template.key(VERSION, tmp_path, {"A": "1"}) == first
    others = [template.key(VERSION, tmp_path, {}), template.key(version("2.11.0"), tmp_path, {"A": "1"})]
    (tmp_path / "postgres").write_bytes(b"12345")
    others.append(template.key(VERSION, tmp_path, {"A": "1"}))
    assert len({first, *others}) == 4


def test_a_template_that_is_there_is_used_without_a_lock(tmp_path: Path) -> None:
    place = tmp_path / "databases" / "name"
    place.mkdir(parents=True)
    (place / "PG_VERSION").touch()

    def never(_port: int, _password: str) -> Any:
        raise AssertionError

    assert template.ensure(tmp_path, "name", VERSION, never, seconds=0) == place
    assert not (tmp_path / "databases" / "name.lock").exists()


# -- the launcher ------------------------------------------------------------------------------------------------------


def launched(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(postgres.LAUNCH), *words], capture_output=True, text=True, timeout=30
    )


def test_the_launcher_becomes_the_program() -> None:
    done = launched(str(os.getpid()), "same", "/bin/sh", "-c", "echo $0 $1; exit 7", "one", "two")
    assert (done.returncode, done.stdout) == (7, "one two\n")
    assert launched("0", "same", "/bin/sh", "-c", "exit 0").returncode == 0


def test_a_program_that_is_not_there_is_named_with_the_shells_code() -> None:
    done = launched("0", "same", "/no/such/program")
    assert done.returncode == 126
    assert done.stderr.startswith("cannot start /no/such/program: ")


@pytest.mark.skipif(not processes.LINUX, reason="Linux's own request")
def test_one_whose_parent_is_gone_already_starts_nothing() -> None:
    done = launched("1", "same", "/bin/sh", "-c", "echo started")
    assert (done.returncode, done.stdout) == (126, "")


@pytest.mark.skipif(not processes.LINUX, reason="Linux's own request")
def test_the_program_dies_with_its_parent() -> None:
    code = (
        "import os, subprocess, sys\n"
        "words = [sys.executable, '-I', '-S', sys.argv[1], str(os.getpid()), 'same', '/bin/sleep', '600']\n"
        "print(subprocess.Popen(words).pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-S", "-c", code, str(postgres.LAUNCH)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None and parent.stdin is not None
    pid = int(parent.stdout.readline())
    until(lambda: processes.command_line(pid)[:1] == ["/bin/sleep"])
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: pid not in processes.parents())
    for pipe in (parent.stdin, parent.stdout):
        pipe.close()


def test_an_identity_that_cannot_be_had_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise OSError(1, "Operation not permitted")

    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(os, "execvp", never)
    for identity, name in (("namespace", "enter_user_namespace"), ("nobody", "become_nobody")):
        monkeypatch.setattr(launch, name, refuse)
        assert launch.main(["0", identity, "prog"]) == 126
        assert "cannot start prog: " in capsys.readouterr().err


def test_the_identity_is_changed_before_the_process_is_tied_and_tied_before_it_becomes_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change of identity clears the tie."""
    done: list[Any] = []
    monkeypatch.setattr(launch, "enter_user_namespace", lambda: done.append("namespace"))
    monkeypatch.setattr(launch, "become_nobody", lambda: done.append("nobody"))
    monkeypatch.setattr(launch, "die_with", lambda parent: done.append(parent))
    monkeypatch.setattr(os, "execvp", lambda program, words: done.append((program, words)))
    for identity, first in (("namespace", ["namespace"]), ("nobody", ["nobody"]), ("same", [])):
        done.clear()
        launch.main(["7", identity, "prog", "a"])
        assert done == [*first, 7, ("prog", ["prog", "a"])]
