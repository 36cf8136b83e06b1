"""Why a process ended, out of what it printed last: every form an end takes, and the user's file where it can be known."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mwaa_airflow import crash as hook
from mwaa_local.runtime import crash
from mwaa_local.runtime.status import FAILED, STOPPED, Status

HOME = Path("/usr/local/airflow")
ROOTS = {"dags": [HOME / "dags", Path("/work space/dags")], "plugins": [HOME / "plugins"]}

PLAIN = """
Traceback (most recent call last):
  File "/venv/bin/airflow", line 8, in <module>
    sys.exit(main())
  File "/venv/lib/airflow/serialized_objects.py", line 2292, in owner
    set(filter(None, x))
TypeError: unhashable type: 'list'
"""
IN_DAG = """
Traceback (most recent call last):
  File "/venv/lib/airflow/dag.py", line 8, in next
    return self.timetable.next()
  File "/usr/local/airflow/dags/team/late.py", line 12, in next
    raise ValueError("no run: %s" % x)
ValueError: no run: x
second line of the message
"""
CHAINED = """
Traceback (most recent call last):
  File "/usr/local/airflow/plugins/hook.py", line 3, in connect
    socket.connect()
ConnectionRefusedError: [Errno 111] Connection refused

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/venv/lib/sqlalchemy/base.py", line 3, in connect
    raise
sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) connection refused
(Background on this error at: https://sqlalche.me/e/14/e3q8)
"""
GROUP = """
  + Exception Group Traceback (most recent call last):
  |   File "/venv/lib/asyncio/taskgroups.py", line 145, in __aexit__
  |     raise me from None
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/usr/local/airflow/plugins/trigger.py", line 40, in run
    |     yield 1 / 0
    | ZeroDivisionError: division by zero
    +------------------------------------
"""
FATAL = """
Fatal Python error: Segmentation fault

Current thread 0x00007f (most recent call first):
  File "/venv/lib/cx_Oracle.py", line 5 in connect
  File "/usr/local/airflow/dags/oracle.py", line 21 in <module>
  File "/venv/lib/airflow/dagbag.py", line 9 in load
"""
LOGGED = PLAIN + "\n".join(f"line {number}" for number in range(100))
HANDLED = PLAIN + "mwaa-local: it ended while it handled /usr/local/airflow/dags/greet.py\n"
BOXED = """
[2026-01-01T00:00:00] ERROR - boom
╭───────────── Traceback (most recent call last) ──────────────╮
│ /usr/local/airflow/dags/boxed.py:7 in <module>                │
╰───────────────────────────────────────────────────────────────╯
RuntimeError: in a box
"""

TABLE = [
    ("plain", 1, PLAIN, "TypeError: unhashable type: 'list'", "", 0),
    ("handled", 1, HANDLED, "TypeError: unhashable type: 'list'", "dags/greet.py", 0),
    ("own code", 1, IN_DAG, "ValueError: no run: x", "dags/team/late.py", 12),
    (
        "workspace's own path",
        1,
        IN_DAG.replace("/usr/local/airflow", "/work space"),
        "ValueError: no run: x",
        "dags/team/late.py",
        12,
    ),
    ("chained", 1, CHAINED, "sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) connection refused", "", 0),
    ("group", 1, GROUP, "ZeroDivisionError: division by zero", "plugins/trigger.py", 40),
    ("bare exception", 1, PLAIN.replace(": unhashable type: 'list'", ""), "TypeError", "", 0),
    ("boxed", 1, BOXED, "RuntimeError: in a box", "dags/boxed.py", 7),
    ("C code", -11, FATAL, "Segmentation fault (was killed by SIGSEGV)", "dags/oracle.py", 21),
    ("abort in C", -6, "free(): invalid pointer\n", "was killed by SIGABRT; its last words: free(): invalid pointer", "", 0),
    ("out of memory", -9, "working\n", "was killed by SIGKILL (the system does so when memory is short)", "", 0),
    ("an exception it survived, then a signal", -9, PLAIN, "was killed by SIGKILL", "", 0),
    ("an exception it survived", 3, LOGGED, "line 99", "", 0),
    ("no traceback", 2, "starting\nairflow: error: unrecognized arguments: --x\nbye\n", "airflow: error: unrec", "", 0),
    ("silent", 7, "", "it printed nothing", "", 0),
    (
        "message names it",
        1,
        PLAIN.replace("unhashable type: 'list'", "cannot read /usr/local/airflow/dags/a.zip"),
        "TypeError: cannot read",
        "dags/a.zip",
        0,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text", "cause", "file", "line"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_an_end_has_a_cause_and_a_file(code: int, text: str, cause: str, file: str, line: int) -> None:
    found = crash.explain("dag-processor", code, [row for row in text.splitlines() if row], ROOTS)
    assert found["cause"].startswith(cause)
    assert (found["file"], found["line"]) == (file, line)
    said = crash.sentence(found)
    assert said.startswith(f"dag-processor: {cause}")
    assert file in said


def test_the_lines_that_matter_hold_the_users_frame_and_the_end() -> None:
    long = IN_DAG.replace(
        "ValueError: no run",
        "".join(f'  File "/venv/x.py", line {n}, in f\n    g()\n' for n in range(30)) + "ValueError: no",
    )
    trace = crash.explain("scheduler", 1, long.splitlines(), ROOTS)["trace"]
    assert any("late.py" in text for text in trace)
    assert any(text.startswith("ValueError") for text in trace)
    assert len(trace) <= 24


def test_a_loop_is_counted_over_boots_and_forgotten_after_a_stop(tmp_path: Path) -> None:
    found = crash.explain("dag-processor", 1, PLAIN.splitlines(), ROOTS)
    for count in (1, 2, 3):
        boot = Status(tmp_path, "scheduler")
        assert (boot["crash"] or {"count": 0})["count"] == count - 1, (
            "what ended the boot before is told while it boots"
        )
        boot.crashed(found)
        boot.set(state=FAILED)
        assert boot["crash"]["count"] == count
    boot = Status(tmp_path, "scheduler")
    boot.forget_crash(600)
    assert boot["crash"]["count"] == 3
    boot.started = time.time() - 700
    boot.crashed({**found, "at": time.time() - 650})
    boot.forget_crash(600)
    assert boot["crash"] is None
    boot.crashed(found)
    boot.set(state=STOPPED)
    assert Status(tmp_path, "scheduler")["crash"] is None


def _raised(**variables: object) -> BaseException:
    try:
        _inner(SimpleNamespace(**variables))
    except LookupError as error:
        return error
    raise AssertionError


def _inner(dag: object) -> None:
    assert dag is not None
    raise LookupError("x")


def test_frames_know_the_file_that_the_traceback_does_not_name() -> None:
    folders = ["/usr/local/airflow/dags/", "/usr/local/airflow/plugins/"]
    path = "/usr/local/airflow/dags/greet.py"
    for variables in ({"fileloc": path}, {"absolute_path": Path(path)}):
        assert hook.culprit(_raised(**variables).__traceback__, folders) == path
    assert hook.culprit(_raised(fileloc="/elsewhere/greet.py").__traceback__, folders) == ""
    assert hook.culprit(_raised(fileloc="/usr/local/airflow/dags").__traceback__, folders) == ""


def test_the_hook_prints_what_the_reader_reads(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    code = (
        "from mwaa_airflow import crash; crash.install()\n"
        "class Dag:\n    @property\n    def broken(self): raise KeyError\n"
        f"def store(dag, file): raise TypeError('unhashable')\n"
        f"store(Dag(), {str(dags / 'greet.py')!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"AIRFLOW_HOME": str(tmp_path)},
    )
    assert done.returncode == 1
    found = crash.explain("dag-processor", 1, done.stderr.splitlines(), {"dags": [dags]})
    assert (found["cause"], found["file"]) == ("TypeError: unhashable", "dags/greet.py")


def cause(text: str, code: int = 1) -> str:
    return str(crash.explain("worker", code, text.splitlines(), ROOTS)["cause"])


def test_a_word_printed_after_a_traceback_is_not_its_exception() -> None:
    assert cause(PLAIN + "Goodbye: all done\n") == "TypeError: unhashable type: 'list'"


def test_of_a_group_of_several_the_last_one_counts() -> None:
    two = GROUP.rstrip() + "\n    +---------------- 2 ----------------\n    | KeyError: 'second'\n    +----\n"
    assert cause(two) == "KeyError: 'second'"


def test_a_traceback_that_many_lines_follow_was_survived() -> None:
    near, far = "working\n" * 59, "working\n" * 62
    assert cause(PLAIN.strip() + "\n" + near).startswith("TypeError")
    assert cause(PLAIN.strip() + "\n" + far) == "working"


def test_long_causes_and_lines_are_cut() -> None:
    found = crash.explain("worker", 1, ["fatal " + "x" * 500], ROOTS)
    assert len(found["cause"]) == len(found["trace"][0]) == 300


def test_one_that_printed_nothing_or_nothing_telling() -> None:
    assert cause("") == "it printed nothing"
    assert cause("one\n\ntwo  \n") == "two"
    assert cause("an error here\nfine\n") == "an error here"
    assert cause("an error here\n" + "fine\n" * 12) == "fine", "too far from the end"


def test_a_signal_without_a_name_has_its_number() -> None:
    assert crash.explain("worker", -60, [], ROOTS)["ended"] == "was killed by signal 60"


def test_a_crash_in_one_line() -> None:
    row = {"process": "worker", "cause": "it broke", "ended": "ended with exit code 1", "file": "", "line": 0}
    assert crash.sentence(row) == "worker: it broke"
    assert crash.sentence({**row, "cause": ""}) == "worker: ended with exit code 1"
    assert crash.sentence({**row, "file": "dags/a.py", "line": 7}) == "worker: it broke (dags/a.py:7)"
    assert crash.sentence({**row, "file": "dags/a.py"}) == "worker: it broke (while it handled dags/a.py)"


def test_the_last_fatal_error_counts() -> None:
    lines = ["Fatal Python error: Aborted", "the parent went on", "Fatal Python error: Segmentation fault", "Stack:"]
    assert crash.explain("worker", -11, lines, {})["cause"].startswith("Segmentation fault")
