"""Children are isolated: what lies in the folder somebody stands in is neither imported nor obeyed."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from mwaa_local.packages import child, pythons

SOURCES = Path(__file__).resolve().parents[2] / "src" / "mwaa_local"
# Programs of an environment that runs: long lives, pipes and identities of their own. Each names its folder and its
# variables at the call; `exec` becomes the program that a user asked for.
ELSEWHERE = {
    "runtime/startup.py": "bash with the user's startup script, where and as MWAA runs it",
    "runtime/supervise.py": "Airflow's own processes, in the folder the supervisor works in: MWAA's home",
    "runtime/migrate.py": "airflow db migrate",
    "runtime/execute.py": "what a user asked to run in a component",
    "engines/process/launch.py": "the program behind a change of identity",
    "engines/process/component.py": "a component, from its plan",
    "engines/process/keeper_client.py": "the keeper, which outlives its caller",
    "engines/process/postgres.py": "PostgreSQL",
    "engines/process/serve.py": "PostgreSQL, for a while",
    "engines/snapshots.py": "pg_dump and psql, whose text is read and written piece by piece",
    "engines/process/migration.py": "migrate-db, up or down",
    "engines/attended.py": "what a user asked to run in a component, on the user's terminal",
    "engines/docker/client.py": "docker",
    "engines/docker/commands.py": "docker",
    "engines/docker/image.py": "docker",
    "engines/docker/waiting.py": "docker compose",
}
STARTERS = {"Popen", "run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"}


def starts(tree: ast.AST) -> list[ast.Call]:
    """Calls that start a program."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        name = node.func.attr
        if (
            (owner == "subprocess" and name in STARTERS)
            or (owner == "os" and name.startswith(("exec", "spawn", "posix_spawn", "popen", "system")))
            or (owner == "asyncio" and name.startswith("create_subprocess"))
            or owner == "pty"
        ):
            found.append(node)
    return found


def test_programs_are_started_in_one_place() -> None:
    seen = set()
    for path in sorted(SOURCES.rglob("*.py")):
        name = path.relative_to(SOURCES).as_posix()
        if name.startswith("preflight/inside/") or name == "packages/child.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "subprocess"]
        assert all(alias.name == "Popen" for node in imported for alias in node.names), f"{name}: for types only"
        for call in starts(tree):
            seen.add(name)
            assert name in ELSEWHERE, f"{name}:{call.lineno} starts a program beside child.py"
            words = {keyword.arg for keyword in call.keywords}
            if call.func.attr in STARTERS and name != "runtime/supervise.py":  # type: ignore[attr-defined]
                assert {"cwd", "env"} <= words, f"{name}:{call.lineno} inherits a folder or variables"
    assert seen == set(ELSEWHERE)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder one stands in, whose modules say so when they are imported."""
    marker = tmp_path / "marker"
    folder = tmp_path / "project"
    folder.mkdir()
    text = f"open({str(marker)!r}, 'a').write(__name__ + ' ')\n"
    for name in ("json", "platform", "site", "sitecustomize", "usercustomize", "pip", "encodings", "compileall"):
        (folder / f"{name}.py").write_text(text)
    (folder / "rc").write_text(f"echo bash >> {marker}\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("BASH_ENV", str(folder / "rc"))
    return marker


def test_a_child_imports_nothing_of_the_folder_one_stands_in(hostile: Path) -> None:
    code = "import json, os, platform, sys; print(os.listdir('.'), os.getcwd(), sys.flags.no_user_site)"
    done = child.run([sys.executable, "-c", code], env=dict(os.environ), timeout_s=60)
    assert done.code == 0, done.text
    assert done.lines[0].startswith("[] "), "its folder is empty"
    assert not Path(done.lines[0].split()[1]).exists(), "and gone afterwards"
    asked = child.ask(child.python(Path(sys.executable), "-c", code), env=dict(os.environ), timeout_s=60)
    assert asked.stdout.startswith(b"[] ")
    assert child.ask(["bash", "-c", "true"], env=dict(os.environ), timeout_s=60).returncode == 0
    assert not hostile.exists(), hostile.read_text()


def test_an_interpreter_is_probed_in_isolation(hostile: Path) -> None:
    assert pythons.probe(Path(sys.executable), "test") is not None
    assert not hostile.exists(), hostile.read_text()


def test_the_tools_own_python_imports_nothing_of_the_folder_one_stands_in(hostile: Path) -> None:
    words = child.own_python("-c", "import json, platform; import mwaa_local; print(mwaa_local.__name__)")
    done = child.run(words, env={}, timeout_s=60, cwd=Path.cwd())
    assert done.lines == ("mwaa_local",)
    assert not hostile.exists(), hostile.read_text()


def test_programs_are_not_taken_from_the_folder_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "ruff"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.chdir(tool.parent)
    assert child.program("ruff", ".") is None
    assert child.program("ruff", "") is None
    assert child.program("ruff", f"::{tool.parent}") == tool
    monkeypatch.setenv("PATH", f".:{tool.parent}")
    assert child.program("ruff") == tool


def test_a_question_without_an_answer_ends(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        child.ask(["sleep", "60"], env={"PATH": os.defpath}, timeout_s=0.2)
