"""The house holds: imports point down, no module is two rooms, nothing names this machine or a registry."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def test_imports_point_down() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions count: they are how a circle is usually hidden. What is there for types alone does not."""
    modules = {_module(path): path for path in SOURCES}
    graph = {name: _imports(path, modules) - {name} for name, path in modules.items()}
    with pytest.raises(CycleError) as told:
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
    assert told.value.args[1] in (["a", "b", "a"], ["b", "a", "b"])
    TopologicalSorter(graph).prepare()


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path, modules: Collection[str]) -> set[str]:
    found: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & set(modules) or {node.module}
        nodes.extend(ast.iter_child_nodes(node))
    return found & set(modules)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_no_module_is_two_rooms(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600, "past 500 lines look for the second room"


@pytest.mark.parametrize("package", ["mwaa_airflow", "mwaa"])
def test_airflows_side_keeps_the_syntax_of_python_3_7(package: str) -> None:
    for path in (ROOT / "src" / package).rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 7))


def test_the_process_environment_is_read_at_the_edges_only() -> None:
    # The edges: the command line, the runtime's and the servers' entry points, MiniStack's host, and Airflow's side.
    edges = {"cli", "__main__.py", "server.py", "install_base.py", "keeper.py", "launch.py", "mwaa_airflow", "mwaa"}
    offenders = []
    for path in SOURCES:
        parts = set(path.relative_to(ROOT / "src").parts)
        if parts & edges or "inside" in parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        reads = (
            node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        )
        if any(isinstance(node.value, ast.Name) and node.value.id == "os" for node in reads):
            offenders.append(str(path.relative_to(ROOT)))
    assert offenders == ALLOWED


# Each with its reason: aws/server/host.py scrubs the environment before MiniStack is imported, which reads it.
ALLOWED = ["src/mwaa_local/aws/server/host.py"]


def test_no_two_test_files_have_one_name() -> None:
    """pytest collects neither of them, and a run of one folder does not notice."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
