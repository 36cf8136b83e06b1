"""Finding rules, choosing among them, silencing them, comparing versions, and never losing a failure."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from preflight_support import DAG, script, workspace, write

from mwaa_local.errors import DefinitionError, MachineError, UsageError
from mwaa_local.preflight import registry, run, suppress
from mwaa_local.preflight.findings import Area, Hit, Severity, Unchecked, When
from mwaa_local.preflight.report import Report, Rule
from mwaa_local.preflight.run import Request
from mwaa_local.preflight.sets import PackageSet
from mwaa_local.preflight.workspace import Workspace


def ids(report: Report) -> list[str]:
    return [item.rule.id for item in report.findings]


def test_every_rule_is_complete() -> None:
    rules = registry.rules()
    assert len(rules) >= 70
    prefixes = {
        Area.DEFINITION: "DEF",
        Area.REQUIREMENTS: "REQ",
        Area.PLUGINS: "PLG",
        Area.STARTUP: "SUP",
        Area.DAGS: "DAG",
    }
    for rule in rules:
        assert rule.id.startswith(prefixes[rule.area]), rule.id
        assert all((rule.title, rule.why, rule.fix)), rule.id
        assert rule.source.startswith(("spec/", "design ")), rule.id
        assert not rule.why.endswith("."), rule.id


def test_choosing() -> None:
    def chosen(select: tuple[str, ...] = (), ignore: tuple[str, ...] = (), areas: tuple[Area, ...] = ()) -> set[str]:
        return {rule.id for rule in registry.choose(select, ignore, areas)}

    everything = {rule.id for rule in registry.rules()}
    assert chosen() == everything
    assert chosen(("sup",)) == {name for name in everything if name.startswith("SUP")}
    assert chosen((), ("SUP", "DAG001")) == {name for name in everything if not name.startswith("SUP")} - {"DAG001"}
    assert chosen(("DAG", "SUP001"), ("DAG00", "SUP")) == {
        name for name in everything if name.startswith("DAG") and not name.startswith("DAG00")
    } | {"SUP001"}
    assert chosen(("DAG002",), ("DAG",)) == {"DAG002"}
    assert chosen(areas=(Area.STARTUP,)) == {name for name in everything if name.startswith("SUP")}
    with pytest.raises(UsageError, match="no rule is called XYZ"):
        chosen(("XYZ",))
    with pytest.raises(UsageError, match="no rule is called DAG999"):
        registry.rule("DAG999")


@pytest.mark.parametrize(
    ("text", "silenced"),
    [
        ("a\nb  # mwaa: ignore[SUP005]\n", True),
        ("a\nb  # mwaa: ignore[sup005, DAG001]\n", True),
        ("a\nb  # mwaa:ignore[SUP]\n", True),
        ("a\nb  # mwaa: ignore\n", True),
        ("a\nb  # mwaa: ignore[DAG005]\n", False),
        ("# mwaa: ignore[SUP005]\nb\n", True),
        ("#!/bin/bash\n# hello\n# mwaa: ignore[SUP]\nc\nb\n", True),
        ("a  # mwaa: ignore[SUP005]\nb\n", False),
        ("1\n2\n3\n4\n5\n# mwaa: ignore[SUP005]\n", False),
        ("1\n2\n3\n4\n# mwaa: ignore[SUP005]\n", True),
    ],
)
def test_silencing(text: str, silenced: bool) -> None:
    assert suppress.silenced("SUP005", text.split("\n"), 2) is silenced


@pytest.mark.parametrize(("line", "silenced"), [(0, False), (1, False), (7, True), (8, False)])
def test_the_last_line_is_a_line_and_those_around_it_are_not_meant(line: int, silenced: bool) -> None:
    lines = [*"123456", "exec true  # mwaa: ignore[SUP005]"]
    assert suppress.silenced("SUP005", lines, line) is silenced


def test_a_last_line_without_a_newline_can_be_silenced(tmp_path: Path) -> None:
    request = Request(write(tmp_path, script("\n\n\n\n\necho\nset -e  # mwaa: ignore[SUP003]")), areas=(Area.STARTUP,))
    report = run.validate(request)
    assert (ids(report), report.suppressed) == ([], 1)


def test_settings_of_the_definition(tmp_path: Path) -> None:
    files = script("export AIRFLOW_HOME=/x\nset -e\n")
    assert ids(run.validate(Request(write(tmp_path, files), areas=(Area.STARTUP,)))) == ["SUP005", "SUP003"]
    write(tmp_path, {"mwaa.yaml": "Local:\n  Validate: {Ignore: [SUP005]}\n"})
    assert ids(run.validate(Request(tmp_path, areas=(Area.STARTUP,)))) == ["SUP003"]
    write(tmp_path, {"mwaa.yaml": "Local:\n  Validate: {Select: [SUP005]}\n"})
    assert ids(run.validate(Request(tmp_path))) == ["SUP005"]
    assert ids(run.validate(Request(tmp_path, select=("SUP003",)))) == ["SUP003"]


def test_a_comment_in_the_file(tmp_path: Path) -> None:
    report = run.validate(
        Request(
            write(tmp_path, script("export AIRFLOW_HOME=/x  # mwaa: ignore[SUP005]\nset -e\n")), areas=(Area.STARTUP,)
        )
    )
    assert (ids(report), report.suppressed) == (["SUP003"], 1)


@pytest.mark.parametrize(
    ("text", "code"),
    [("echo\n", 0), ("set -e\n", 0), ("exec true\n", 1), ("exec true\nset -e\n", 1)],
)
def test_exit_codes(text: str, code: int, tmp_path: Path) -> None:
    assert run.validate(Request(write(tmp_path, script(text)), areas=(Area.STARTUP,))).exit_code == code


def test_what_was_switched_off_is_named_and_counts_for_nothing(tmp_path: Path) -> None:
    for switch in (False, True):
        report = run.validate(Request(write(tmp_path, {"dags/d.py": DAG}), locate=None, untrusted=switch))
        assert not [item for item in report.findings if item.severity is not Severity.INFO]
        assert [item.what for item in report.unchecked] == ["imports of DAGs and plugins"]
        assert any("--untrusted" in note for note in report.notes) is switch
        assert report.exit_code == 0


def test_nothing_worse_than_unchecked_is_2(tmp_path: Path) -> None:
    def none(*_: object) -> PackageSet:
        raise MachineError("no Python 3.12")

    write(tmp_path, {"dags/d.py": DAG})
    assert run.validate(Request(tmp_path, locate=none)).exit_code == 2
    write(tmp_path, script("exec true\n"))
    assert run.validate(Request(tmp_path, locate=None)).exit_code == 1


def test_a_missing_interpreter_is_named_and_the_rest_is_checked(tmp_path: Path) -> None:
    def none(*_: object) -> PackageSet:
        raise MachineError("no Python 3.12", why="looked on PATH", hint="install it")

    report = run.validate(
        Request(write(tmp_path, {"dags/d.py": "# airflow dag\nx = (\n"} | script("exec true\n")), locate=none)
    )
    assert sorted(ids(report)) == ["DAG001", "DEF009", "SUP004"]
    (missed,) = report.unchecked
    assert (missed.why, missed.hint, missed.version) == ("no Python 3.12 (looked on PATH)", "install it", "3.2.1")


def rule(identity: str, check: object) -> Rule:
    return Rule(identity, Severity.ERROR, Area.DAGS, "title", "why", "spec/01", "fix", check)  # type: ignore[arg-type]


def checked(tmp_path: Path, *rules: Rule) -> run._Result:
    with Workspace(tmp_path) as space:
        return run._check(space, rules)


def test_a_rule_that_fails_is_named_and_hides_nothing(tmp_path: Path) -> None:
    def broken(_: Workspace) -> Iterator[Hit]:
        raise RuntimeError("oops")

    def good(space: Workspace) -> Iterator[Hit]:
        yield Hit("found", space.project / "x", 3)

    result = checked(tmp_path, rule("DAG998", broken), rule("DAG999", good))
    assert [item.message for item in result.findings] == ["found"]
    assert "RuntimeError: oops" in result.unchecked[0].why
    assert result.unchecked[0].rule == "DAG998"


def test_rules_run_side_by_side(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=20)

    def meeting(_: Workspace) -> Iterator[Hit]:
        both.wait()
        yield from ()

    assert not checked(tmp_path, *(rule(f"DAG99{number}", meeting) for number in range(2))).unchecked


def test_the_same_thing_is_said_once(tmp_path: Path) -> None:
    def twice(space: Workspace) -> Iterator[Hit | Unchecked]:
        yield Hit("a", space.project / "x", 1)
        yield Hit("a", space.project / "x", 1)
        yield Unchecked("w", "y")
        yield Unchecked("w", "y")

    result = checked(tmp_path, rule("DAG999", twice))
    assert (len(result.findings), len(result.unchecked)) == (1, 1)


def test_excerpts_are_read_from_the_file(tmp_path: Path) -> None:
    write(tmp_path, {"x": "one\ntwo" + "o" * 500 + "\n"})

    def check(space: Workspace) -> Iterator[Hit]:
        yield Hit("m", space.project / "x", 2)
        yield Hit("m2", space.project / "x", 99)

    first, second = sorted(checked(tmp_path, rule("DAG999", check)).findings, key=lambda item: item.line)
    assert first.excerpt == "two" + "o" * 197
    assert second.excerpt == ""


def test_an_upgrade_is_compared(tmp_path: Path) -> None:
    text = '# airflow\nfrom airflow.utils.dates import days_ago\nDAG("a", schedule_interval=None)\n'
    files = {
        "mwaa.yaml": "AirflowVersion: 2.10.3\nAirflowConfigurationOptions:\n  core.dag_file_processor_timeout: '20'\n",
        "dags/d.py": text,
    } | script("set -e\n")
    report = run.validate(
        Request(write(tmp_path, files), target="3.2.1", select=("DAG008", "DAG009", "SUP003", "DEF008", "DEF013"))
    )
    assert {(item.rule.id, item.when) for item in report.findings} == {
        ("DAG008", When.TARGET),
        ("DAG009", When.TARGET),
        ("DEF008", When.TARGET),
        ("SUP003", When.BOTH),
        ("DEF013", When.NOW),
    }
    assert (report.version, report.target) == ("2.10.3", "3.2.1")
    same = run.validate(Request(tmp_path, target="2.10.3", select=("DAG008",)))
    assert (same.findings, same.target) == ((), "")
    with pytest.raises(DefinitionError, match="is not known"):
        run.validate(Request(tmp_path, target="1.10"))


def test_named_files_alone_are_looked_at(tmp_path: Path) -> None:
    files = (
        {"dags/a.py": "# airflow dag\nx = (\n", "dags/b.py": "# airflow dag\nx = (\n"}
        | script("exec true\n")
        | {"mwaa.yaml": "Nme: x\n"}
    )
    write(tmp_path, files)

    def found(*names: str) -> set[tuple[str, str]]:
        report = run.validate(Request(tmp_path, paths=tuple(tmp_path / name for name in names)))
        return {(item.rule.id, item.path) for item in report.findings if item.severity is Severity.ERROR}

    assert found("dags/a.py") == {("DAG001", "dags/a.py")}
    assert found("dags") == {("DAG001", "dags/a.py"), ("DAG001", "dags/b.py")}
    assert found("startup/startup.sh") == {("SUP004", "startup/startup.sh")}
    assert found("mwaa.yaml") == {("DEF002", "mwaa.yaml")}
    assert found("dags/b.py", "startup/startup.sh") == {("DAG001", "dags/b.py"), ("SUP004", "startup/startup.sh")}
    assert len(found()) == 4


def test_a_file_of_another_project_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"mine/dags/a.py": DAG, "other/dags/a.py": DAG, "mine/README.md": "x"})
    with pytest.raises(UsageError, match="does not belong"):
        run.validate(Request(tmp_path / "mine", paths=(tmp_path / "other/dags/a.py",)))
    assert run.validate(Request(tmp_path / "mine", paths=(tmp_path / "mine/README.md",))).exit_code == 0


def test_a_level_hides_what_is_below_it(tmp_path: Path) -> None:
    report = run.validate(Request(write(tmp_path, script("exec true\nset -e\n")), locate=None))
    assert [run.at_least(report, level).count(Severity.WARNING) for level in Severity] == [0, 1, 1]
    assert [len(run.at_least(report, level).findings) for level in Severity] == [1, 2, 3]


def test_a_wrong_flag_is_the_callers_fault(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError):
        run.validate(Request(tmp_path, flags={"AirflowVersion": "9.9"}))


def test_watch_checks_what_changed(tmp_path: Path) -> None:
    from mwaa_local.preflight import watch

    write(
        tmp_path, {"dags/a.py": "# airflow dag\nx = (\n", "dags/b.py": "# airflow dag\nx = (\n"} | script("exec true\n")
    )
    reports: list[Report] = []
    notes: list[str] = []
    changes = [{tmp_path / ".mwaa/x"}, {tmp_path / "dags/a.py"}, {tmp_path / "startup/startup.sh"}]
    watch.watch(Request(tmp_path, select=("DAG001", "SUP004")), reports.append, notes.append, changes)
    assert [sorted(item.path for item in report.findings) for report in reports] == [
        ["dags/a.py", "dags/b.py", "startup/startup.sh"],
        ["dags/a.py"],
        ["dags/a.py", "dags/b.py", "startup/startup.sh"],
    ]
    assert notes == ["changed: a.py", "changed: startup.sh"]


def test_watch_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mwaa_local.preflight import watch

    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(UsageError, match="watchfiles"):
        watch.watch(Request(tmp_path), lambda _: None, lambda _: None)


def test_importing_the_framework_is_cheap() -> None:
    """`up` and every other command load the CLI; rules and readings must not weigh on them."""
    code = "import sys, mwaa_local.cli.validate; print([name for name in sys.modules if name.startswith('mwaa_local.preflight')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_workspaces_leave_nothing_behind(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "plugins.zip", "w") as made:
        made.writestr("p.py", "x = 1\n")
    with workspace(tmp_path, {}) as space:
        folder = space.plugins_folder
        assert (folder / "p.py").read_text() == "x = 1\n"
    assert not folder.exists()


def test_the_schema_of_a_rule_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        registry.rule("DAG001").id = "x"  # type: ignore[misc]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("before", ["", "echo a\n", "echo a\necho b\necho c\necho d\necho e\necho f\n"])
def test_a_comment_counts_in_the_last_line_too(tmp_path: Path, before: str, end: str) -> None:
    """Editors of some leave the last line without its end."""
    write(tmp_path, script(f"{before}exec true  # mwaa: ignore[SUP004]{end}"))
    report = run.validate(Request(tmp_path, select=("SUP004",)))
    assert (report.findings, report.suppressed, report.exit_code) == ((), 1, 0)
    write(tmp_path, script(f"{before}exec true  # mwaa: ignore[SUP003]{end}"))
    report = run.validate(Request(tmp_path, select=("SUP004",)))
    assert [item.excerpt for item in report.findings] == ["exec true  # mwaa: ignore[SUP003]"]


def test_a_comment_silences_in_every_kind_of_file(tmp_path: Path) -> None:
    """Also in a member of an archive, where the line is the member's."""
    import zipfile

    files = {
        "mwaa.yaml": "AirflowConfigurationOptions:\n  smtp.smtp_port: '25'  # mwaa: ignore[DEF017]",
        "dags/d.py": 'from airflow.sdk import task\ntask(executor="X")  # mwaa: ignore[DAG017]',
        "requirements/requirements.txt": "--index-url https://x.example.com/  # mwaa: ignore[REQ012]",
    }
    write(tmp_path, files)
    with zipfile.ZipFile(tmp_path / "plugins.zip", "w") as made:
        made.writestr("p.py", 'import os\nos.environ["A"] = "b"  # mwaa: ignore[PLG013]')
    rules = ("DEF017", "DAG017", "REQ012", "PLG013")
    report = run.validate(Request(tmp_path, select=rules))
    assert (report.findings, report.suppressed) == ((), 4)
    for name, text in files.items():
        write(tmp_path, {name: text.replace("ignore[", "ignore[X")})
    assert sorted(ids(run.validate(Request(tmp_path, select=rules)))) == ["DAG017", "DEF017", "REQ012"]


@pytest.mark.parametrize(("line", "silenced"), [(1, True), (5, True), (6, False)])
def test_a_comment_of_its_own_counts_for_the_file_in_its_first_five_lines(
    tmp_path: Path, line: int, silenced: bool
) -> None:
    lines = ["echo"] * 8
    lines[line - 1] = "  # mwaa: ignore[SUP004]"
    write(tmp_path, script("\n".join([*lines, "exec true", ""])))
    assert bool(run.validate(Request(tmp_path, select=("SUP004",))).suppressed) is silenced
