"""Lines of .airflowignore that Airflow drops or reads in another syntax."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_support import DAG, hits, imported, options, workspace

from mwaa_local.preflight.findings import Severity
from mwaa_local.preflight.imports import ImportProblem
from mwaa_local.preflight.readings import ignore

LOOKAHEAD = "^(?!(sales|finance)).*\n"
FILES = {"dags/sales/a.py": DAG, "dags/sandbox/play.py": DAG}


@pytest.mark.parametrize(
    ("pattern", "refused"),
    [
        ("^(?!sales).*", True), ("(?<=a)b", True), (r"(a)\1", True), (r"(?P<n>a)(?P=n)", True), ("(?>a)b", True), ("a*+", True),
        (r"a\Z", True), ("a{1001}", True), ("(a|(?=b))c", True), ("[bad", True), ("(?x) a", True),
        ("sandbox/.*", False), (r"\.py$", False), ("(?i)x", False), ("(?P<n>a)", False), ("a{1000}", False), ("a{2,}", False),
        (r"\\Zone", False), ("[[:alpha:]]", False), ("a*?", False),
    ],
)  # fmt: skip
def test_what_re2_refuses(pattern: str, refused: bool) -> None:
    assert (ignore.expression(pattern, "re2")[0] is None) is refused


def test_a_form_of_re2_alone_is_not_called_dropped() -> None:
    assert ignore.expression(r"\pL+", "re2") == (None, "")


def test_a_dropped_line_hides_nothing_and_is_named(tmp_path: Path) -> None:
    space = workspace(tmp_path, FILES | {"dags/.airflowignore": "# mine\n" + LOOKAHEAD}, "2.10.3")
    assert {path.name for path in space.dags.looked_at} == {"a.py", "play.py"}
    (found,) = hits("DAG025", space)
    assert (found.file, found.line) == (tmp_path / "dags/.airflowignore", 2)
    assert "it looks ahead or behind" in found.message


def test_airflow_3_compiles_with_pythons_own(tmp_path: Path) -> None:
    files = FILES | {"dags/.airflowignore": LOOKAHEAD} | options(core__dag_ignore_file_syntax="regexp")
    space = workspace(tmp_path, files)
    assert not hits("DAG025", space)
    assert {path.name for path in space.dags.looked_at} == {"a.py"}


@pytest.mark.parametrize(
    ("version", "pattern", "words"),
    [
        ("3.2.1", "sandbox/.*", "as a regular expression"),
        ("2.10.3", "*play*.py", ""),
        ("2.10.3", "s?ndbox/*.py", "as a glob"),
    ],
)
def test_a_line_of_the_other_syntax_that_would_hide_what_breaks(
    version: str, pattern: str, words: str, tmp_path: Path
) -> None:
    space = workspace(tmp_path, FILES | {"dags/.airflowignore": pattern + "\n"}, version)
    assert not [item for item in hits("DAG025", space) if "cannot be imported" in item.message]
    imported(space, "dags/sandbox/play.py", problems=(ImportProblem("ValueError: x", None, 0),))
    (found,) = hits("DAG025", space)
    assert found.line == 1
    assert (words or "Airflow drops the line") in found.message


def test_a_glob_that_cannot_be_read_ends_airflows_walk(tmp_path: Path) -> None:
    (found,) = hits("DAG025", workspace(tmp_path, {**FILES, "dags/.airflowignore": "ok\n[z-a]\n"}, "3.2.1"))
    assert (found.line, found.severity) == (2, Severity.ERROR)
    assert "no file in it is read" in found.message
