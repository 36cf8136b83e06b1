"""``doctor``: what it finds, what it advises, and that a machine on which nothing can run ends it with 1."""

from __future__ import annotations

import json
import shutil
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from cli_support import CommandLine, command_line

from mwaa_local import packages
from mwaa_local.cli import doctor
from mwaa_local.engines.docker import engine as docker
from mwaa_local.errors import MachineError
from mwaa_local.packages import child

__all__ = ["command_line"]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with a Python, a bash and a Docker, each to be taken away."""
    has = SimpleNamespace(docker="", python=None, warning="", bash="/bin/bash", memory=64 << 30, disk=500 << 30)

    def find_python(*_: Any, **__: Any) -> Any:
        if has.python:
            raise has.python
        return SimpleNamespace(version="3.12.1", path="/usr/bin/python3.12", warning=has.warning)

    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, *a, **k: has.bash if name == "bash" else which(name, *a, **k))
    monkeypatch.setattr(packages, "find_python", find_python)
    monkeypatch.setattr(docker, "why_unusable", lambda *_: has.docker)
    monkeypatch.setattr(child, "program", lambda _name: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=has.disk))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=has.memory, total=64 << 30))
    return has


def findings(command_line: CommandLine) -> tuple[int, dict[str, tuple[str, str, str]], bool]:
    done = command_line("doctor", "--json")
    told = json.loads(done.out)
    assert (told["schema"], done.err) == ("mwaa-local/doctor/1", "")
    found = {one["subject"]: (one["state"], one["detail"], one["action"]) for one in told["findings"]}
    return done.code, found, told["usable"]


def test_a_machine_with_everything(command_line: CommandLine) -> None:
    code, found, usable = findings(command_line)
    assert (code, usable) == (0, True)
    assert found["process engine"][:2] == ("ok", "Python 3.12.1 for Airflow 3.2.1 at /usr/bin/python3.12")
    assert found["docker engine"][0] == found["disk"][0] == found["memory"][0] == "ok"
    assert found["definition"] == ("ok", "local, Airflow 3.2.1, mw1.small", "")
    done = command_line("doctor")
    assert done.code == 0
    assert "✓ process engine: Python 3.12.1" in done.out


@pytest.mark.parametrize(
    ("lacks", "usable"),
    [
        ({"docker": "no daemon answers"}, True),
        ({"python": MachineError("no Python 3.12", why="none found", hint="install one")}, True),
        ({"bash": None}, True),
        ({"docker": "no daemon answers", "bash": None}, False),
        ({"docker": "no daemon answers", "python": MachineError("no Python 3.12", hint="install one")}, False),
    ],
)
def test_one_usable_engine_is_enough(
    command_line: CommandLine, machine: SimpleNamespace, lacks: dict[str, Any], usable: bool
) -> None:
    vars(machine).update(lacks)
    code, found, said = findings(command_line)
    assert (code, said) == (0 if usable else 1, usable)
    assert command_line("doctor").code == code
    if "docker" in lacks:
        assert found["docker engine"][:2] == ("missing", "no daemon answers")
    if "bash" in lacks:
        assert found["process engine"][0] == "missing"
        assert "bash" in found["process engine"][1]
    if "python" in lacks:
        assert found["process engine"][0] == "missing"
        assert "no Python 3.12" in found["process engine"][1]
        assert found["process engine"][2] == "install one"


def test_a_little_too_little(command_line: CommandLine, machine: SimpleNamespace) -> None:
    machine.memory, machine.disk, machine.warning = doctor._NEEDED_MEMORY - 1, doctor._NEEDED_DISK - 1, "from pyenv"
    code, found, _ = findings(command_line)
    assert code == 0
    assert [found[name][0] for name in ("memory", "disk", "process engine")] == ["warning"] * 3
    assert found["process engine"][1] == "from pyenv"
    machine.memory, machine.disk = doctor._NEEDED_MEMORY, doctor._NEEDED_DISK
    assert [findings(command_line)[1][name][0] for name in ("memory", "disk")] == ["ok", "ok"]


def test_a_definition_that_mwaa_refuses_and_a_taken_port(command_line: CommandLine) -> None:
    path = command_line.project / "mwaa.yaml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        path.write_text(f"Local: {{Ports: {{Web: {port}}}}}\n", encoding="utf-8")
        _, found, _ = findings(command_line)
        assert found[f"port {port}"][:2] == ("warning", "something answers on the web port")
    assert f"port {port}" not in findings(command_line)[1]
    path.write_text("EnvironmentClass: mw1.huge\n", encoding="utf-8")
    _, found, _ = findings(command_line)
    assert found["definition"][0] == "missing"
    assert "mwaa.yaml:1" in found["definition"][2]


def test_tools_are_optional(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(command_line)[1]["aws"] == ("warning", "not installed", "optional")
    monkeypatch.setattr(child, "program", lambda name: f"/usr/bin/{name}")
    said = {
        "aws": (0, "aws-cli/2.1 Python/3", ""),
        "docker": (1, "", "one\ncannot connect\n"),
        "shellcheck": (0, "", ""),
    }

    def ask(argv: list[str], **_: Any) -> Any:
        code, out, err = said[argv[0].rsplit("/", 1)[1]]
        if not code and not out:
            raise OSError("no such program")
        return SimpleNamespace(returncode=code, stdout=out.encode(), stderr=err.encode())

    monkeypatch.setattr(child, "ask", ask)
    code, found, _ = findings(command_line)
    assert code == 0
    assert found["aws"] == ("ok", "aws-cli/2.1", "")
    assert found["docker compose"] == ("warning", "cannot connect", "optional")
    assert found["shellcheck"] == ("warning", "no such program", "optional")


def test_repair_needs_state(command_line: CommandLine) -> None:
    done = command_line("doctor", "--repair")
    assert done.code == 2
    assert "doctor --state --repair" in done.err
