"""The machine goes off at any write of ``up`` or of the endpoint: what was there, is there, or is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines_process_support import Rig
from faulty_disk_support import Cut, CutError

from mwaa_local.aws.server import soundness as aws
from mwaa_local.aws.server import statefiles
from mwaa_local.aws.server.checkpoint import Checkpoints
from mwaa_local.aws.server.journal import Journal, read_journal
from mwaa_local.engines.process import soundness
from mwaa_local.ground import disk


def _cut_at(number: int, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Do it and go off before that call; whether it went that far."""
    with monkeypatch.context() as patch:
        patch.setattr(disk, "CALLS", Cut(calls=number))
        try:
            act()
        except CutError:
            return True
    return False


def test_up_cut_at_any_write_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path, monkeypatch)
    number, keys = 0, ""
    while True:
        cut = _cut_at(number, rig.up, monkeypatch)
        rig.running = False
        assert soundness.check(rig.layout) == [], number
        if rig.layout.secrets.exists():
            now = rig.layout.secrets.read_text()
            assert keys in ("", now), "keys that were once kept never change"
            keys = now
        if not cut:
            break
        number += 1
    assert number > 5, "it writes that often"
    rig.up()
    assert rig.plan.facts["airflow_version"] == "3.2.1"
    left = [path.name for path in rig.layout.state.iterdir() if path.name.startswith(".")]
    assert len(left) <= 3, "a cut file is written over by the next, not kept beside it"


class Host:
    """MiniStack with two small services."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"secretsmanager": 0, "ssm": 0}
        self.unsynced: set[Path] = set()

    def state_functions(self) -> dict[str, Callable[[], Any]]:
        return {name: (lambda name=name: self.values[name]) for name in self.values}  # type: ignore[misc]

    def encode_state(self, _name: str, state: Any, extra: dict[str, Any]) -> bytes:
        return statefiles.document(json.dumps(state).encode(), extra)


def test_an_endpoint_cut_at_any_write_has_all_that_it_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = 0
    for number in range(200):
        state = tmp_path / str(number)
        (state / "services").mkdir(parents=True)
        host, answered = Host(), {"secretsmanager": 0, "ssm": 0}
        sent: list[int] = []

        def work(state: Path = state, host: Host = host, answered: Any = answered, sent: Any = sent) -> None:
            journal = Journal(state / "journal", "sqs")
            journal.open(lambda _record: None)
            checkpoints = Checkpoints(host, state / "services", {})  # type: ignore[arg-type]
            for value in range(1, 4):
                for name in host.values:
                    host.values[name] = value
                    assert asyncio.run(checkpoints.kept(name)) == ""
                    answered[name] = value
                assert journal.append({"op": "send", "q": [], "n": value})
                sent.append(value)
                if value == 2:
                    journal.rotate()
            journal.close()

        cut = _cut_at(number, work, monkeypatch)
        assert aws.check(state) == [], number
        for name, value in answered.items():
            path = state / "services" / f"{name}.json"
            kept = json.loads(path.read_bytes())["payload"] if path.exists() else 0
            assert kept in (value, value + 1), (number, name)
        assert [record["n"] for record in read_journal(state / "journal", "sqs").records][: len(sent)] == sent
        reached = number
        if not cut:
            break
    assert 25 < reached < 199
