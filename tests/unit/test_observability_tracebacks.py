"""Tracebacks in task logs: shown as the UI shows them, and read for the user's own line."""

from __future__ import annotations

from typing import Any

import pytest

from mwaa_local.observability.tracebacks import Failure, failure, render, says_nothing

LIBRARY = "/usr/local/airflow/.local/lib/python3.12/site-packages/airflow/sdk/execution_time/task_runner.py"
STANDARD = "/usr/local/lib/python3.12/json/decoder.py"
DAG = "/usr/local/airflow/dags/team/load.py"


def stack(kind: str, value: str, *frames: tuple[str, int, str], **more: Any) -> dict[str, Any]:
    shown = [{"filename": file, "lineno": line, "name": name} for file, line, name in frames]
    return {"exc_type": kind, "exc_value": value, "frames": shown, "exc_notes": [], "syntax_error": None, **more}


def event(*stacks: dict[str, Any], text: str = "Task failed with exception") -> dict[str, Any]:
    return {"timestamp": "T", "level": "error", "event": text, "logger": "task", "error_detail": list(stacks)}


def test_an_event_is_shown_as_the_ui_shows_it() -> None:
    lines = render(event(stack("KeyError", "'month'", (LIBRARY, 1112, "run"), (DAG, 12, "month"))))
    assert lines == [
        "[T] ERROR - Task failed with exception",
        "KeyError: 'month'",
        f'    File "{LIBRARY}", line 1112 in run',
        f'    File "{DAG}", line 12 in month',
    ]


def test_values_of_an_event_are_shown_and_its_source_is_not() -> None:
    shown = render({"event": "Filling up\nthe bag", "level": "info", "path": "/x", "logger": "a", "lineno": 3})
    assert shown == ["INFO - Filling up", "the bag path=/x"]
    assert render("plain\ntext") == ["plain", "text"]


def test_causes_notes_and_members_of_a_group_are_shown() -> None:
    inner = stack("ValueError", "no", (DAG, 3, "inner"), exc_notes=["look at the bucket"])
    group = stack("ExceptionGroup", "two", (DAG, 9, "outer"), is_group=True, exceptions=[{"stacks": [inner]}])
    lines = render(event(group, stack("OSError", "why")))
    assert "OSError: why" in lines
    assert "    ValueError: no" in lines
    assert "        look at the bucket" in lines


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], None),
        ([event(stack("KeyError", "'m'", (LIBRARY, 1, "run"), (DAG, 12, "month"), (STANDARD, 3, "loads")))],
         Failure("KeyError: 'm'", "dags/team/load.py:12 in month")),
        # What was raised last counts; a cause lends its place where the last has none of the user's.
        ([event(stack("ValueError", "bad", (DAG, 20, "outer")), stack("KeyError", "'m'", (DAG, 5, "inner")))],
         Failure("ValueError: bad", "dags/team/load.py:20 in outer")),
        ([event(stack("ValueError", "bad", (LIBRARY, 20, "outer")), stack("KeyError", "'m'", (DAG, 5, "inner")))],
         Failure("ValueError: bad", "dags/team/load.py:5 in inner")),
        # A handled exception that was logged before is not the one that ended the task.
        ([event(stack("OSError", "handled", (DAG, 1, "f"))), event(stack("KeyError", "'m'", (DAG, 2, "g")))],
         Failure("KeyError: 'm'", "dags/team/load.py:2 in g")),
        # No line of the user's took part.
        ([event(stack("AirflowException", "Bash command failed.\nmore", (LIBRARY, 1, "run")))],
         Failure("AirflowException: Bash command failed.")),
        ([event(stack("SystemExit", "", (DAG, 4, "stop")))], Failure("SystemExit", "dags/team/load.py:4 in stop")),
        ([event(stack("SyntaxError", "invalid", (LIBRARY, 1, "run"),
                      syntax_error={"filename": DAG, "lineno": 7, "line": "x = ("}))],
         Failure("SyntaxError: invalid", "dags/team/load.py:7")),
        ([{"event": "end", "level": "info", "error_detail": None}], None),
    ],
)  # fmt: skip
def test_the_failure_of_a_structured_log(events: list[Any], expected: Failure | None) -> None:
    assert failure(events) == expected


TEXT = f"""\
[2026-11-25] {{taskinstance.py:3311}} ERROR - Task failed with exception
Traceback (most recent call last):
  File "{DAG}", line 5, in inner
    return values["month"]
           ~~~~~~^^^^^^^^^
KeyError: 'month'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "{LIBRARY}", line 767, in _execute_task
    result = _execute_callable(context=context)
  File "{DAG}", line 20, in outer
    raise ValueError("bad month") from error
  File "/usr/local/airflow/plugins/helper.py", line 2, in check
    raise ValueError("bad month")
ValueError: bad month: see
the manual
[2026-11-25] {{taskinstance.py:1225}} INFO - Marking task as FAILED."""


def test_the_failure_of_a_log_in_text() -> None:
    assert failure(TEXT.splitlines()) == Failure("ValueError: bad month: see", "plugins/helper.py:2 in check")


def test_an_earlier_traceback_lends_no_place_to_a_later_one() -> None:
    later = f'Traceback (most recent call last):\n  File "{LIBRARY}", line 1, in run\nairflow.exceptions.AirflowException: x'
    assert failure([*TEXT.splitlines(), *later.splitlines()]) == Failure("airflow.exceptions.AirflowException: x")


def test_a_log_without_traceback_has_no_failure() -> None:
    assert failure(['INFO - a File "x", line 3', "Done: yes"]) is None


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        (DAG, "dags/team/load.py:3 in f"),
        ("/usr/local/airflow/plugins/p.py", "plugins/p.py:3 in f"),
        ("/elsewhere/mine.py", "/elsewhere/mine.py:3 in f"),
        ("/usr/local/airflow/lib/python3/mine.py", "lib/python3/mine.py:3 in f"),
        (LIBRARY, ""),
        (STANDARD, ""),
        ("/usr/lib64/python3.12/json/decoder.py", ""),
        ("/usr/lib/python3/dist-packages/x.py", ""),
        ("/opt/mwaa_airflow/launcher.py", ""),
        ("/usr/local/airflow/.local/bin/airflow", ""),
        ("/usr/local/airflow/dags/bin/other", "dags/bin/other:3 in f"),
        ("/usr/local/airflow/dags/airflow", "dags/airflow:3 in f"),
        ("<frozen importlib._bootstrap>", ""),
        ("relative.py", ""),
    ],
)
def test_whose_file_a_frame_is_in(file: str, shown: str) -> None:
    assert failure([event(stack("KeyError", "1", (file, 3, "f")))]) == Failure("KeyError: 1", shown)
    text = f'Traceback (most recent call last):\n  File "{file}", line 3, in f\nKeyError: 1'
    assert failure(text.splitlines()) == Failure("KeyError: 1", shown)


def test_the_innermost_line_of_the_users_is_named() -> None:
    frames = (
        (DAG, 1, "outer"),
        (LIBRARY, 2, "run"),
        ("/usr/local/airflow/dags/b.py", 3, "inner"),
        (STANDARD, 4, "loads"),
    )
    assert failure([event(stack("E", "x", *frames))]) == Failure("E: x", "dags/b.py:3 in inner")


@pytest.mark.parametrize(
    ("detail", "headline"),
    [
        ({"exc_type": "E", "exc_value": None}, "E"), ({"exc_type": "E", "exc_value": ""}, "E"), ({"exc_value": "x"}, "Exception: x"),
        ({}, "Exception"), ({"exc_type": "E", "exc_value": "\n a\nb"}, "E: "), ({"exc_type": "E", "exc_value": 3}, "E: 3"),
    ],
)  # fmt: skip
def test_the_headline_of_an_exception(detail: dict[str, Any], headline: str) -> None:
    assert failure([event(detail)]) == Failure(headline)
    assert render(event(detail))[1] == headline


def test_a_failure_in_words() -> None:
    assert str(Failure("KeyError: 1", "dags/a.py:3")) == "dags/a.py:3: KeyError: 1"
    assert str(Failure("KeyError: 1")) == "KeyError: 1"


@pytest.mark.parametrize(
    ("events", "silent"),
    [
        ([], True), ([{"event": "::group::Log message source details"}], True), ([{"event": "x", "timestamp": ""}], True),
        ([{"event": "x"}, {"event": "y", "timestamp": "T"}], False), (["*** no such stream"], True), (["*** x", "[2026] INFO"], False),
        ([""], True),
    ],
)  # fmt: skip
def test_a_log_that_says_nothing(events: list[Any], silent: bool) -> None:
    assert says_nothing(events) is silent


def test_a_syntax_error_shows_its_line() -> None:
    detail = stack("SyntaxError", "invalid", syntax_error={"filename": DAG, "lineno": 7, "line": "  x = (\n"})
    assert render(event(detail))[1:] == ["SyntaxError: invalid", f'    File "{DAG}", line 7: x = (']
    assert render(event(stack("SyntaxError", "x", syntax_error={"filename": DAG, "lineno": None, "line": None})))[
        2
    ] == (f'    File "{DAG}", line None: ')


def test_members_of_a_group_may_be_a_list_of_stacks() -> None:
    group = stack("ExceptionGroup", "two", exceptions=[[stack("ValueError", "a")], {"stacks": [stack("OSError", "b")]}])
    assert render(event(group))[1:] == ["ExceptionGroup: two", "    ValueError: a", "    OSError: b"]
