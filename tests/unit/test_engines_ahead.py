"""Package sets before the components that use them: when one is made ahead, and what a failure means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engines_process_support import Rig

from mwaa_local.engines import ahead
from mwaa_local.engines.plan import Component, Plan
from mwaa_local.errors import EngineError, RequirementsError
from mwaa_local.ground import processes
from mwaa_local.runtime import ahead as made_ahead

FAILED = {
    "verdict": "failed",
    "error": {
        "what": "six cannot be resolved",
        "where": "requirements.txt:1",
        "why": "six==1 and six==2",
        "hint": "drop one",
    },
}


def plan(version: str = "3.2.1", **inputs: str) -> Plan:
    return Plan("x", {}, (Component("worker", ("w",), inputs=inputs),), {"airflow_version": version})


R, S = "requirements.txt", "startup script"


@pytest.mark.parametrize(
    ("before", "digests", "version", "wanted"),
    [
        (None, {R: "1"}, "3.2.1", False),  # nothing runs
        (plan(**{R: "1"}), {R: "1"}, "3.2.1", False),
        (plan(**{R: "1"}), {R: "2"}, "3.2.1", True),
        (plan(), {R: "2"}, "3.2.1", True),
        (plan(**{R: "1"}), {}, "3.2.1", False),  # the file is gone: the base set is there
        (plan(**{R: "1"}), {R: "1"}, "2.11.0", True),  # another version, another set
        (plan(**{R: "1", S: "a"}), {R: "2", S: "a"}, "3.2.1", True),
        (plan(**{R: "1", S: "a"}), {R: "2", S: "b"}, "3.2.1", False),  # it may export an index
        (plan(**{R: "1"}), {R: "2", S: "b"}, "3.2.1", False),
        (plan(**{R: "1", S: "a"}), {R: "2"}, "3.2.1", False),
        (plan(**{R: "1", S: "a"}), {R: "1", S: "a"}, "2.11.0", False),
        (Plan("x", {}, ()), {R: "2"}, "3.2.1", False),
    ],
)
def test_when_a_set_is_made_ahead(before: Plan | None, digests: dict[str, str], version: str, wanted: bool) -> None:
    assert ahead.wanted(before, digests, version) is wanted


@pytest.mark.parametrize("text", ["", "\n", "words", "[]", "{}", '{"verdict": "ok"} tail'])
def test_another_text_is_no_verdict(text: str) -> None:
    with pytest.raises(EngineError, match="could not be made ahead"):
        ahead.read(text)


def test_the_last_line_is_the_verdict() -> None:
    assert ahead.read('lines of pip\n{"verdict": "ok"}\n') == {"verdict": "ok"}


def test_a_failure_says_what_stays() -> None:
    for fine in ({"verdict": "ok"}, {"verdict": "none"}):
        ahead.refuse(fine)
    with pytest.raises(RequirementsError, match="six cannot be resolved") as caught:
        ahead.refuse(FAILED)
    error = caught.value
    assert error.where == "requirements.txt:1"
    assert error.why == "six==1 and six==2\nnothing was changed: what runs goes on with the packages it has"
    assert "drop one" in error.hint and "--allow-failed-requirements" in error.hint


# -- in the process engine ---------------------------------------------------------------------------------------------


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    made = Rig(tmp_path, monkeypatch)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/requirements.txt").write_text("six\n")
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked ahead, after the first element, which is the answer."""
    found: list[Any] = [{"verdict": "ok"}]

    def verdict(component: str, variables: dict[str, str], emit: Any) -> Any:
        emit("a line of pip")
        found.append((component, variables))
        return found[0]

    monkeypatch.setattr(made_ahead, "verdict", verdict)
    return found


@pytest.mark.skipif(not processes.LINUX, reason="reads /proc")
def test_requirements_that_cannot_be_had_leave_what_runs(rig: Rig, asked: list[Any]) -> None:
    rig.up()
    assert len(asked) == 1, "nothing ran: the boot tells"
    before, calls = rig.plan, list(rig.calls)
    (rig.folder / "requirements/requirements.txt").write_text("six==1\nsix==2\n")
    asked[0] = FAILED
    with pytest.raises(RequirementsError, match="six cannot be resolved"):
        rig.up()
    assert rig.plan == before and rig.calls == calls
    assert rig.running
    assert rig.progress.steps[-1] == ahead.STEP and rig.progress.notes[-1] == "a line of pip"
    component, variables = asked[1]
    assert component == "worker" and variables["MWAA_LOCAL__COMPONENT"] == "worker"
    assert variables[made_ahead.EXPORTS] == "{}" and variables["PATH"] == "/usr/bin:/bin"
    rig.load(**{"Local.AllowFailedRequirements": True})
    result = rig.up()
    assert result.changes == ["requirements.txt changed: restarted webserver, scheduler, worker"]
    assert rig.plan != before


@pytest.mark.skipif(not processes.LINUX, reason="reads /proc")
def test_a_set_is_there_before_another_version_stops_the_old_one(rig: Rig, asked: list[Any]) -> None:
    rig.load("AirflowVersion: 2.10.3\n")
    rig.up()
    rig.load("AirflowVersion: 2.11.0\n")
    asked[0] = FAILED
    calls = list(rig.calls)
    with pytest.raises(RequirementsError):
        rig.up()
    assert not [word for word in rig.calls[len(calls) :] if word.startswith(("stop", "start", "reload"))]
    assert rig.plan.facts["airflow_version"] == "2.10.3"
    asked[0] = {"verdict": "ok"}
    rig.up()
    assert asked[-1][1]["AIRFLOW_VERSION"] == "2.11.0"
    assert rig.calls[-2:] == ["stop 100", "start"]
