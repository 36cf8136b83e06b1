"""What components say of the same failure is told once, with one advice."""

from __future__ import annotations

from typing import Any

import pytest

from mwaa_local.engines.protocol import ComponentState
from mwaa_local.engines.verdicts import crashes, verdicts, warnings


def state(name: str, **error: Any) -> ComponentState:
    told = {"verdict": "failed", "error": {"what": "The requirements conflict", **error}, "conflict": [], "tail": []}
    return ComponentState(name, "healthy", status={"requirements": told})


def test_one_failure_of_all_components_is_told_once_though_their_words_differ() -> None:
    states = [
        state("scheduler", kind="conflict", why="Because a depends on b", hint="name other constraints in line 1"),
        state("worker", kind="conflict", why="And because c depends on b", hint="remove line 2", what="Another word"),
        state("webserver", kind="conflict", why="Because a depends on b", hint="name other constraints in line 1"),
        ComponentState("postgres", "healthy"),
    ]
    (found,) = verdicts(states)
    assert "scheduler, worker, webserver" in found.why
    assert str(found).count("name other constraints") == 1 and "remove line 2" not in str(found)


def test_failures_of_two_kinds_are_two() -> None:
    states = [state("scheduler", kind="conflict"), state("webserver", kind="network", what="The index is out of reach")]
    assert [item.what for item in verdicts(states)] == ["The requirements conflict", "The index is out of reach"]


def script(**told: Any) -> ComponentState:
    return ComponentState("worker", "healthy", status={"startup_script": {"seconds": 3.2, **told}})


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"exit_status": 0}, []),
        ({"exit_status": None}, []),
        ({"exit_status": 1}, ["worker: the startup script ended with exit status 1"]),
        (
            {"exit_status": 127, "tail": ["a", "b", "c", "d", "e", "yum: command not found"]},
            [
                "worker: the startup script ended with exit status 127; its last lines:\n    b\n    c\n    d\n    e\n"
                "    yum: command not found"
            ],
        ),
        (
            {"exit_status": -15, "timed_out": True},
            ["worker: the startup script did not end within its time (3 s) and was ended"],
        ),
    ],
)
def test_the_end_of_a_startup_script_is_said_unless_it_was_good(told: dict[str, Any], said: list[str]) -> None:
    """MWAA hides it in a log stream; the component runs on all the same (spec/10 section 3)."""
    assert warnings([script(**told)]) == said


def test_the_same_warning_of_several_components_is_said_once() -> None:
    states = [ComponentState(name, "healthy", status={"notes": ["a note"]}) for name in ("scheduler", "worker")]
    odd = ComponentState("webserver", "healthy", status={"namespace": {"detail": "no mount namespace"}})
    assert warnings([*states, odd, ComponentState("aws", "healthy")]) == [
        "scheduler, worker: a note",
        "webserver: no mount namespace",
    ]


def crashed(count: int, at: float, file: str | None = None) -> ComponentState:
    last = {
        "process": "scheduler", "ended": "ended with exit code 1", "cause": "boom", "file": file, "trace": ["x", "y"],
        "count": count, "at": at,
    }  # fmt: skip
    return ComponentState("scheduler", "healthy", status={"crash": last})


def test_a_process_that_died_once_is_a_warning_and_twice_is_an_error() -> None:
    loops, once = crashes([crashed(1, at=100.0)], since=50.0)
    assert (loops, len(once)) == ([], 1)
    assert "scheduler was started again" in once[0]
    (error,), once = crashes([crashed(2, at=100.0, file="dags/bad.py")], since=50.0)
    assert once == []
    assert "ends again and again (2 times so far)" in error.what
    assert (error.where, error.why, error.hint.partition(":")[0]) == ("dags/bad.py", "x\ny", "mend dags/bad.py")


def test_what_died_before_up_may_have_been_mended() -> None:
    assert crashes([crashed(1, at=49.0)], since=50.0) == ([], [])
    loops, (said,) = crashes([crashed(3, at=49.0)], since=50.0)
    assert loops == []
    assert "3 times in a row before this" in said
    assert crashes([ComponentState("aws", "healthy")], since=0.0) == ([], [])
