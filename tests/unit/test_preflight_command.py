"""``mwaa-local validate``: how it ends, what it shows, and what is left where a report cannot be written."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cli_support import CommandLine, command_line
from disk_support import full_disk
from preflight_support import DAG, write

from mwaa_local.errors import MachineError
from mwaa_local.preflight import sets

__all__ = ["command_line"]
ERROR, WARNING = "exec true\n", "set -e\n"


@pytest.fixture(autouse=True)
def no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without MWAA's Python, so that nothing is installed here."""

    def locate(*_: object) -> object:
        raise MachineError("no Python 3.12", hint="install it")

    monkeypatch.setattr(sets, "locator", lambda *_: locate)


@pytest.mark.parametrize(
    ("script", "dag", "words", "code"),
    [
        ("echo\n", False, [], 0),
        (WARNING, False, [], 0),
        (ERROR, False, [], 1),
        (ERROR + WARNING, False, [], 1),
        ("echo\n", True, [], 2),  # the import of the DAG could not be looked at
        (WARNING, True, [], 2),
        (ERROR, True, [], 1),  # what is certain counts more
        ("echo\n", True, ["--no-imports"], 0),
        ("echo\n", True, ["--untrusted"], 0),
        (ERROR, True, ["--no-imports"], 1),
        (ERROR, False, ["--ignore", "SUP004"], 0),
        (ERROR, False, ["--select", "SUP003,SUP005"], 0),
        (ERROR, False, ["--level", "error"], 1),
        (WARNING, False, ["--level", "error"], 0),
        (ERROR, False, ["plugins"], 0),
        (ERROR, False, ["startup"], 1),
    ],
)
@pytest.mark.parametrize("form", ["text", "json", "junit", "sarif", "github"])
def test_the_verdict_is_the_exit_code(
    command_line: CommandLine, script: str, dag: bool, words: list[str], code: int, form: str
) -> None:
    files = {"startup/startup.sh": script} | ({"dags/d.py": DAG} if dag else {})
    write(command_line.project, files)
    done = command_line("validate", *words, "--format", form)
    assert done.code == code, done.out + done.err
    if form == "json":
        assert json.loads(done.out)["exit_code"] == code


def test_the_verdict_is_not_softened_by_what_is_shown(command_line: CommandLine) -> None:
    write(command_line.project, {"startup/startup.sh": ERROR + WARNING})
    rules = {
        level: [
            item["rule"] for item in json.loads(command_line("validate", "--json", "--level", level).out)["findings"]
        ]
        for level in ("error", "warning", "info")
    }
    assert rules == {
        "error": ["SUP004"], "warning": ["SUP004", "SUP003"], "info": ["DEF009", "SUP004", "SUP003"],
    }  # fmt: skip
    assert "1 hint not shown (--level info)" in command_line("validate").out


@pytest.mark.parametrize(
    "words",
    [
        ["--level", "loud"], ["--format", "pdf"], ["--select", "XYZ"], ["--ignore", "DAG999"], ["--explain", "DAG999"],
        ["nowhere.py"], ["--json", "--format", "sarif"], ["--target", "1.10"], ["--airflow-version", "9"],
    ],
)  # fmt: skip
def test_wrong_use_ends_2_and_prints_no_report(command_line: CommandLine, words: list[str]) -> None:
    done = command_line("validate", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err


@pytest.mark.parametrize("form", ["text", "json", "junit", "sarif", "github"])
def test_a_report_in_a_file(command_line: CommandLine, form: str) -> None:
    write(command_line.project, {"startup/startup.sh": ERROR})
    path = command_line.project / "out/deep/report"
    done = command_line("validate", "--format", form, "--output", str(path))
    assert (done.code, done.out) == (1, "")
    assert "1 findings, 0 not checked" in done.err
    text = path.read_text()
    assert "SUP004" in text
    if form in ("json", "sarif"):
        json.loads(text)
    if form == "junit":
        ElementTree.fromstring(text)
    assert [entry.name for entry in path.parent.iterdir()] == ["report"]


@pytest.mark.parametrize("form", ["text", "json", "junit", "sarif", "github"])
def test_a_report_that_cannot_be_written_leaves_the_old_one(
    command_line: CommandLine, form: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """CI must not read half of a report as the whole, nor find the pieces of one."""
    path = tmp_path_factory.mktemp("reports") / "report"
    path.write_text("the old one")
    with monkeypatch.context() as patched:
        full_disk(patched)
        done = command_line("validate", "--format", form, "--output", str(path))
    assert done.code == 1
    assert "the report cannot be written" in done.err and "No space left" in done.err
    assert path.read_text() == "the old one"
    assert [entry.name for entry in path.parent.iterdir()] == ["report"]


def test_rules_are_told_without_a_project(command_line: CommandLine) -> None:
    (command_line.project / "mwaa.yaml").write_text("Name: [\n")
    told = command_line("validate", "--explain", "sup004")
    assert told.code == 0
    assert all(word in told.out for word in ("SUP004", "startup", "error", "why:", "source:", "fix:"))
    assert "# mwaa: ignore[SUP004]" in told.out
    table = command_line("validate", "--list-rules")
    assert table.code == 0
    assert table.out.count("SUP0") == 19
    document = json.loads(command_line("validate", "--explain", "DEF001", "--json").out)
    assert document["schema"] == "mwaa-local/rules/1"
    assert [(rule["id"], rule["severity"], rule["area"]) for rule in document["rules"]] == [
        ("DEF001", "error", "definition")
    ]


def test_a_project_and_files_are_named_by_their_paths(command_line: CommandLine) -> None:
    other = write(command_line.project / "other", {"startup/startup.sh": ERROR, "dags/d.py": "# airflow dag\nx = (\n"})
    for words, rules in (
        ([str(other)], {"DAG001", "SUP004"}),
        ([str(other), "dags"], {"DAG001"}),
        ([str(other), str(other / "startup/startup.sh")], {"SUP004"}),
        ([], set()),
    ):
        found = json.loads(command_line("validate", "--json", "--no-imports", *words).out)["findings"]
        assert {item["rule"] for item in found} == rules, words


def test_corrections_are_shown_or_written(command_line: CommandLine) -> None:
    assert "there is no requirements.txt to correct" in command_line("validate", "--diff").err
    path = Path(command_line.project / "requirements/requirements.txt")
    write(command_line.project, {"requirements/requirements.txt": "# nothing\n"})
    done = command_line("validate", "--fix", "requirements")
    assert "nothing to correct" in done.err
    assert path.read_text() == "# nothing\n"
