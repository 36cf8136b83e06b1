"""Which engine owns a state folder, and what `reset` of one may take away."""

from __future__ import annotations

from pathlib import Path

import pytest

from mwaa_local.engines import owner
from mwaa_local.engines.layout import Layout
from mwaa_local.errors import EngineError, MachineError

PROCESS = ["plan.json", "keeper.json", "aws/state.json", "logs/worker.log", "postgres-3/data/PG_VERSION"]
DOCKER = ["docker/plan.json", "docker/compose.yaml"]
BOTH = ["secrets.json", "databases.json"]


def state(folder: Path, *names: str) -> Layout:
    layout = Layout(folder / "state")
    for name in ("up.lock", "engine", *BOTH, *names):
        (layout.state / name).parent.mkdir(parents=True, exist_ok=True)
        (layout.state / name).write_text("")
    return layout


def files(layout: Layout) -> set[str]:
    return {path.relative_to(layout.state).as_posix() for path in layout.state.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("engine", "own"), [("process", PROCESS), ("docker", DOCKER)])
def test_an_engine_alone_takes_everything_but_the_lock_it_holds(tmp_path: Path, engine: str, own: list[str]) -> None:
    layout = state(tmp_path, *own)
    owner.wipe(layout, engine)
    assert files(layout) == {"up.lock"}


@pytest.mark.parametrize(("engine", "stays"), [("process", DOCKER), ("docker", PROCESS)])
def test_another_engines_data_stays_with_its_keys(tmp_path: Path, engine: str, stays: list[str]) -> None:
    layout = state(tmp_path, *PROCESS, *DOCKER)
    owner.wipe(layout, engine)
    assert files(layout) == {"up.lock", "engine", *BOTH, *stays}
    assert owner.of(layout.state) == ("docker" if engine == "process" else "process")


@pytest.mark.parametrize(
    ("note", "has", "answer"),
    [
        ("docker\n", PROCESS, "docker"),
        ("process", DOCKER, "process"),
        ("podman", DOCKER, "docker"),
        ("", PROCESS, "process"),
        ("", [*PROCESS, *DOCKER], "process"),
        ("", [], None),
    ],
)
def test_the_owner_is_read_off_the_note_or_the_data(
    tmp_path: Path, note: str, has: list[str], answer: str | None
) -> None:
    layout = state(tmp_path, *has)
    (layout.state / "engine").write_text(note)
    assert owner.of(layout.state) == answer


def test_a_note_is_kept(tmp_path: Path) -> None:
    layout = state(tmp_path)
    owner.note(layout, "docker")
    assert owner.of(layout.state) == "docker"


@pytest.mark.parametrize(
    ("engine", "has", "other"),
    [
        ("process", DOCKER, "docker"),
        ("docker", PROCESS, "process"),
        ("docker", DOCKER, ""),
        ("process", PROCESS, ""),
        ("docker", [*PROCESS, *DOCKER], ""),
        ("process", [], ""),
    ],
)
def test_an_engine_does_not_hide_the_others_data(tmp_path: Path, engine: str, has: list[str], other: str) -> None:
    layout = state(tmp_path, *has)
    if not other:
        owner.refuse_other(layout, engine, "mine")
        return
    with pytest.raises(EngineError) as told:
        owner.refuse_other(layout, engine, "mine")
    assert told.value.what.startswith(f"mine was started with the {other} engine, and its data lies ")
    assert f"--engine {other} up" in told.value.hint
    assert f"--engine {other} reset" in told.value.hint
    assert told.value.where == str(layout.state)


def test_what_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = state(tmp_path, *DOCKER)

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", refused)
    with pytest.raises(MachineError) as told:
        owner.wipe(layout, "docker")
    assert told.value.where == str(layout.state / "docker")
