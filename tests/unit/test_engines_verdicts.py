"""What components say of the same failure is told once, with one advice."""

from __future__ import annotations

from typing import Any

from mwaa_local.engines.protocol import ComponentState
from mwaa_local.engines.verdicts import verdicts


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
