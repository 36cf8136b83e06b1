"""Any ``.airflowignore`` hides here what Airflow hides: its own walk, written down a second time over its own library."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pathspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mwaa_local.preflight.readings import ignore

FAST = settings(max_examples=100, deadline=None, derandomize=True, database=None)
TREE = (
    "a.py", "b.py", "ab.py", "a/a.py", "a/b.py", "a/b/a.py", "a/b/c/ab.py", "b/a.py", "b/a/b.py", "c/.hidden.py", "c/b c.py",
    "c/[a].py", "c/a!b.py", "ü/a.py",
)  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dags")
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def airflows(root: Path, syntax: str) -> set[str]:
    """The files that Airflow 3 lists (its ``find_path_from_directory``)."""
    rules: dict[str, list[Any]] = {}
    found: set[str] = set()
    for folder, names, files in os.walk(root):
        mine = list(rules.get(folder, []))
        own = Path(folder, ".airflowignore")
        if own.is_file():
            lines = (re.sub(r"\s*#.*", "", line) for line in own.read_text(encoding="utf-8").split("\n"))
            mine += [rule for line in lines if line for rule in compiled(line, root, folder, syntax)]
        names[:] = [name for name in names if not hidden(Path(folder, name), root, mine)]
        rules.update({os.path.join(folder, name): mine for name in names})  # noqa: PTH118
        found |= {
            Path(folder, name).relative_to(root).as_posix()
            for name in files
            if name != ".airflowignore" and not hidden(Path(folder, name), root, mine)
        }
    return found


def compiled(line: str, root: Path, folder: str, syntax: str) -> Iterator[Any]:
    if syntax == "regexp":
        try:
            yield re.compile(line)
        except re.error:
            return
    elif line.strip() != "/":
        pattern = pathspec.patterns.GitWildMatchPattern(line)
        raw = line.lstrip("!").rstrip()
        base = folder if line.startswith("/") or "/" in line.rstrip("/") else ""
        yield pattern, base, raw != raw.rstrip("/")


def hidden(path: Path, root: Path, rules: list[Any]) -> bool:
    matched = False
    for rule in rules:
        if isinstance(rule, re.Pattern):
            if rule.search(path.relative_to(root).as_posix()):
                return True
            continue
        pattern, base, folders = rule
        if folders and not path.is_dir():
            continue
        name = path.relative_to(base).as_posix() if base else path.name
        if pattern.include is not None and pattern.match_file(name + "/" * path.is_dir()) is not None:
            matched = pattern.include
    return matched


def ours(root: Path, syntax: str) -> set[str]:
    return {path.relative_to(root).as_posix() for path in ignore.looked_at(root, syntax)}


def compare(root: Path, files: dict[str, str], syntax: str) -> None:
    try:
        for name, text in files.items():
            (root / name / ".airflowignore").write_text(text, encoding="utf-8")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = airflows(root, syntax)
        except (ValueError, re.error):
            assume(False)  # a glob that ends Airflow's own walk
        assert ours(root, syntax) == expected
    finally:
        for name in files:
            (root / name / ".airflowignore").unlink()


pieces = st.sampled_from(["a", "b", "ab", ".py", "*", "**", "?", "/", "[ab]", "[!a]", "[^b]", "[a-c]", "!", " ", "c", ".", "\\", "[", "]", "ü"])  # fmt: skip
globs = st.lists(pieces, min_size=1, max_size=5).map("".join)
texts = st.lists(
    st.one_of(globs, st.sampled_from(["", "# x", "a.py # x", "*", "!a.py", "/", "a/", "/a/"])), max_size=4
).map("\n".join)
folders = st.dictionaries(st.sampled_from(["", "a", "a/b", "c"]), texts, min_size=1, max_size=2)
expressions = st.lists(
    st.sampled_from(["a", "b", "/", "^", "$", ".", "*", "|", "(", ")", "\\.", "[ab]", "?", "py", " ", "#x", "a/"]), max_size=6
).map("".join)  # fmt: skip


@FAST
@given(files=folders)
@example(files={"": "*\n!a.py\n"})
@example(files={"": "**/b.py\n"})
@example(files={"": "a/**\n"})
@example(files={"": "/a/*/\n!/a/b/\n"})
@example(files={"": "[!a].py\n"})
@example(files={"": "\\!b\nc/a\\!b.py\nc/\\[a].py\n"})
@example(files={"": "b c.py  \n", "c": "/b c.py\n"})
@example(files={"": "[[ab].py\n[*\n"})
@example(files={"": "**/\n", "a": "!**\n"})
@example(files={"": "*/\n!a/\n \n"})
@example(files={"a": "b/\n!b/\n", "": "b\n"})
def test_globs(tree: Path, files: dict[str, str]) -> None:
    compare(tree, files, "glob")


@FAST
@given(
    files=st.dictionaries(st.sampled_from(["", "a", "c"]), st.lists(expressions, max_size=3).map("\n".join), min_size=1)
)
@example(files={"a": "^b\n"})
@example(files={"a": "^a/b$\n[bad\n"})
def test_regular_expressions(tree: Path, files: dict[str, str]) -> None:
    compare(tree, files, "regexp")
