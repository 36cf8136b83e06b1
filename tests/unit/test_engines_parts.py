"""Ports, plans, console files and input digests of the process engine."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mwaa_local.engines import console, files, plan, ports
from mwaa_local.engines import inputs as workflow
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.engines.ports import Wish
from mwaa_local.errors import EngineError, MachineError


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
        with files.lock(state / "up.lock", seconds=5, busy="busy"):
            with files.lock(registry.lock(), seconds=5, busy="busy"):
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
    files.write_json(path, {"a": 1})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(MachineError, match="disk is full"):
        files.write_json(path, {"a": 2})
    assert files.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["keeper.json"]


def test_a_lock_is_seen_by_others_and_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    assert not files.locked(path)
    with files.lock(path, seconds=0, busy="busy"):
        assert files.locked(path)
        with pytest.raises(EngineError, match="busy"), files.lock(path, seconds=0.1, busy="busy"):
            pass
    assert not files.locked(path)


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
    return workflow.workflow_digests(project, project.folder / "digests.json")


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
