"""The state of an environment: what is damaged is named and refused, what is written twice is mended, nothing is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines_process_support import Rig

from mwaa_local.aws.server import soundness as aws_soundness
from mwaa_local.aws.server import statefiles
from mwaa_local.aws.server.journal import Journal
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.process import keeper_client, postgres, soundness
from mwaa_local.engines.process import view as process_view
from mwaa_local.errors import EngineError, MachineError

# Before any stand-in takes its place.
REPORT, DESCRIBE = keeper_client.report, postgres.describe


def _cluster(home: Path) -> None:
    data = home / "data"
    for name in ("global", "base", "pg_wal"):
        (data / name).mkdir(parents=True)
    (data / "global/pg_control").write_bytes(b"control")
    (data / "PG_VERSION").write_text("16\n")
    (home / "made").touch()
    (home / "cluster.json").write_text(json.dumps({"data": str(data), "identity": "same", "programs": None}))


def _endpoint(aws: Path) -> None:
    (aws / "services").mkdir(parents=True)
    for name in ("secretsmanager", "ssm"):
        for value in (1, 2):
            statefiles.write(aws / "services", name, statefiles.document(b'{"v": %d}' % value, {}))
    journal = Journal(aws / "journal", "sqs")
    journal.open(lambda _record: None)
    for number in range(3):
        journal.append({"op": "send", "q": ["a", "r", "q"], "n": number})
    journal.close()
    logs = Journal(aws / "journal", "cloudwatch_logs")
    logs.open(lambda _record: None)
    logs.close()
    aws_soundness.note_opened(aws)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(tmp_path, monkeypatch)


@pytest.fixture
def layout(rig: Rig) -> Layout:
    """The state of an environment that was up and is down."""
    rig.up()
    _cluster(rig.layout.postgres("3"))
    _endpoint(_site(rig.layout).aws)
    rig.up()
    rig.running = rig.site_running = False
    assert _check(rig.layout) == []
    return rig.layout


def _site(own: Layout) -> Layout:
    return Layout(own.state.parent / "_site")


def _check(own: Layout) -> list[soundness.Finding]:
    return [*soundness.check(own), *soundness.check(_site(own))]


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _member(**members: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **members}))

    return change


# name -> (where, harm, whether --repair mends it, whether that loses nothing)
DAMAGES: dict[str, tuple[str, Callable[[Path], None], bool]] = {
    "keys gone": ("secrets.json", _gone, True),
    "keys empty": ("secrets.json", lambda path: path.write_text(""), True),
    "keys half": ("secrets.json", _half, True),
    "keys a list": ("secrets.json", lambda path: path.write_text("[]"), True),
    "a password that is a number": ("secrets.json", _member(database_password=3), True),
    "an unusable Fernet key": ("secrets.json", _member(fernet_key="x"), True),
    "a Fernet key of 31 bytes": ("secrets.json", _member(fernet_key="A" * 42), True),
    "one key too many": ("secrets.json", _member(more="x"), True),
    "keys of another environment": (
        "secrets.json",
        _member(database_password="0" * 32, web_secret="other", fernet_key="A" * 43 + "="),
        True,
    ),
    "the journals gone": ("../_site/aws/journal", _gone, True),
    "an unreadable journal": (
        "../_site/aws/journal/sqs.00000001.journal",
        lambda path: (path.unlink(), path.mkdir()),
        True,
    ),
    "the database's folder gone": ("postgres-3", _gone, False),
    "the database's data gone": ("postgres-3/data", _gone, False),
    "a file of the database gone": ("postgres-3/data/PG_VERSION", _gone, False),
    "the control file gone": ("postgres-3/data/global/pg_control", _gone, False),
    "the write-ahead log gone": ("postgres-3/data/pg_wal", _gone, False),
    "the database's description gone": ("postgres-3/cluster.json", _gone, True),
    "the database's description a list": ("postgres-3/cluster.json", lambda path: path.write_text("[]"), True),
    "the database's description of other types": ("postgres-3/cluster.json", _member(data=3), True),
    "the endpoint's folder gone": ("../_site/aws", _gone, False),
    "half a state file": ("../_site/aws/services/ssm.json", _half, True),
    "a state file gone": ("../_site/aws/services/ssm.json", _gone, True),
    "half a journal": ("../_site/aws/journal/sqs.00000001.journal", _half, True),
    "the list of folders damaged": ("kept.json", lambda path: path.write_text("{}"), False),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_refused_by_name_and_nothing_is_changed_or_started(
    kind: str,
    layout: Layout,
    rig: Rig,
) -> None:
    where, harm, mendable = DAMAGES[kind]
    path = (layout.state / where).resolve()
    harm(path)
    before = _contents(layout.state.parent)
    rig.calls.clear()
    rig.site_calls.clear()
    with pytest.raises(MachineError) as caught:
        rig.up()
    assert caught.value.where.startswith(str(path)) or str(path).startswith(caught.value.where)
    assert str(path) in caught.value.why
    assert "reset" in caught.value.hint
    assert ("--repair" in caught.value.hint) is mendable
    assert rig.calls == rig.site_calls == [], "nothing was started"
    assert _contents(layout.state.parent) == before
    found = _check(layout)
    assert {bool(one.repair) for one in found} == {mendable}


@pytest.mark.parametrize("kind", [kind for kind, (_where, _harm, mendable) in DAMAGES.items() if mendable])
def test_what_can_be_mended_is_mended_after_a_copy(
    kind: str,
    layout: Layout,
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "working_identity", lambda: "same")
    secrets = json.loads(layout.secrets.read_text())
    where, harm, _mendable = DAMAGES[kind]
    harm(layout.state / where)
    shared = _site(layout)
    harmed = [_contents(one.state) for one in (layout, shared)]
    done = soundness.repair_whole(layout, shared)
    (copy,) = done.copies
    assert _contents(copy) in harmed, "as it was"
    assert copy.parent == layout.state.parent and soundness.is_copy(copy) and not soundness.is_copy(layout.state)
    assert done.left == ()
    assert done.done
    assert json.loads(layout.secrets.read_text()) == secrets, "the very same keys"
    rig.up()
    assert rig.calls[-1] == "start"


def test_what_cannot_be_mended_stays_named(layout: Layout) -> None:
    _gone(layout.postgres("3") / "data")
    done = soundness.repair(layout)
    assert done.done == ()
    assert [one.damage.path for one in done.left] == [layout.postgres("3") / "data"]


def test_a_database_that_only_its_note_knows_of_is_missed(layout: Layout) -> None:
    """As in a project of before the list of folders."""
    _gone(layout.state / "kept.json")
    _gone(layout.postgres("3"))
    assert [one.damage.path for one in soundness.check(layout)] == [layout.postgres("3")]


def test_a_project_that_was_moved_keeps_its_database(layout: Layout, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere"
    shutil.move(layout.state, there)
    moved = Layout(there)
    assert soundness.check(moved) == []
    cluster = DESCRIBE(moved.postgres("3"))
    assert cluster is not None
    assert cluster.data == moved.postgres("3") / "data"


def test_keys_that_no_plan_knows_can_only_be_restored(layout: Layout) -> None:
    _gone(layout.secrets)
    _gone(layout.plan)
    (found,) = soundness.check(layout)
    assert (found.damage.path, found.repair) == (layout.secrets, "")


def test_a_running_environment_is_not_judged(layout: Layout, rig: Rig) -> None:
    rig.running = True
    with pytest.raises(EngineError, match="runs, and what it is writing"):
        soundness.look(layout)


def test_a_look_names_what_it_read(layout: Layout, tmp_path: Path) -> None:
    looked = soundness.look_whole(layout, _site(layout))
    assert looked.engine == "process"
    assert [line.partition(":")[0] for line in looked.looked_at] == ["keys", "database", "AWS endpoint"]
    assert "cloudwatch_logs, secretsmanager, sqs, ssm" in looked.looked_at[-1]
    assert looked.findings == ()
    assert soundness.look(Layout(tmp_path / "none")) == soundness.Looked("", (), (), ())


def test_a_project_of_an_earlier_version_is_taken_over(layout: Layout, rig: Rig) -> None:
    """Without the notes that this version adds."""
    _site(layout).aws.rename(layout.aws)
    shutil.rmtree(_site(layout).state)
    for name in ("kept.json", "postgres-3/made", "postgres-3/airflow_version.json", "aws/services/manifest.json"):
        (layout.state / name).unlink(missing_ok=True)
    (layout.aws / "journal/sqs.seal").unlink()
    rig.up()
    assert _check(layout) == []
    assert json.loads((layout.state / "kept.json").read_text()) == {"folders": ["postgres-3", "services"]}
    assert json.loads((_site(layout).state / "kept.json").read_text()) == {"folders": ["services"]}
    assert not layout.aws.exists()


def test_damage_from_before_there_were_sites_is_refused_and_not_taken_over(layout: Layout, rig: Rig) -> None:
    _site(layout).aws.rename(layout.aws)
    shutil.rmtree(_site(layout).state)
    _half(layout.aws / "services/ssm.json")
    before = _contents(layout.state.parent)
    with pytest.raises(MachineError, match="are damaged"):
        rig.up()
    assert _contents(layout.state.parent) == before
    soundness.repair_whole(layout, _site(layout))
    rig.up()
    assert _site(layout).aws.is_dir()


def test_a_site_that_runs_for_another_environment_is_passed_over(layout: Layout, rig: Rig) -> None:
    rig.site_running = True
    _half(_site(layout).aws / "services/ssm.json")
    looked = soundness.look_whole(layout, _site(layout))
    assert looked.findings == () and "runs for another environment" in looked.passed_over[-1]
    assert soundness.repair_whole(layout, _site(layout)) == soundness.Repaired((), (), ())


DOCUMENTS = [
    "",
    "[]",
    "{half",
    '{"components": 3, "3": {"a": 1}}',
    '{"format": 1, "components": [3]}',
    '{"format": 1, "components": [], "tool": 3, "base_env": [], "facts": 3}',
    '{"format": 1, "components": [], "tool": "x", "base_env": {}, "facts": {"ports": {"web": "x"}}}',
    "[" * 100_000,
]


@pytest.mark.parametrize("name", ["plan.json", "databases.json", "digests.json", "ports.json"])
def test_any_document_in_place_of_a_note_is_taken_or_refused(
    name: str,
    layout: Layout,
    rig: Rig,
) -> None:
    path = rig.folder / "cache" / name if name == "ports.json" else layout.state / name
    for text in DOCUMENTS:
        path.write_text(text)
        rig.up()
        rig.running = False
        path.write_text(text)
        process_view.states(layout, rig.engine._plan())
        rig.engine.down(timeout_s=1)
        assert json.loads(layout.secrets.read_text())


def test_any_document_in_place_of_the_keepers_report_says_nothing(
    layout: Layout,
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper_client, "report", REPORT)
    for text in DOCUMENTS:
        layout.report.write_text(text)
        states = process_view.states(layout, rig.plan)
        assert {one.state for one in states} == {"stopped"}, text[:40]


def test_the_state_is_the_users_alone(layout: Layout) -> None:
    assert layout.state.stat().st_mode & 0o777 == 0o700
    for path in layout.state.iterdir():
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0, path
