"""Failures as a resolver tells them, turned into lines, pins and what to do. The texts are uv's and pip's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from mwaa_local.packages import explain, narrate
from mwaa_local.packages.constraints import ConstraintSource, pins
from mwaa_local.packages.entries import Entry
from mwaa_local.packages.failure import Conflict, UnmetRequirementsError
from mwaa_local.packages.requirements import ConstraintPart, Reading

FILE = "/usr/local/airflow/requirements/requirements.txt"


def reading(*lines: str, essential: str = "", given: str = "", **changes: object) -> Reading:
    entries = []
    for number, text in enumerate(lines, start=1):
        name = text.split("=")[0].split("<")[0].split(">")[0]
        entries.append(Entry(FILE, number, text, "index", text, name, SpecifierSet(text[len(name) :])))
    parts = tuple(
        ConstraintPart(ConstraintSource("file", label, text), tuple(text.splitlines()), pins(text))
        for label, text in (("essential pins of MWAA", essential), ("constraints.txt", given))
    )
    return Reading(Path("r"), FILE, tuple(entries), parts, **changes)  # type: ignore[arg-type]


def explained(text: str, of: Reading) -> UnmetRequirementsError:
    return explain.failure(text, of, python="3.12")


def test_a_line_against_an_essential_pin() -> None:
    text = """error: No solution found when resolving dependencies
  cause: Because you require flask==2.0 and flask==3.1.3, we can conclude that your requirements are unsatisfiable."""
    error = explained(text, reading("requests", "flask==2.0", essential="Flask==3.1.3\n"))
    assert error.kind == "conflict"
    assert error.conflicts == (Conflict(FILE, 2, "flask==2.0", "flask==3.1.3", "essential pins of MWAA"),)
    assert "line 2" in error.where
    assert "MWAA fixes flask==3.1.3" in error.hint
    assert "Because you require flask==2.0" in error.why


def test_a_dependency_against_a_pin_names_the_line_that_brings_it() -> None:
    text = """  × No solution found when resolving dependencies:
  ╰─▶ Because dbt-core==1.5.0 depends on cffi>=1.9,<2.0.0 and cffi==2.0.0, we can conclude that dbt-core==1.5.0
      cannot be used.
      And because you require dbt-core==1.5.0, we can conclude that your requirements are unsatisfiable."""
    error = explained(text, reading("pandas", "dbt-core==1.5.0", essential="vine==5.1.0\n", given="cffi==2.0.0\n"))
    assert error.conflicts == (Conflict(FILE, 2, "dbt-core==1.5.0", "cffi==2.0.0", "constraints.txt"),)
    assert error.hint == "take a version of dbt-core that allows cffi==2.0.0"
    assert not any(sign in error.why for sign in "×╰▶")


def test_two_lines_against_each_other_do_not_blame_a_pin_in_the_chain() -> None:
    text = """error: No solution found when resolving dependencies
  cause: Because apache-airflow-core==3.2.1 depends on jinja2>=3.1.5 and apache-airflow==3.2.1 depends on \
apache-airflow-core==3.2.1, we can conclude that apache-airflow==3.2.1 depends on jinja2>=3.1.5.
And because provider-x==1.0.0 depends on apache-airflow==3.2.1 and dbt-core==1.5.0 depends on jinja2==3.1.2, we can \
conclude that provider-x==1.0.0 and dbt-core==1.5.0 are incompatible."""
    error = explained(text, reading("dbt-core==1.5.0", "other", "provider-x==1.0", essential="apache-airflow==3.2.1\n"))
    assert [(conflict.line, conflict.pin) for conflict in error.conflicts] == [(1, ""), (3, "")]


def test_a_line_for_another_python_does_not_take_part() -> None:
    read = reading("a==1", essential="a==2\n")
    other = replace(read.entries[0], marker="python_version < '3'")
    assert explain.direct_conflicts(read, "3.12")
    assert explain.direct_conflicts(replace(read, entries=(other,)), "3.12") == ()


def test_a_constraint_for_another_python_is_no_pin() -> None:
    assert pins("a==1 ; python_version < '3'\nb==1.*\nc==1 # why\nd==2\n") == {"c": "1", "d": "2"}


def test_two_lines_that_ask_for_different_versions_of_one_package() -> None:
    error = explained("No solution found", reading("a==1", "a==2"))
    assert error.conflicts == (Conflict(FILE, 2, "a==2", "a==1", "line 1"),)


def test_no_matching_distribution_in_pips_words() -> None:
    text = """error: No solution found when resolving dependencies
  cause: Because libraryname was not found in the package registry and you require libraryname==1.0.0, we can conclude \
that your requirements are unsatisfiable."""
    error = explained(text, reading("a", "b", "c", "libraryname==1.0.0"))
    assert error.kind == "no-match"
    out: list[str] = []
    narrate.failed(out.append, error)
    # spec/08 section 3.4: the line of the guide.
    assert f"ERROR: No matching distribution found for libraryname==1.0.0 (from -r {FILE} (line 4))" in out


def test_a_version_that_is_not_there() -> None:
    text = "error: No solution found\n  cause: Because there is no version of tomli==99 and you require tomli==99, we"
    assert explained(text, reading("tomli==99")).kind == "no-match"


def test_a_source_archive_that_needs_more_than_this_machine_has() -> None:
    text = """   Building mysqlclient==2.3.1
error: Failed to build `mysqlclient==2.3.1`
  cause: The build backend returned an error
         Trying pkg-config --exists mysqlclient
         Exception: Can not find valid pkg-config name."""
    error = explained(text, reading("mysqlclient"))
    assert error.kind == "build"
    assert error.packages == ("mysqlclient",)
    assert "mysqlclient 2.3.1 has no wheel for Python 3.12" in error.what
    assert "pkg-config" in error.what
    assert "docker engine" in error.hint
    assert error.conflicts[0].line == 1


def test_of_a_long_build_the_end_is_shown_and_what_uv_makes_of_it() -> None:
    noise = "".join(f"         copying file {number}\n" for number in range(40))
    text = f"""error: Failed to build `pygraphviz==1.14`
  cause: The build backend returned an error
{noise}         pygraphviz/graphviz_wrap.c:3023:10: fatal error: graphviz/cgraph.h: No such file or directory
         compilation terminated.
hint: This error likely indicates that you need to install a library that provides `graphviz/cgraph.h` for `pygraphviz@1.14`"""
    why = explained(text, reading("pygraphviz==1.14")).why.splitlines()
    assert len(why) == 13
    assert "fatal error: graphviz/cgraph.h" in why[-3]
    assert why[-1] == "you need to install a library that provides `graphviz/cgraph.h` for `pygraphviz@1.14`"


def test_a_search_without_end_shows_its_last_lines() -> None:
    text = "\n".join(f"trying version {number}" for number in range(40))
    error = explain.failure(text, reading("pandas"), python="3.12", timed_out_s=540)
    assert error.why.splitlines()[-1] == "trying version 39"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (
            "error: Failed to fetch: `https://me:pw@nosuch.invalid/simple/pandas/`\n"
            "  cause: error sending request for url (https://nosuch.invalid/simple/pandas/)\n  cause: dns error",
            "nosuch.invalid",
        ),
        ("error: Failed to fetch: http://127.0.0.1:9/simple/pandas/\n  cause: client error (Connect)", "index"),
        (
            "WARNING: Retrying: NewConnectionError(\"HTTPSConnection(host='pip.invalid', port=443): Failed\")\n"
            "ERROR: No matching distribution found for pandas",
            "pip.invalid",
        ),
    ],
)
def test_an_index_that_cannot_be_reached_is_named(text: str, host: str) -> None:
    error = explained(text, reading("pandas"))
    assert error.kind == "network"
    assert host in error.what
    assert "pw" not in str(error)


def test_a_full_disk_is_recognised() -> None:
    text = (
        "error: Failed to install: x.whl\n  cause: failed to copy file\n  cause: No space left on device (os error 28)"
    )
    assert explained(text, reading("x")).kind == "disk"
    assert explain.from_os_error(OSError(28, "No space left on device"), "/cache").kind == "disk"
    assert explain.from_os_error(PermissionError(13, "no"), "/cache").kind == "other"


def test_the_time_limit_is_named() -> None:
    error = explain.failure("Resolving", reading("x"), python="3.12", timed_out_s=540)
    assert error.kind == "time"
    assert "540 s" in error.what


def test_a_changed_archive() -> None:
    text = "error: Failed to download `x==1`\n  cause: Hash mismatch for `x==1`\n Expected: sha256:00\n Computed: sha256:11"
    error = explained(text, reading("x==1"))
    assert error.kind == "hash"


def test_pips_own_conflict() -> None:
    text = f"""Collecting a (from -r {FILE} (line 1))
ERROR: Cannot install -r {FILE} (line 1) because these package versions have conflicting dependencies.
The conflict is caused by:
    a 1.0 depends on b<2
    The user requested (constraint) b==2.0
ERROR: ResolutionImpossible: for help"""
    error = explained(text, reading("a", given="b==2.0\n"))
    assert error.kind == "conflict"
    assert [conflict.line for conflict in error.conflicts] == [1]
    assert error.conflicts[0].pin == "b==2.0"


def test_what_cannot_be_sorted_is_shown_as_it_is() -> None:
    error = explained("error: something new\n  cause: unheard of", reading("x"))
    assert error.kind == "other"
    assert error.why == "something new\nunheard of"


def test_the_failure_as_data_has_its_lines() -> None:
    error = explained("No solution found", reading("a==1", essential="a==2\n"))
    told = error.as_dict()
    assert told["kind"] == "conflict"
    assert told["conflicts"] == [
        {"file": FILE, "line": 1, "requirement": "a==1", "pin": "a==2", "source": "essential pins of MWAA"}
    ]


def test_lines_before_installing_tell_what_is_there_and_what_is_not() -> None:
    from packaging.markers import Marker

    out: list[str] = []
    read = reading("a==1", "b", "c", "d", given="c==2\n")
    skipped = Entry(FILE, 5, "e ; python_version < '3'", "index", "e", "e", marker=str(Marker("python_version < '3'")))
    read = Reading(read.file, read.shown, (*read.entries, skipped), read.parts)
    narrate.begin(out.append, read, {"a": "1", "b": "7", "c": "1"}, "/site", "3.12.1")
    assert out == [
        f"Requirement already satisfied: a==1 in /site (from -r {FILE} (line 1)) (1)",
        f"Requirement already satisfied: b in /site (from -r {FILE} (line 2)) (7)",
        f"Collecting c (from -r {FILE} (line 3))",
        f"Collecting d (from -r {FILE} (line 4))",
        "Ignoring e: markers 'python_version < \"3\"' don't match your environment",
    ]


def test_a_limit_of_ours_is_not_told_as_mwaas() -> None:
    short = explain.failure("Resolving", reading("x"), python="3.12", timed_out_s=120)
    assert "120 s" in short.what and "on MWAA pip has 9 minutes" in short.why
    assert "stops pip after that time too" in explain.failure("", reading("x"), python="3.12", timed_out_s=540).why


def test_behind_constraints_of_another_airflow_there_is_one_cause_and_one_advice() -> None:
    read = reading(
        "provider-x==1.0", "provider-y==2.0", essential="apache-airflow==2.10.3\n", given="provider-x==2.0\n"
    )
    old = replace(read.parts[-1], file=FILE, line=1, foreign="Airflow 2.8.1")
    error = explained("No solution found", replace(read, parts=(*read.parts[:-1], old)))
    assert (error.kind, error.where) == ("conflict", f"{FILE}, line 1")
    assert "Airflow 2.8.1" in error.what
    assert "in line 1" in error.hint and "remove" not in error.hint and "provider" not in error.hint
