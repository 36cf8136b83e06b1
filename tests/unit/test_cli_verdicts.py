"""How ``validate``, ``package`` and ``diff`` end, and what they leave: areas that need no packages, and a fake resolver."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_support import CommandLine, command_line

from mwaa_local.errors import RequirementsError
from mwaa_local.preflight import run as preflight_run
from mwaa_local.preflight.findings import Unchecked
from mwaa_local.preflight.packaging import package as packaging
from mwaa_local.preflight.resolving import diff as resolve_diff

__all__ = ["command_line"]
GOOD, WARNED, BAD = "export A=1\n", "set -e\n", "exec true\nset -e\n"


def script(command_line: CommandLine, text: str) -> None:
    (command_line.project / "startup").mkdir(exist_ok=True)
    (command_line.project / "startup/startup.sh").write_text(text)


# -- validate ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "code"), [(GOOD, 0), (WARNED, 0), (BAD, 1)])
@pytest.mark.parametrize("format_", ["text", "json", "sarif", "junit", "github"])
def test_validate_ends_1_only_for_an_error_whatever_the_format(
    command_line: CommandLine, text: str, code: int, format_: str
) -> None:
    script(command_line, text)
    done = command_line("validate", "startup", "--format", format_)
    assert done.code == code, done.err
    if format_ in ("text", "github"):
        assert ("SUP" in done.out) == (text != GOOD)


def test_what_could_not_be_checked_ends_2_and_an_error_beside_it_1(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = preflight_run.validate

    def partly(request: Any, emit: Any) -> Any:
        report = run(request, emit)
        missed = Unchecked("imports", "no Python 3.12 is here", "install it")
        return dataclasses.replace(report, unchecked=(*report.unchecked, missed))

    monkeypatch.setattr(preflight_run, "validate", partly)
    script(command_line, GOOD)
    done = command_line("validate", "startup")
    assert done.code == 2
    assert "no Python 3.12 is here" in done.out + done.err
    script(command_line, BAD)
    assert command_line("validate", "startup").code == 1


def test_a_level_hides_warnings_and_changes_no_verdict(command_line: CommandLine) -> None:
    script(command_line, BAD)
    done = command_line("validate", "startup", "--level", "error", "--json")
    found = json.loads(done.out)
    assert done.code == 1
    assert {item["severity"] for item in found["findings"]} == {"error"}
    script(command_line, WARNED)
    assert command_line("validate", "startup", "--level", "error").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--format", "xml"], ["--level", "loud"], ["--select", "XYZ9"], ["nowhere.py"], ["--json", "--format", "sarif"],
        ["--explain", "DAG999"], ["--airflow-version", "9.9"], ["--target", "9.9"],
    ],
)  # fmt: skip
def test_wrong_use_of_validate_ends_2_with_one_error(command_line: CommandLine, words: list[str]) -> None:
    done = command_line("validate", *words)
    assert done.code == 2
    assert done.err.count("error:") == 1
    assert done.out == ""


def test_a_definition_that_cannot_be_read_is_a_finding(command_line: CommandLine) -> None:
    (command_line.project / "mwaa.yaml").write_text("EnvironmentClass: mw1.huge\n")
    done = command_line("validate", "definition", "--json")
    assert done.code == 1
    assert [item["file"] for item in json.loads(done.out)["findings"]] == ["mwaa.yaml"]


@pytest.mark.parametrize("format_", ["text", "json", "sarif", "junit"])
def test_a_report_goes_to_its_file_whole_and_nothing_to_stdout(command_line: CommandLine, format_: str) -> None:
    script(command_line, BAD)
    place = command_line.project / "reports" / "deep" / "report"
    done = command_line("validate", "startup", "--format", format_, "--output", str(place))
    assert (done.code, done.out) == (1, "")
    assert "SUP" in place.read_text()
    assert "2 findings" in done.err
    assert [path.name for path in place.parent.iterdir()] == ["report"]


def test_a_report_whose_folder_cannot_be_made_is_one_error(command_line: CommandLine, tmp_path: Path) -> None:
    script(command_line, GOOD)
    (tmp_path / "file").write_text("")
    done = command_line("validate", "startup", "--output", str(tmp_path / "file" / "report.txt"))
    assert done.code == 1
    assert "the report cannot be written" in done.err


def test_rules_are_told_without_a_project(command_line: CommandLine) -> None:
    done = command_line("validate", "--explain", "SUP003")
    assert done.code == 0
    assert "SUP003" in done.out
    done = command_line("validate", "--list-rules")
    assert done.code == 0
    assert done.out.count("DAG0") > 10


# -- package -----------------------------------------------------------------------------------------------------------


def test_package_makes_the_archive_and_says_what(command_line: CommandLine) -> None:
    (command_line.project / "plugins").mkdir()
    (command_line.project / "plugins/p.py").write_text("x = 1\n")
    done = command_line("package", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["files"] == 1
    with zipfile.ZipFile(found["archive"]) as archive:
        assert archive.namelist() == ["p.py"]
    assert found["sha256"][:16] in command_line("package").out, "the same bytes each time"


@pytest.mark.parametrize(
    ("seconds", "what"), [(3.0, "The package does not install"), (0.0, "The package is made, but not proved")]
)
def test_package_ends_1_when_the_proof_fails_or_cannot_be_made(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, seconds: float, what: str
) -> None:
    proof = SimpleNamespace(ok=False, network_off=True, seconds=seconds, why="No matching distribution", installed=())
    made = SimpleNamespace(
        archive=Path("a.zip"), sha256="0" * 64, size=1, files=1, requirements=Path("r.txt"), wheels=["w"], built=(),
        proof=proof, notes=(),
    )  # fmt: skip
    monkeypatch.setattr(packaging, "package", lambda *_words, **_more: made)
    done = command_line("package", "--wheels", "--json")
    assert done.code == 1
    assert what in done.err and "No matching distribution" in done.err
    assert json.loads(done.out)["proof"]["ok"] is False, "what was made is told all the same"


def test_package_without_wheels_has_nothing_to_build(command_line: CommandLine) -> None:
    done = command_line("package", "--build")
    assert done.code == 2
    assert "--wheels" in done.err


# -- diff --------------------------------------------------------------------------------------------------------------


def found(*changes: tuple[str, str, str]) -> Any:
    rows = [SimpleNamespace(name=name, before=before, after=after) for name, before, after in changes]
    return SimpleNamespace(airflow="3.2.1", changes=rows, notes=("a note",))


def test_diff_ends_0_whether_or_not_something_changes(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = command_line.project / "old.txt", command_line.project / "new.txt"
    old.write_text("a\n")
    new.write_text("b\n")
    monkeypatch.setattr(resolve_diff, "diff", lambda *_words: found())
    done = command_line("diff", str(old), str(new))
    assert (done.code, "Nothing changes on Airflow 3.2.1" in done.out) == (0, True)
    monkeypatch.setattr(resolve_diff, "diff", lambda *_words: found(("a", "1.0", ""), ("b", "", "2.0")))
    done = command_line("diff", str(old), str(new))
    assert done.code == 0
    assert [line.split() for line in done.out.splitlines()[1:]] == [["a", "1.0", "removed"], ["b", "-", "2.0"]]
    assert json.loads(command_line("diff", str(old), str(new), "--json").out)["changes"] == [
        {"name": "a", "before": "1.0", "after": None},
        {"name": "b", "before": None, "after": "2.0"},
    ]


def test_diff_ends_1_when_one_of_them_cannot_be_installed_and_2_when_it_is_not_there(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = command_line.project / "old.txt"
    old.write_text("a\n")

    def refused(*_words: Any) -> Any:
        raise RequirementsError("The requirements conflict", where="old.txt")

    monkeypatch.setattr(resolve_diff, "diff", refused)
    done = command_line("diff", str(old), str(old))
    assert (done.code, done.out) == (1, "")
    assert "The requirements conflict" in done.err
    assert command_line("diff", str(old), "nowhere.txt").code == 2
