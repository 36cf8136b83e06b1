"""``doctor --state``: what it prints, how it ends, what ``--repair`` changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_support import CommandLine, FakeEngine
from engines_process_support import Rig

from mwaa_local import model
from mwaa_local.aws.server import soundness, statefiles
from mwaa_local.engines.process import site

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A project whose environment was up once."""
    rig = Rig(tmp_path, monkeypatch)
    rig.up()
    rig.running = False
    rig.site_running = False
    services = site.layout_of(rig.environment).aws / "services"
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
    assert (code, found["sound"], found["damage"], found["copies"], found["engine"]) == (0, True, [], [], "process")
    assert len(found["looked_at"]) == 3


def test_damage_is_told_and_repaired_only_when_asked(project: Rig, run: Run) -> None:
    path = site.layout_of(project.environment).aws / "services/ssm.json"
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
    assert (Path(found["copies"][0]) / "aws/services/ssm.json").read_bytes() == b"{"
    assert json.loads(path.read_bytes())["payload"] == 1
    assert run("--state", "--repair")[0] == 0, "nothing is left to do"


def test_no_data_and_a_wrong_use(tmp_path: Path, run: Run) -> None:
    code, out, _ = run("--state")
    assert (code, "there are no data" in out) == (0, True)
    assert not list(tmp_path.iterdir()), "a look makes nothing"
    code, _, err = run("--repair")
    assert (code, "--state" in err) == (2, True)


def test_an_environment_of_the_docker_engine_is_asked_through_docker(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    said: dict[str, Any] = {
        "kept": ["s3", "sqs"],
        "damage": [{"path": "/usr/local/mwaa/aws/services/s3.json", "line": 0, "what": "is empty"}],
        "repaired": [],
        "copy": "",
    }

    def state(_engine: Any, *, repair: bool) -> dict[str, Any]:
        asked.append(repair)
        mended = {"damage": [], "repaired": ["s3.json: taken back"], "copy": "/usr/local/mwaa/aws/damaged-1"}
        return {**said, **(mended if repair else {})}

    monkeypatch.setattr("mwaa_local.engines.docker.engine.DockerEngine.endpoint_state", state)
    folder = model.load(tmp_path, flags={}, variables={}).state / "docker"
    folder.mkdir(parents=True)
    code, out, _ = run("--state", "--json")
    found = json.loads(out)
    assert (code, found["engine"], found["sound"]) == (1, "docker", False)
    assert found["damage"][0]["what"] == "is empty" and found["damage"][0]["repair"]
    assert any("s3, sqs" in line for line in found["looked_at"])
    code, out, _ = run("--state", "--repair")
    assert code == 0
    assert "damaged-1" in out and "taken back" in out
    assert asked == [False, True]


def test_the_module_prints_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    services = tmp_path / "services"
    services.mkdir()
    for value in (1, 2):
        statefiles.write(services, "ssm", statefiles.document(b"%d" % value, {}))
    assert soundness.main(["--state", str(tmp_path)]) == 0
    sound = {"kept": ["ssm"], "damage": [], "repaired": [], "copy": ""}
    assert json.loads(capsys.readouterr().out) == sound
    (services / "ssm.json").write_bytes(b"{")
    assert soundness.main(["--state", str(tmp_path)]) == 0
    (damage,) = json.loads(capsys.readouterr().out)["damage"]
    assert damage["path"] == str(services / "ssm.json")
    assert soundness.main(["--state", str(tmp_path), "--repair"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["damage"], len(found["repaired"])) == ([], 1)
    assert (Path(found["copy"]) / "services/ssm.json").read_bytes() == b"{"
    assert json.loads((services / "ssm.json").read_bytes())["payload"] == 1
