"""PostgreSQL as the process engine runs it: on real servers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from patience import until

from mwaa_local.engines import ports
from mwaa_local.engines.process import postgres, template
from mwaa_local.engines.process.postgres import Cluster
from mwaa_local.errors import EngineError, MachineError
from mwaa_local.ground import locks, processes

pytestmark = [pytest.mark.contract, pytest.mark.skipif(not processes.LINUX, reason="reads /proc")]


class Server:
    """A running server on a cluster."""

    def __init__(self, cluster: Cluster, password: str) -> None:
        self.cluster, self.password, self.port = cluster, password, ports.any_free()
        cluster.clear_stale()
        words = postgres.launched(cluster.identity, cluster.serve(self.port), parent=os.getpid())
        self.process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        until(lambda: self.process.poll() is not None or not postgres.answers(self.port, password))
        assert self.process.poll() is None

    def query(self, text: str) -> list[tuple[object, ...]]:
        with postgres.connection(self.port, self.password) as opened, opened.cursor() as cursor:
            cursor.execute(text)
            return list(cursor.fetchall()) if cursor.description else []

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "cluster"
    found = postgres.describe(tmp_path / "cluster")
    if found is not None and (pid := found.running()):
        processes.kill(processes.tree([pid]))
    postgres.destroy(tmp_path / "cluster")


def test_a_new_cluster_serves_with_its_password_on_loopback_only(home: Path) -> None:
    server = Server(postgres.create(home, password="right"), "right")
    try:
        assert server.query("SELECT current_user, current_database()") == [("adminuser", "AirflowMetadata")]
        assert server.query("SHOW fsync") == [("on",)], "a crash of the machine must not cost data"
        assert "password authentication failed" in postgres.answers(server.port, "wrong")
        address = socket.gethostbyname(socket.gethostname())
        if not address.startswith("127."):
            with pytest.raises(OSError), socket.create_connection((address, server.port), timeout=1):
                pass
        assert (home / "data").stat().st_uid == os.geteuid(), "files stay ours, also under root"
    finally:
        assert server.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_gets_a_namespace(home: Path) -> None:
    assert postgres.working_identity() == "namespace"
    refused = subprocess.run([postgres.binaries() / "postgres", "--version", "-D", "/"], capture_output=True, text=True)
    server = Server(postgres.create(home, password="p"), "p")
    try:
        assert Path(f"/proc/{server.process.pid}/status").read_text().count("Uid:\t0"), "outside it is still root"
    finally:
        server.stop()
    assert refused.returncode in (0, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_without_namespaces_falls_back_to_nobody(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "working_identity", lambda: "nobody")
    made = postgres.create(home, password="p")
    assert made.data.stat().st_uid != 0
    server = Server(made, "p")
    try:
        assert server.query("SELECT 1") == [(1,)]
        found = postgres.describe(home)
        assert found == made
    finally:
        assert server.stop() == 0
    place = made.data.parent
    postgres.destroy(home)
    assert not place.exists(), "nothing stays behind outside the state folder"


def test_kill_under_load_keeps_every_committed_row(home: Path) -> None:
    server = Server(postgres.create(home, password="p"), "p")
    server.query("CREATE TABLE job (number int PRIMARY KEY)")
    committed: list[list[int]] = [[], []]
    halt = threading.Event()

    def write(lane: int) -> None:
        with (
            contextlib.suppress(psycopg2.Error),
            postgres.connection(server.port, "p") as opened,
            opened.cursor() as cursor,
        ):
            for number in range(lane, 10**9, 2):
                if halt.is_set():
                    return
                cursor.execute("INSERT INTO job VALUES (%s)", (number,))
                committed[lane].append(number)

    lanes = [threading.Thread(target=write, args=(lane,)) for lane in (0, 1)]
    for lane in lanes:
        lane.start()
    while min(len(rows) for rows in committed) < 300:
        time.sleep(0.01)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(5)
    halt.set()
    for lane in lanes:
        lane.join(10)
    assert (home / "data" / "postmaster.pid").exists(), "a killed server leaves its lock file"
    again = Server(server.cluster, "p")
    try:
        found = {row[0] for row in again.query("SELECT number FROM job")}
        lost = {*committed[0], *committed[1]} - found
        assert not lost, f"{len(lost)} committed rows of {len(committed[0]) + len(committed[1])} are gone"
    finally:
        assert again.stop() == 0


def test_a_lock_file_of_another_process_is_not_believed(home: Path) -> None:
    cluster = postgres.create(home, password="p")
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        # As after a reboot: the number now belongs to another process of ours.
        (cluster.data / "postmaster.pid").write_text(f"{sleeper.pid}\n{cluster.data}\n1700000000\n5432\n\n127.0.0.1\n")
        assert cluster.running() is None
        server = Server(cluster, "p")
        assert cluster.running() == server.process.pid
        assert server.stop() == 0
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_half_made_cluster_is_made_again(home: Path) -> None:
    home.mkdir()
    (home / "data").mkdir()
    (home / "data" / "base").mkdir()
    assert postgres.describe(home) is None
    server = Server(postgres.create(home, password="p"), "p")
    assert server.stop() == 0


def test_a_copy_of_a_template_is_whole_and_has_its_own_password(home: Path, tmp_path: Path) -> None:
    source = Server(postgres.create(tmp_path / "source", password="old"), "old")
    source.query("CREATE TABLE alembic_version (version_num text)")
    source.query("INSERT INTO alembic_version VALUES ('abc')")
    assert source.stop() == 0
    made = postgres.create(home, password="it's new", template=source.cluster.data)
    server = Server(made, "it's new")
    try:
        tables = ["alembic_version", "alembic_version_fab"]
        heads = postgres.schema_heads(server.port, "it's new", tables)
        assert heads == {"alembic_version": "abc", "alembic_version_fab": None}
        assert "password authentication failed" in postgres.answers(server.port, "old")
    finally:
        assert server.stop() == 0


def test_a_failed_copy_leaves_nothing(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "PG_VERSION").write_text("16\n")
    with pytest.raises(EngineError, match="PostgreSQL set-up failed"):
        postgres.create(home, password="p", template=broken)
    assert postgres.describe(home) is None
    assert not list(home.glob(".new-*"))


def test_no_password_in_what_a_failure_says(home: Path) -> None:
    cluster = postgres.create(home, password="p")
    with pytest.raises(EngineError) as caught:
        cluster.single(["ALTER USER nosuchuser PASSWORD 'hunter2'"])
    assert "nosuchuser" in caught.value.why
    assert "hunter2" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("copied", [False, True])
def test_a_full_disk_is_named(tmp_path: Path, copied: bool) -> None:
    template = postgres.create(tmp_path / "source", password="p").data if copied else None
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=True)
    try:
        with pytest.raises(MachineError, match="disk is full") as caught:
            postgres.create(small / "cluster", password="p", template=template)
        assert len(str(caught.value)) < 2000, "one cause, not one line for each file"
        assert postgres.describe(small / "cluster") is None
        assert not list((small / "cluster").glob("**/PG_VERSION"))
    finally:
        subprocess.run(["umount", small], check=True)


class FakeVersion:
    """Just what a template asks of a version; its migration makes one table."""

    airflow = "9.9.9"

    def __init__(self) -> None:
        self.schema_heads = {"alembic_version": "head"}


def _migration(folder: Path, *, head: str = "head", code: int = 0):  # type: ignore[no-untyped-def]
    script = (
        "import sys, psycopg2\n"
        "open(sys.argv[1], 'a').write('x')\n"
        "c = psycopg2.connect(host='127.0.0.1', port=sys.argv[2], user='adminuser', password=sys.argv[3],"
        " dbname='AirflowMetadata')\n"
        "c.cursor().execute('CREATE TABLE alembic_version AS SELECT %s AS version_num', (sys.argv[4],))\n"
        "c.commit()\n"
        "print('migrated badly')\n"
        "sys.exit(int(sys.argv[5]))\n"
    )

    def migrate(port: int, password: str) -> tuple[list[str], dict[str, str], str]:
        import sys

        return (
            [sys.executable, "-c", script, str(folder / "ran"), str(port), password, head, str(code)],
            {},
            str(folder),
        )

    return migrate


def test_a_template_is_made_once_by_two_at_a_time(tmp_path: Path) -> None:
    found: list[Path] = []

    def make() -> None:
        found.append(template.ensure(tmp_path / "cache", "t", FakeVersion(), _migration(tmp_path), seconds=60))  # type: ignore[arg-type]

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(found)) == 1 and len(found) == 2
    assert (tmp_path / "ran").read_text() == "x", "the migration ran once"
    server = Server(postgres.create(tmp_path / "mine", password="p", template=found[0]), "p")
    assert server.query("SELECT version_num FROM alembic_version") == [("head",)]
    assert server.stop() == 0
    assert not list((tmp_path / "cache" / "databases").glob(".new-*"))


@pytest.mark.parametrize(("more", "said"), [({"code": 3}, "exit code 3"), ({"head": "other"}, "expected schema")])
def test_a_failed_migration_leaves_no_template(tmp_path: Path, more: dict[str, object], said: str) -> None:
    with pytest.raises(EngineError, match=said) as caught:
        template.ensure(tmp_path / "cache", "t", FakeVersion(), _migration(tmp_path, **more), seconds=60)  # type: ignore[arg-type]
    assert not (tmp_path / "cache" / "databases" / "t").exists()
    assert "migrated badly" in caught.value.why or "other" in caught.value.why
    assert not locks.locked(tmp_path / "cache" / "databases" / "t.lock")
