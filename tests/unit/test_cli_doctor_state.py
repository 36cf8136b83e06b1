"""``doctor --state``: what it prints, how it ends, what ``--repair`` changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_support import CommandLine, FakeEngine
from engines_process_support import Rig

from mwaa_local.aws import statefiles

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A project whose environment was up once."""
    rig = Rig(tmp_path, monkeypatch)
    rig.up()
    rig.running = False
    services = rig.layout.aws / "services"
    services.mkdir(parents=True)
    for value in (1, 2):
        statefiles.write(services, "ssm", statefiles.document(b"%d" % value, {}))
    return rig


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    line = CommandLine(FakeEngine(), tmp_path, monkeypatch, capsys)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        ended = line("--engine", "process", "doctor", *words)
        return ended.code, ended.out, ended.err

    return call


def test_sound_data(project: Rig, run: Run) -> None:
    code, out, _ = run("--state")
    assert code == 0
    assert "are sound" in out
    code, out, _ = run("--state", "--json")
    found: dict[str, Any] = json.loads(out)
    assert (code, found["sound"], found["damage"], found["copy"], found["engine"]) == (0, True, [], None, "process")
    assert len(found["looked_at"]) == 3


def test_damage_is_told_and_repaired_only_when_asked(project: Rig, run: Run) -> None:
    path = project.layout.aws / "services/ssm.json"
    path.write_bytes(b"{")
    code, out, _ = run("--state", "--json")
    (damage,) = json.loads(out)["damage"]
    assert code == 1
    assert (damage["path"], damage["line"]) == (str(path), 0)
    assert damage["repair"]
    code, out, _ = run("--state")
    assert code == 1
    assert "no JSON" in "".join(out.split("\n")) and "--repair" in out
    assert path.read_bytes() == b"{"
    code, out, _ = run("--state", "--repair", "--json")
    found = json.loads(out)
    assert (code, found["sound"], len(found["repaired"])) == (0, True, 1)
    assert (Path(found["copy"]) / "aws/services/ssm.json").read_bytes() == b"{"
    assert json.loads(path.read_bytes())["payload"] == 1
    assert run("--state", "--repair")[0] == 0, "nothing is left to do"


def test_no_data_and_a_wrong_use(tmp_path: Path, run: Run) -> None:
    code, out, _ = run("--state")
    assert (code, "there are no data" in out) == (0, True)
    assert not list(tmp_path.iterdir()), "a look makes nothing"
    code, _, err = run("--repair")
    assert (code, "--state" in err) == (2, True)
