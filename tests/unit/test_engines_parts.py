"""Ports, plans, console files and input digests of the process engine."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faulty_disk_support import FULL, Disk

from mwaa_local.engines import plan, ports
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.ports import Wish
from mwaa_local.engines.process import console
from mwaa_local.errors import EngineError, MachineError
from mwaa_local.ground import atomic, disk, locks
from mwaa_local.workflow import revision as workflow


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this very process listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        yield int(server.getsockname()[1])


def choose(
    *wishes: Wish, before: dict[str, int] | None = None, own: set[int] | None = None, reserved: Any = None
) -> Any:
    return ports.choose(wishes, before=before or {}, own=own or set(), reserved=reserved or {})


def test_an_explicit_port_that_is_taken_is_an_error_that_names_the_process(taken: int) -> None:
    with pytest.raises(MachineError) as caught:
        choose(Wish("web", taken, explicit=True, field="Local.Ports.Web"))
    assert f"port {taken} is taken" in caught.value.what
    assert f"process {os.getpid()}" in caught.value.why
    assert "Local.Ports.Web" in caught.value.hint


def test_a_default_that_is_taken_gives_the_next_one_and_says_so(taken: int) -> None:
    chosen, notes = choose(Wish("web", taken))
    assert chosen["web"] > taken
    assert ports.is_free(chosen["web"])
    assert f"web port is {chosen['web']}: {taken} is taken" in notes[0]


def test_a_free_default_is_taken_silently() -> None:
    free = ports.any_free()
    assert choose(Wish("web", free)) == ({"web": free}, [])


def test_a_running_environment_keeps_its_own_port(taken: int) -> None:
    chosen, notes = choose(Wish("web", taken + 1), before={"web": taken}, own={taken})
    assert chosen == {"web": taken}
    assert notes == []


def test_a_port_promised_to_another_environment_is_not_free() -> None:
    free = ports.any_free()
    chosen, notes = choose(Wish("web", free), reserved={free: "/projects/b/.mwaa/local"})
    assert chosen["web"] != free
    assert "/projects/b/.mwaa/local" in notes[0]


def test_an_internal_port_is_never_one_that_another_environment_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one may not listen yet: what the system calls free is then no answer."""
    offered = iter([41001, 41002, 41003])

    class Socket:
        def __enter__(self) -> Socket:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def bind(self, _address: object) -> None:
            self.port = next(offered)

        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", self.port

    monkeypatch.setattr(ports.socket, "socket", Socket)
    chosen, _ = choose(Wish("database", None), Wish("queue", None), reserved={41001: "/projects/b"})
    assert chosen == {"database": 41002, "queue": 41003}


def test_internal_ports_are_kept_between_starts_and_never_double() -> None:
    names = [Wish(f"p{number}", None) for number in range(20)]
    chosen, _ = choose(*names)
    assert len(set(chosen.values())) == 20
    assert choose(*names, before=chosen)[0] == chosen


def test_after_a_default_was_taken_the_stand_in_is_kept_while_it_is_taken(taken: int) -> None:
    first, _ = choose(Wish("web", taken))
    again, notes = choose(Wish("web", taken), before=first)
    assert again == first
    assert notes, "an unusual port is shown each time"


def test_two_environments_at_once_do_not_choose_the_same_port(tmp_path: Path) -> None:
    registry = ports.Registry(tmp_path / "cache" / "ports.json")
    default = ports.any_free()
    states = [tmp_path / name for name in ("a", "b")]
    found: list[int] = []

    def up(state: Path) -> None:
        state.mkdir()
        with locks.lock(state / "up.lock", seconds=5, busy="busy"):
            with locks.lock(registry.lock(), seconds=5, busy="busy"):
                chosen, _ = choose(Wish("web", default), reserved=registry.others(state))
                registry.promise(state, chosen.values())
            found.append(chosen["web"])
            barrier.wait(5)  # nobody listens yet, both are coming up

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=up, args=(state,)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 2 and len(set(found)) == 2
    assert registry.others(states[0]) == {}, "an environment that is down holds nothing"


class Offers:
    """A system that offers these ports, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *offered: int) -> None:
        offers = list(offered)

        class Socket:
            def __enter__(self) -> Socket:
                return self

            def __exit__(self, *_: Any) -> None:
                pass

            def bind(self, address: tuple[str, int]) -> None:
                assert address == ("127.0.0.1", 0)

            def getsockname(self) -> tuple[str, int]:
                return "127.0.0.1", offers.pop(0) if len(offers) > 1 else offers[0]

        monkeypatch.setattr(ports.socket, "socket", Socket)


def test_internal_ports_are_none_that_is_promised_or_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another environment that comes up does not listen on its own yet: the system would offer them."""
    Offers(monkeypatch, 7001, 7002, 7002, 7003)
    chosen, notes = choose(Wish("guardian", None), Wish("logs", None), reserved={7001: "/projects/b"})
    assert chosen == {"guardian": 7002, "logs": 7003}
    assert notes == []


def test_an_internal_port_that_was_promised_to_another_since_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: True)
    Offers(monkeypatch, 7005)
    assert choose(Wish("guardian", None), before={"guardian": 7001}, reserved={7001: "/b"})[0] == {"guardian": 7005}
    assert choose(Wish("guardian", None), before={"guardian": 7001})[0] == {"guardian": 7001}


def test_a_search_for_a_free_port_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    Offers(monkeypatch, 7001)
    with pytest.raises(MachineError, match="no free port was found"):
        ports.any_free([7001])


def test_when_all_near_a_default_are_taken_any_other_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(ports, "is_free", lambda port: bool(asked.append(port)))
    Offers(monkeypatch, 7001, 7002)
    chosen, (note,) = choose(Wish("web", 8080), reserved={7001: "/b"})
    assert chosen == {"web": 7002}
    assert note.startswith("web port is 7002: 8080 is taken (")
    assert asked == list(range(8080, 8280))
    asked.clear()
    choose(Wish("web", 65_500))
    assert asked[-1] == 65_535


def test_a_default_is_taken_again_once_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: True)
    assert choose(Wish("web", 8080), before={"web": 8081}) == ({"web": 8080}, [])
    assert choose(Wish("web", 9090, explicit=True), before={"web": 8081}, own={8081})[0] == {"web": 9090}


def test_two_wishes_for_one_port_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: True)
    with pytest.raises(MachineError, match="port 8080 is taken") as caught:
        choose(Wish("web", 8080, explicit=True), Wish("aws", 8080, explicit=True))
    assert caught.value.why == "this environment's web has it"
    assert (caught.value.where, "set aws to another port" in caught.value.hint) == ("aws", True)


def test_who_has_a_port_is_said_as_far_as_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port != 8080)
    monkeypatch.setattr(ports.processes, "listener", lambda _port: None)
    for user, words in ((0, "by a process that cannot be seen"), (1000, "by a process that this user cannot see")):
        monkeypatch.setattr(ports.os, "geteuid", lambda user=user: user)
        assert choose(Wish("web", 8080))[1] == [f"web port is 8081: 8080 is taken ({words})"]


def test_only_numbers_of_ports_are_free() -> None:
    assert not any(ports.is_free(number) for number in (-1, 0, 65_536))


def test_a_port_that_somebody_listens_on_at_every_address_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen(1)
        assert not ports.is_free(server.getsockname()[1])


def test_a_port_that_was_closed_a_moment_ago_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()  # the side that closes first keeps the port for a while
            client.recv(1)
    assert ports.is_free(port)


def test_promises_of_folders_that_are_gone_are_forgotten_and_only_what_is_up_counts(tmp_path: Path) -> None:
    registry = ports.Registry(tmp_path / "cache" / "ports.json")
    states = {name: tmp_path / name for name in ("own", "up", "coming", "down", "gone")}
    for number, state in enumerate(states.values()):
        state.mkdir()
        registry.promise(state, [9002 + 10 * number, 9001 + 10 * number])
    states["gone"].rmdir()
    taken = [(states["own"], "keeper.lock"), (states["up"], "keeper.lock"), (states["coming"], "up.lock")]
    with contextlib.ExitStack() as stack:
        for state, name in taken:
            stack.enter_context(locks.lock(state / name, seconds=0, busy="busy"))
        found = registry.others(states["own"])
    up, coming = str(states["up"]), str(states["coming"])
    assert found == {9011: up, 9012: up, 9021: coming, 9022: coming}
    registry.promise(states["own"], [9005])
    written = json.loads((tmp_path / "cache" / "ports.json").read_text())
    assert str(states["gone"]) not in written
    assert written[str(states["own"])] == [9005]
    assert written[up] == [9011, 9012]


def component(name: str = "worker", **more: Any) -> Component:
    return Component(name=name, argv=("run", name), **more)


def make(*components: Component) -> Plan:
    return Plan(tool="1", base_env={"PATH": "/bin"}, components=components)


def test_differences_name_reasons_and_only_what_changed() -> None:
    old = make(
        component("worker", inputs={"requirements.txt": "a", "plugins": "p"}, env={"SECRET": "old"}),
        component("aws"),
        component("gone"),
    )
    new = make(
        component("worker", inputs={"requirements.txt": "b", "startup script": "s"}, env={"SECRET": "new"}),
        component("aws"),
        component("fresh"),
    )
    found = plan.differences(old, new)
    assert found == {
        "worker": ["plugins removed", "requirements.txt changed", "startup script added", "SECRET changed"],
        "gone": ["removed"],
        "fresh": ["added"],
    }


def test_options_are_compared_one_by_one_without_values() -> None:
    def with_options(**options: str) -> Plan:
        return make(component(env={"MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS": json.dumps(options)}))

    found = plan.differences(with_options(A="1", B="x"), with_options(A="2", B="x", C="y"))
    assert found == {"worker": ["A changed", "C changed"]}


def test_a_moved_port_is_one_reason(tmp_path: Path) -> None:
    def at(port: int) -> Plan:
        env = {"MWAA_LOCAL__WEB_PORT": str(port), "MWAA__CORE__API_SERVER_URL": f"http://127.0.0.1:{port}"}
        server = Component(name="aws", argv=("serve", "--port", str(port)))
        return make(component("webserver", env=env), server)

    assert plan.differences(at(8080), at(8081)) == {"webserver": ["ports changed"], "aws": ["ports changed"]}


def test_what_surrounds_a_component_does_not_restart_it() -> None:
    one = component(env={"MWAA_LOCAL__ALLOW_FAILED_REQUIREMENTS": "false"}, probe={"kind": "none"}, stop_seconds=1.0)
    other = component(env={"MWAA_LOCAL__ALLOW_FAILED_REQUIREMENTS": "true"}, probe={"kind": "http"}, stop_seconds=2.0)
    assert one.digest == other.digest
    assert plan.differences(make(one), make(other)) == {}
    assert component(nonce=1).digest != component().digest


def test_a_plan_is_read_back_as_it_was_written_and_only_we_can_read_it(tmp_path: Path) -> None:
    made = make(
        component(env={"A": "1"}, needs=("aws",), inputs={"plugins": "x"}, skip={"kind": "none"}), component("aws")
    )
    made.write(tmp_path / "plan.json")
    assert plan.read(tmp_path / "plan.json") == made
    assert (tmp_path / "plan.json").stat().st_mode & 0o077 == 0, "it holds secrets"
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(EngineError, match="damaged"):
        plan.read(tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text('{"format": 99}')
    assert plan.read(tmp_path / "plan.json") is None


def test_console_turns_over_between_lines_and_is_read_across_files(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    log = console.ConsoleLog(path, limit=200)
    for number in range(100):
        log.write(f"line {number:03d}\n".encode())
    log.close()
    assert sum(part.stat().st_size for part in tmp_path.iterdir()) < 3 * 220
    assert console.tail(path, 30) == [f"line {number:03d}" for number in range(70, 100)]
    assert all(part.read_text().endswith("\n") for part in tmp_path.iterdir() if part.stat().st_size)


def test_following_sees_lines_written_across_a_turn_over(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    log = console.ConsoleLog(path, limit=60)
    log.write(b"old\n")
    done = threading.Event()
    seen: list[str] = []

    def read() -> None:
        seen.extend(console.follow(path, lines=1, until=done.is_set, interval=0.005))

    reader = threading.Thread(target=read)
    reader.start()
    while not seen:
        threading.Event().wait(0.005)
    for number in range(20):
        log.write(f"new {number}\n".encode())
        threading.Event().wait(0.02)
    done.set()
    reader.join(5)
    assert seen == ["old", *(f"new {number}" for number in range(20))]


def test_a_json_file_is_whole_or_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keeper.json"
    atomic.write_json(path, {"a": 1})

    monkeypatch.setattr(disk, "CALLS", Disk(refuse={"write": FULL}))
    with pytest.raises(MachineError, match="disk is full"):
        atomic.write_json(path, {"a": 2})
    assert atomic.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["keeper.json"]


def test_a_lock_is_seen_by_others_and_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    assert not locks.locked(path)
    with locks.lock(path, seconds=0, busy="busy"):
        assert locks.locked(path)
        with pytest.raises(EngineError, match="busy"), locks.lock(path, seconds=0.1, busy="busy"):
            pass
    assert not locks.locked(path)


@pytest.fixture
def project(tmp_path: Path) -> Any:
    """Just what the digests ask of an environment."""
    for name in ("dags", "plugins", "requirements", "startup"):
        (tmp_path / name).mkdir()
    (tmp_path / "requirements" / "requirements.txt").write_text("six\n")
    (tmp_path / "startup" / "startup.sh").write_text("export A=1\n")
    (tmp_path / "plugins" / "hello.py").write_text("x = 1\n")
    places = SimpleNamespace(
        dags=tmp_path / "dags",
        plugins=tmp_path / "plugins",
        requirements=tmp_path / "requirements" / "requirements.txt",
        startup_script=tmp_path / "startup" / "startup.sh",
    )
    return SimpleNamespace(workflow=places, folder=tmp_path)


def digests(project: Any) -> dict[str, str]:
    return workflow.of_workspace(project, project.folder / "digests.json").digests


def changed(project: Any, before: dict[str, str]) -> set[str]:
    after = digests(project)
    return {label for label in before.keys() | after.keys() if before.get(label) != after.get(label)}


def test_each_workflow_file_has_a_digest_of_its_content(project: Any) -> None:
    before = digests(project)
    assert set(before) == {"requirements.txt", "plugins", "startup script"}
    os.utime(project.folder / "plugins" / "hello.py")
    assert changed(project, before) == set(), "a touched file is no change"
    (project.folder / "plugins" / "hello.py").write_text("x = 2\n")
    assert changed(project, before) == {"plugins"}
    before = digests(project)
    (project.folder / "startup" / "startup.sh").unlink()
    assert changed(project, before) == {"startup script"}
    before = digests(project)
    (project.folder / "dags" / "a.py").write_text("1")
    (project.folder / "plugins" / "__pycache__").mkdir()
    (project.folder / "plugins" / "__pycache__" / "hello.pyc").write_text("1")
    assert changed(project, before) == set(), "DAGs and byte code restart nothing"


def test_included_requirement_files_count(project: Any) -> None:
    folder = project.folder
    (folder / "requirements" / "more.txt").write_text("a\n")
    (folder / "dags" / "pins.txt").write_text("b==1\n")
    (folder / "requirements" / "requirements.txt").write_text(
        '-r more.txt\n--constraint "/usr/local/airflow/dags/pins.txt"\n-c https://example.org/c.txt\n-r requirements.txt\n'
    )
    before = digests(project)
    (folder / "requirements" / "more.txt").write_text("a==2\n")
    assert changed(project, before) == {"requirements.txt"}
    before = digests(project)
    (folder / "dags" / "pins.txt").write_text("b==2\n")
    assert changed(project, before) == {"requirements.txt"}


def test_an_executable_bit_of_a_plugin_counts(project: Any) -> None:
    before = digests(project)
    (project.folder / "plugins" / "hello.py").chmod(0o755)
    assert changed(project, before) == {"plugins"}


# -- digests: what counts and what does not ----------------------------------------------------------------------------


def test_nothing_has_no_digest(project: Any) -> None:
    for name in ("requirements/requirements.txt", "startup/startup.sh", "plugins/hello.py"):
        (project.folder / name).unlink()
    assert digests(project) == {}
    (project.folder / "plugins").rmdir()
    assert digests(project) == {}


@pytest.mark.parametrize(
    "name",
    ["a.pyc", "a.py~", ".a.py.swp", ".DS_Store", ".git/config", ".mypy_cache/x.json", "__pycache__/x", "plugins.zip"],
)
def test_what_editors_and_tools_leave_among_plugins_does_not_count(project: Any, name: str) -> None:
    before = digests(project)
    (project.folder / "plugins" / name).parent.mkdir(exist_ok=True)
    (project.folder / "plugins" / name).write_text("1")
    assert changed(project, before) == set()


@pytest.mark.parametrize("name", ["new.py", "sub/new.txt", "sub/plugins.zip"])
def test_every_other_file_among_plugins_does(project: Any, name: str) -> None:
    before = digests(project)
    (project.folder / "plugins" / name).parent.mkdir(exist_ok=True)
    (project.folder / "plugins" / name).write_text("1")
    assert changed(project, before) == {"plugins"}
    before = digests(project)
    (project.folder / "plugins" / name).rename(project.folder / "plugins" / "moved")
    assert changed(project, before) == {"plugins"}, "its name counts too"


def test_an_archive_in_place_of_the_plugins_folder_has_a_digest(project: Any) -> None:
    archive = project.folder / "plugins.zip"
    archive.write_text("1")
    project.workflow.plugins = archive
    before = digests(project)
    assert "plugins" in before
    archive.write_text("2")
    assert changed(project, before) == {"plugins"}


@pytest.mark.parametrize(
    "line",
    ["-r more.txt", "-c more.txt  # why", "--requirement=more.txt", "--constraint 'more.txt'", "  -r  more.txt",
     "-r /usr/local/airflow/requirements/more.txt"],
)  # fmt: skip
def test_every_way_to_include_a_file_counts(project: Any, line: str) -> None:
    (project.folder / "requirements" / "more.txt").write_text("a\n")
    (project.folder / "requirements" / "requirements.txt").write_text(f"{line}\n")
    before = digests(project)
    (project.folder / "requirements" / "more.txt").write_text("a==2\n")
    assert changed(project, before) == {"requirements.txt"}


def test_what_is_not_included_does_not_count(project: Any) -> None:
    (project.folder / "requirements" / "requirements.txt").write_text("six\n# -r more.txt\n")
    before = digests(project)
    (project.folder / "requirements" / "more.txt").write_text("a==2\n")
    assert changed(project, before) == set()


def test_a_file_is_read_again_only_when_it_looks_changed(tmp_path: Path) -> None:
    file, memory = tmp_path / "file", tmp_path / "memory.json"
    file.write_text("one")
    first = workflow.Digests(memory)
    assert first.of(tmp_path / "none") == ""
    digest = first.of(file)
    first.save()
    known = json.loads(memory.read_text())
    known[str(file)][3] = "remembered"
    memory.write_text(json.dumps(known))
    assert workflow.Digests(memory).of(file) == "remembered"
    stat = file.stat()
    for change in ("size", "time", "other file"):
        if change == "size":
            file.write_text("three")
            os.utime(file, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
        elif change == "time":
            file.write_text("two")
            os.utime(file, ns=(stat.st_mtime_ns + 1, stat.st_mtime_ns + 1))
        else:
            (tmp_path / "new").write_text("two")
            (tmp_path / "new").rename(file)
            os.utime(file, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
        assert workflow.Digests(memory).of(file) not in ("remembered", digest), change


def test_memory_holds_what_was_read_this_time(tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        found = workflow.Digests(memory)
        found.of(tmp_path / name)
        found.save()
    assert list(json.loads(memory.read_text())) == [str(tmp_path / "b")]


# -- console and files -------------------------------------------------------------------------------------------------


def test_a_log_grows_to_its_limit_and_two_older_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "worker.log"
    log = console.ConsoleLog(path, limit=10)
    for number in range(5):
        log.write(b"1234")
        assert path.stat().st_size == 4
        log.write(b"no line end")
        assert path.stat().st_size > 10, "a line is never split"
        log.write(b"%d\n" % number)
    log.close()
    found = {part.name: part.read_text() for part in path.parent.iterdir()}
    assert found == {
        "worker.log": "", "worker.log.1": "1234no line end4\n", "worker.log.2": "1234no line end3\n",
    }  # fmt: skip
    again = console.ConsoleLog(path, limit=10)
    again.write(b"12345678\n")
    assert path.stat().st_size == 9
    console.ConsoleLog(path, limit=10).write(b"\n")
    assert path.stat().st_size == 0, "what was there before counts"
    assert console.LIMIT_BYTES == 10_485_760


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = console.ConsoleLog(tmp_path / "worker.log")
    with monkeypatch.context() as patch:
        patch.setattr(console.os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        log.write(b"lost\n")
    log.write(b"kept\n")
    assert (tmp_path / "worker.log").read_text() == "kept\n"


def test_a_line_of_which_only_the_end_was_read_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("x" * 9000 + "\nlast\n")
    assert console.tail(path, 2) == ["last"]


def test_a_tail_of_nothing_and_of_a_large_log(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    assert console.tail(path, 3) == []
    path.write_text("".join(f"{number:05d} {'x' * 100}\n" for number in range(5000)))
    assert [line[:5] for line in console.tail(path, 3)] == ["04997", "04998", "04999"]
    assert console.tail(path, 0) == []
    path.write_text("a\nb\n")
    (tmp_path / "worker.log.1").write_text("old\n")
    assert console.tail(path, 3) == ["old", "a", "b"]
    assert console.tail(path, 2) == ["a", "b"]


def test_following_begins_before_the_file_is_there_and_gives_its_last_piece(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    looks: list[int] = []

    def until() -> bool:
        looks.append(1)
        if len(looks) == 2:
            path.write_text("one\r\ntwo\nno line end")
        return len(looks) > 4

    assert list(console.follow(path, lines=5, until=until, interval=0.001)) == ["one", "two", "no line end"]


def test_a_folder_is_copied_with_links_and_modes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_text("1")
    (source / "sub" / "file").chmod(0o700)
    (source / "link").symlink_to("sub/file")
    atomic.copy_tree(source, tmp_path / "target")
    assert (tmp_path / "target" / "link").is_symlink()
    assert (tmp_path / "target" / "sub" / "file").stat().st_mode & 0o777 == 0o700
    with pytest.raises(MachineError, match="a file cannot be written"):
        atomic.copy_tree(tmp_path / "none", tmp_path / "other")


def test_what_is_no_json_object_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in (None, "", "{", "[1]", '"text"'):
        if text is not None:
            path.write_text(text)
        assert atomic.read_json(path) is None
    atomic.write_json(tmp_path / "deep" / "er" / "b.json", {"a": 1})
    assert atomic.read_json(tmp_path / "deep" / "er" / "b.json") == {"a": 1}
    assert (tmp_path / "deep" / "er" / "b.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(28, "No space left on device"), "the disk is full"),
        (OSError(122, "Disk quota exceeded"), "the disk is full"),
        (OSError("[('a', 'b', \"[Errno 28] No space left on device: 'b'\")]"), "the disk is full"),
        (OSError(13, "Permission denied"), "a file cannot be written"),
    ],
)
def test_refusals_of_the_system_are_told_apart(error: OSError, what: str) -> None:
    found = atomic.disk_error(error, Path("/x"))
    assert (found.what, found.where, found.why) == (what, "/x", str(error))


# -- plans -------------------------------------------------------------------------------------------------------------


def test_a_generation_changes_with_whatever_the_keeper_would_act_on() -> None:
    base = make(component(env={"A": "1"}))
    others = [
        make(component(env={"A": "2"})),
        make(component(env={"A": "1"}), component("aws")),
        make(component(env={"A": "1"}, needs=("aws",))),
        Plan("2", base.base_env, base.components),
        make(component("other", env={"A": "1"})),
    ]
    assert len({one.generation for one in (base, *others)}) == 6
    assert Plan("1", {"PATH": "/other"}, base.components).generation == base.generation


@pytest.mark.parametrize(
    "more",
    [{"cwd": "/x"}, {"kind": "job"}, {"identity": "nobody"}, {"inputs": {"a": "b"}}, {"nonce": 1}, {"env": {"A": "1"}}],
)
def test_a_digest_covers_all_a_process_is_made_of(more: dict[str, Any]) -> None:
    assert component(**more).digest != component().digest


@pytest.mark.parametrize(
    "more",
    [
        {"needs": ("x",)},
        {"skip": {"kind": "none"}},
        {"stop_signal": 2},
        {"stop_rank": 1},
        {"run_dir": "/r"},
        {"heavy": 2},
    ],
)
def test_and_nothing_else(more: dict[str, Any]) -> None:
    assert component(**more).digest == component().digest


def test_reasons_of_a_changed_command() -> None:
    def reasons(old: Component, new: Component) -> list[str]:
        return plan.differences(make(old), make(new))["worker"]

    assert reasons(component(), Component("worker", ("run", "other"))) == ["its command changed"]
    assert reasons(component(), component(cwd="/x")) == ["its command changed"]
    assert reasons(component(), component(identity="nobody")) == ["its command changed"]
    assert reasons(component(), component(nonce=1)) == ["restart wished"]
    assert reasons(component(env={"X": "plain"}), component(env={"X": "[1]"})) == ["X changed"]
    assert reasons(component(), component(env={"X": "1", "MWAA_LOCAL__ALLOW_FAILED_REQUIREMENTS": "x"})) == [
        "X changed"
    ]
    assert plan.differences(None, make(component())) == {"worker": ["added"]}
    assert make(component()).component("worker") == component()
    assert make(component()).component("nobody") is None


def test_a_plan_of_another_form_or_half_a_plan_is_none(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    assert plan.read(path) is None
    path.write_text('{"format": 1, "tool": "1"}')
    assert plan.read(path) is None
    path.write_text('{"format": 1, "tool": "1", "base_env": {}, "components": [], "facts": {}, "strange": 1}')
    assert plan.read(path) is None
