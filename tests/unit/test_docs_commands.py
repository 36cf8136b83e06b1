"""Every command that README and docs/ print is one: the tool's are read by its own parser, make's by make.

The recipes for CI are run word for word in `tests/e2e`; here each block is read, or listed with the reason.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mwaa_local.cli import everywhere
from mwaa_local.cli.app import command

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELLS = ("sh", "bash", "console", "shell")
# Programs that are not ours, with why nothing here runs them.
OTHERS = {
    "docker": "needs a daemon: tests/docker builds and starts the same images",
    "sudo": "changes the machine: tests/docker runs docker/daemon.sh and docker/offline/build.py",
    "export": "sets a variable for the lines below it",
    "cat": "shows a file",
    "python": "installs a whole Airflow: tests/contract/test_catalog_airflow_*.py ask the same of it",
    "mkdir": "makes a folder",
    "exit": "ends a script: tests/e2e/test_validate_workspaces.py runs the whole of it",
    "set": "the shell's own, in the same script",
    "case": "the shell's own, in the same script",
    "esac": "the shell's own, in the same script",
    "status=0": "the shell's own, in the same script",
}


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of each fenced block, whatever its indent."""
    for found in re.finditer(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL):
        yield found[2], re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE)


def _lines(language: str, block: str) -> Iterator[str]:
    joined = block.replace("\\\n", " ")
    if language in SHELLS:
        yield from (line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    elif language == "text":  # a session: what was typed stands behind a dollar
        yield from (line[2:] for line in joined.splitlines() if line.startswith("$ "))
    elif language in ("yaml", "yml"):  # recipes for CI
        for line in joined.splitlines():
            if found := re.search(r"(\S*mwaa-local (?:-|[a-z]).*)", line.partition(" #")[0]):
                yield found[1].removeprefix("run:").strip()


def _printed() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        name = page.relative_to(ROOT).as_posix()
        for language, block in _blocks(text):
            yield from ((name, line) for line in _lines(language, block))
        prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", prose):
            if re.match(r"(?:\.venv/bin/)?mwaa-local (?:-|[a-z])|make [a-z]", code):
                yield name, code


LINES = sorted(set(_printed()))


def _words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def _tool(words: list[str]) -> list[str] | None:
    """The words behind ``mwaa-local``, up to what ends a command of the shell; ``None`` for another program."""
    for number, word in enumerate(words):
        if word.rpartition("/")[2] == "mwaa-local":
            rest = words[number + 1 :]
            end = next((at for at, item in enumerate(rest) if item in ("|", "||", "&&", ";", ">")), len(rest))
            return rest[:end]
        if "=" not in word:
            return None
    return None


def _read(words: list[str]) -> str:
    """Have the tool's own parser read the words; the command's name. Nothing is run."""
    tree, seen = command(), []
    for item in everywhere.commands(tree):
        item.invoke = lambda context: seen.append(str(context.info_name))
    tree.main(words, prog_name="mwaa-local", standalone_mode=False)
    return seen[0] if seen else ""


TOOL = [(page, line) for page, line in LINES if _tool(_words(line)) is not None]
MAKE = [(page, line) for page, line in LINES if _words(line)[:1] == ["make"]]
REST = [pair for pair in LINES if pair not in TOOL and pair not in MAKE]


def test_the_pages_print_commands() -> None:
    assert len(TOOL) > 25
    assert len(MAKE) > 8
    pages = {page for page, _ in LINES}
    assert {"README.md", "docs/tutorial/first-dag.md", "docs/how-to/air-gapped.md", "docs/how-to/validate.md"} <= pages


@pytest.mark.parametrize(("page", "line"), TOOL, ids=[f"{page}: {line[:60]}" for page, line in TOOL])
def test_a_command_of_the_tool_is_one(page: str, line: str) -> None:
    words = _tool(_words(re.sub(r"\[?\b[A-Z]{3,}…?\]?", "x", line)))
    assert words is not None
    name = _read(words)
    assert name or set(words) & {"--version", "--help"}, f"{page}: {line}"


@pytest.mark.parametrize("engine", ["process", "docker"])
def test_each_is_read_with_either_engine_behind_it(engine: str) -> None:
    for page, line in TOOL:
        words = _tool(_words(re.sub(r"\[?\b[A-Z]{3,}…?\]?", "x", line))) or []
        if "--engine" not in words and words[0] not in everywhere.PASSING_ON:
            assert _read([*words, "--engine", engine]), f"{page}: {line}"


@pytest.mark.parametrize(("page", "line"), MAKE, ids=[f"{page}: {line[:60]}" for page, line in MAKE])
def test_a_target_of_make_is_one(page: str, line: str) -> None:
    words = _words(line)
    end = next((at for at, word in enumerate(words) if word in ("&&", "||", ";")), len(words))
    # --touch would write; --question asks make whether it knows the target and runs no recipe: 2 means it does not.
    done = subprocess.run(
        ["make", "--question", *words[1:end]], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (0, 1), f"{page}: {line}\n{done.stderr}"


def test_every_other_line_is_listed_with_the_reason() -> None:
    first = {(page, line): (_words(line) or [""])[0].rpartition("/")[2] for page, line in REST}
    unknown = [pair for pair, word in first.items() if word not in OTHERS and not word.endswith(")")]  # `0)` of a case
    assert not unknown
    assert set(OTHERS) <= set(first.values()), "a reason that nothing needs any more"


@pytest.mark.parametrize("words", [["up", "--no-such-option"], ["no-such-command"], ["diff", "one-file"]])
def test_the_parser_that_reads_them_refuses_what_is_none(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing"):
        _read(words)
