"""Which engine is taken, and the line that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mwaa_local import model
from mwaa_local.engines.choose import choose
from mwaa_local.engines.docker import engine as docker


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What Docker answers when it is asked whether it can serve; one that is not asked leaves it there."""
    answers: list[str | None] = []
    monkeypatch.setattr(docker, "why_unusable", lambda *_: answers.pop(0))
    return answers


def chosen(folder: Path, kept: str | None = None, **flags: Any) -> tuple[str, str]:
    environment = model.load(
        folder, flags={name.replace("_", "."): value for name, value in flags.items()}, variables={}
    )
    if kept is not None:
        environment.state.mkdir(parents=True, exist_ok=True)
        (environment.state / "engine").write_text(kept)
    found = choose(environment, {"HOME": str(folder)})
    return found.engine.name, found.reason


@pytest.mark.parametrize("name", ["process", "docker"])
def test_the_one_that_was_asked_for_without_a_look(tmp_path: Path, asked: list[str | None], name: str) -> None:
    other = {"process": "docker", "docker": "process"}[name]
    found, reason = chosen(tmp_path, kept=other, Local_Engine=name)
    assert found == name
    assert reason.startswith("asked for (")


@pytest.mark.parametrize("name", ["process", "docker"])
def test_an_environment_stays_where_its_data_lives(tmp_path: Path, asked: list[str | None], name: str) -> None:
    found, reason = chosen(tmp_path, kept=f"{name}\n")
    assert found == name
    assert "was started with it" in reason


def test_docker_where_it_can_serve(tmp_path: Path, asked: list[str | None]) -> None:
    asked.append(None)
    assert chosen(tmp_path)[0] == "docker"
    assert asked == []


def test_else_processes_with_dockers_reason(tmp_path: Path, asked: list[str | None]) -> None:
    asked += ["no daemon answers", "no daemon answers"]
    assert chosen(tmp_path) == ("process", "no daemon answers")
    assert chosen(tmp_path, kept="podman") == ("process", "no daemon answers"), "a note of no engine is none"


@pytest.mark.parametrize("note", [None, "", "\0", "dock", b"\xff"])
@pytest.mark.parametrize(("name", "plan"), [("process", "plan.json"), ("docker", "docker/plan.json")])
def test_a_damaged_note_does_not_hide_the_data(
    tmp_path: Path, asked: list[str | None], name: str, plan: str, note: str | bytes | None
) -> None:
    """Else an empty environment of the other engine would answer in its place."""
    state = model.load(tmp_path, flags={}, variables={}).state
    (state / plan).parent.mkdir(parents=True)
    (state / plan).write_text("{}")
    if note is not None:
        (state / "engine").write_bytes(note if isinstance(note, bytes) else note.encode())
    assert chosen(tmp_path)[0] == name
