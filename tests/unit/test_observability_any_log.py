"""Any log a task may write: shown, and looked through for its failure, without one of our own."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mwaa_local.observability import tracebacks
from mwaa_local.runtime import crash
from mwaa_local.runtime.ship import LEVELS, Levels

KEYS = (
    "event", "timestamp", "level", "error_detail", "exc_type", "exc_value", "frames", "filename", "lineno", "name",
    "exc_notes", "exceptions", "stacks", "syntax_error", "line", "logger",
)  # fmt: skip
VALUE: Any = st.recursive(
    st.none()
    | st.integers(-2, 99)
    | st.text(max_size=8)
    | st.sampled_from(["KeyError", "/usr/local/airflow/dags/a.py"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
LINES = (
    "Traceback (most recent call last):", '  File "/usr/local/airflow/dags/a.py", line 3, in f', "    x = y", "KeyError: 1",
    "During handling of the above exception, another exception occurred:", "", "boom", "[2026-01-01] {a.py:1} ERROR - no",
    "2026 [error    ] x", "ValueError", '  File "', "    ^^^", "\x00", "ü" * 300,
)  # fmt: skip
TEXT = st.lists(st.sampled_from(LINES) | st.text(max_size=30).filter(lambda text: "\n" not in text), max_size=10)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(VALUE | st.dictionaries(st.sampled_from(KEYS), VALUE, max_size=5), max_size=3))
def test_any_event_is_shown_and_looked_through(events: list[Any]) -> None:
    for event in events:
        assert all("\n" not in line for line in tracebacks.render(event) if "error_detail" not in str(event))
    found = tracebacks.failure(events)
    assert found is None or isinstance(str(found), str)
    assert tracebacks.says_nothing(events) in (True, False)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXT)
def test_any_text_is_looked_through(lines: list[str]) -> None:
    found = tracebacks.failure(lines)
    if not any(line.endswith("Traceback (most recent call last):") for line in lines) and found is not None:
        assert any(line.lstrip().startswith("File") for line in lines), "a failure needs frames"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXT, st.integers(-31, 255))
def test_the_words_about_any_death_are_one_line(lines: list[str], code: int) -> None:
    found = crash.explain("scheduler", code, lines, {})
    assert found["process"] == "scheduler"
    assert "\n" not in crash.sentence(found)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXT)
def test_a_line_without_a_level_has_that_of_the_line_before(lines: list[str]) -> None:
    levels, last = Levels(), LEVELS["INFO"]
    for line in lines:
        found = levels.of(line)
        named = [word for word in ("error", "ERROR") if f"[{word}" in line[:400] or f"}} {word} -" in line[:400]]
        assert found == (LEVELS["ERROR"] if named else found)
        if not named and "[" not in line and "}" not in line:
            assert found == last
        last = found
