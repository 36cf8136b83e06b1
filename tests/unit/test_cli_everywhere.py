"""Options that every command shares: before the command, after it, and which one counts; over the whole command tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mwaa_local.cli import everywhere, output
from mwaa_local.cli.app import command
from mwaa_local.cli.context import Settings, settings

# What a command insists on, whatever it is.
WORDS = {"scale": ["2"], "rehearse": ["2.11.0"], "diff": ["old.txt", "new.txt"]}
NAMES = sorted(str(item.name) for item in everywhere.commands(command()))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    output._shown.clear()
    yield
    output._shown.clear()


def read(*words: str) -> tuple[str, Settings, list[str]]:
    """Which command these words call, with which shared options, and the words it hands on; nothing is run."""
    tree, seen = command(), []
    for item in everywhere.commands(tree):
        item.invoke = lambda context: seen.append((context.info_name, settings(context), list(context.args)))
    tree.main(list(words), prog_name="mwaa-local", standalone_mode=False)
    assert len(seen) == 1
    found: tuple[str, Settings, list[str]] = seen[0]
    return found


def test_the_tree_is_what_the_table_below_is_over() -> None:
    assert {"up", "down", "shell", "airflow", "logs", "validate", "package", "doctor", "versions"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_before_and_after_the_command_are_the_same(name: str) -> None:
    given = ["--engine", "process", "--project", "/some/where"]
    before = read(*given, name, *WORDS.get(name, []))
    after = read(name, *given, *WORDS.get(name, []))
    split = read(*given[:2], name, *given[2:], *WORDS.get(name, []))
    for called, chosen, rest in (before, after, split):
        assert (called, rest) == (name, [])
        assert (chosen.project, chosen.flags["Local.Engine"]) == (Path("/some/where"), "process")


@pytest.mark.parametrize("name", sorted(set(NAMES) - everywhere.PASSING_ON))
def test_they_may_stand_behind_the_commands_own_words(name: str) -> None:
    _, chosen, _ = read(name, *WORDS.get(name, []), "--engine=docker", "--project=x")
    assert (chosen.project, chosen.flags["Local.Engine"]) == (Path("x"), "docker")


@pytest.mark.parametrize("name", NAMES)
def test_the_nearer_one_counts(name: str) -> None:
    words = ["--engine", "docker", "--project", "far", name, "--engine", "process", *WORDS.get(name, [])]
    _, chosen, _ = read(*words)
    assert (chosen.project, chosen.flags["Local.Engine"]) == (Path("far"), "process")


@pytest.mark.parametrize("name", NAMES)
def test_none_given_is_as_it_always_was(name: str) -> None:
    _, chosen, _ = read(name, *WORDS.get(name, []))
    assert (chosen.project, chosen.flags["Local.Engine"]) == (Path(), None)
    assert not output.tracebacks_shown()


@pytest.mark.parametrize("name", NAMES)
def test_debug_counts_in_both_places(name: str) -> None:
    for words in (["--debug", name], [name, "--debug"]):
        output._shown.clear()
        read(*words, *WORDS.get(name, []))
        assert output.tracebacks_shown(), words


@pytest.mark.parametrize("name", sorted(set(NAMES) - everywhere.PASSING_ON))
def test_version_is_told_in_both_places(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version", name], [name, "--version"]):
        command().main(words, prog_name="mwaa-local", standalone_mode=False)
        assert capsys.readouterr().out.startswith("mwaa-local ")


@pytest.mark.parametrize(
    ("words", "engine", "passed_on"),
    [
        (["dags", "list", "--engine", "x"], None, ["dags", "list", "--engine", "x"]),
        (["--engine", "process", "dags", "list", "--engine", "x"], "process", ["dags", "list", "--engine", "x"]),
        (["dags", "list", "--debug", "-o", "json"], None, ["dags", "list", "--debug", "-o", "json"]),
        (["--help"], None, ["--help"]),
        (["--version"], None, ["--version"]),
        (["-h"], None, ["-h"]),
        (["--", "--engine", "x"], None, ["--engine", "x"]),
    ],
)
def test_what_is_airflows_reaches_airflow(words: list[str], engine: str | None, passed_on: list[str]) -> None:
    _, chosen, rest = read("airflow", *words)
    assert (chosen.flags["Local.Engine"], rest) == (engine, passed_on)
    assert not output.tracebacks_shown()


def test_the_words_of_a_shell_are_its_own() -> None:
    _, chosen, _ = read("shell", "worker", "-c", "airflow --engine docker", "--engine", "process")
    assert chosen.flags["Local.Engine"] == "process"


def test_no_command_has_an_option_of_the_same_name() -> None:
    for item in everywhere.commands(command()):
        given = [name for param in item.params for name in getattr(param, "opts", ())]
        assert len(given) == len(set(given)), item.name


def test_every_help_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    for name in sorted(set(NAMES) - everywhere.PASSING_ON):
        command().main([name, "--help"], prog_name="mwaa-local", standalone_mode=False)
        shown = capsys.readouterr().out
        assert all(option in shown for option in ("--engine", "--project", "--debug")), name
        assert everywhere.PANEL[:20] in shown


def test_a_value_that_is_missing_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command().main(["up", "--engine"], prog_name="mwaa-local")
    assert caught.value.code == 2
    assert "--engine" in capsys.readouterr().err
