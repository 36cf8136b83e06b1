"""What rules read, apart from the rules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from preflight_support import write

from mwaa_local.preflight.inside import __file__ as inside
from mwaa_local.preflight.readings import ignore
from mwaa_local.preflight.readings.python import PythonFile
from mwaa_local.preflight.readings.safe_mode import missing_words
from mwaa_local.preflight.readings.text import TextFile


def python(text: str) -> PythonFile:
    return PythonFile(TextFile(Path("x.py"), text.encode()))


def test_imports_and_their_guards() -> None:
    file = python(
        "import a.b\nimport c.d as e\nfrom f import g as h\nfrom . import rel\n"
        "try:\n    import i\nexcept ImportError:\n    import j\nelse:\n    import k\nfinally:\n    import m\n"
        "try:\n    import n\nexcept ValueError:\n    import o\n"
        "if TYPE_CHECKING:\n    import p\n"
        "if AIRFLOW_VERSION >= 3:\n    import q\n"
        "def r():\n    import s\n"
    )
    assert [(item.name, item.guarded) for item in file.imports] == [
        ("a.b", False), ("c.d", False), ("f.g", False), ("i", True), ("j", True), ("k", True), ("m", False),
        ("n", False), ("o", False), ("p", True), ("q", True), ("s", False),
    ]  # fmt: skip
    assert {name: file.names[name] for name in ("a", "e", "h")} == {"a": "a", "e": "c.d", "h": "f.g"}


def test_calls_that_run_at_import() -> None:
    file = python(
        "from m import dag\nimport n\nn.top()\n"
        "def f():\n    n.inner()\n"
        "@dag()\ndef g():\n    n.in_dag()\n    def h():\n        n.too_deep()\n"
        "class C:\n    x = n.in_class()\n    def m(self):\n        n.in_method()\n"
        "y = lambda: n.later()\nz = [n.each() for i in n.over()]\n"
        "if __name__ == '__main__':\n    n.main()\n"
        "async def k(a=n.default()):\n    pass\n"
    )
    assert [call.name for call in file.calls if call.name.startswith("n.")] == [
        "n.top",
        "n.in_dag",
        "n.in_class",
        "n.each",
        "n.over",
    ]


def test_dotted_names() -> None:
    file = python(
        "import boto3 as b\nfrom pathlib import Path\nb.client('s3').list_buckets()\nPath('x').open()\n(1).x()\n"
    )
    assert [call.name for call in file.calls] == [
        "boto3.client().list_buckets",
        "boto3.client",
        "pathlib.Path().open",
        "pathlib.Path",
    ]


@pytest.mark.parametrize("data", [b"x = (\n", b"\x00", b"\xff\xfe bad", b"# coding: nonsense\n"])
def test_files_that_are_no_python(data: bytes) -> None:
    file = PythonFile(TextFile(Path("x.py"), data))
    assert isinstance(file.parsed, SyntaxError)
    assert file.imports == file.calls == file.plugins == ()


@pytest.mark.parametrize(
    ("data", "lacking"),
    [(b"Airflow DAG", ()), (b"airflow asset", ("dag",)), (b"airflow", ("dag",)), (b"dag", ("airflow",)), (b"", ("airflow", "dag"))],
)  # fmt: skip
def test_safe_mode(data: bytes, lacking: tuple[str, ...]) -> None:
    assert missing_words(data, ("dag",)) == lacking
    assert missing_words(data, ("dag", "asset")) == (() if b"asset" in data else lacking)


def test_text() -> None:
    text = TextFile(Path("x"), b"\xef\xbb\xbfa\r\nb\xff\rc\n")
    assert text.lines == ["a", "b\ufffd", "c", ""]
    assert (text.line(1), text.line(0), text.line(9)) == ("a", "", "")


def test_ignore_patterns(tmp_path: Path) -> None:
    """Both syntaxes; the contract tests hold them against Airflow's own."""
    write(
        tmp_path,
        dict.fromkeys(("a.py", "lib/b.py", "lib/keep.py", "tests/c.py"), "")
        | {".airflowignore": "tests/\nlib/*  # comment\n!keep.py\n"},
    )
    assert [path.name for path in ignore.looked_at(tmp_path, "glob")] == ["a.py", "keep.py"]
    (tmp_path / ".airflowignore").write_text("tests/\n^lib/b\n[broken\n")
    assert [path.name for path in ignore.looked_at(tmp_path, "regexp")] == ["a.py", "keep.py"]
    assert len(list(ignore.looked_at(tmp_path, "regexp", limit=1))) == 1


def test_what_runs_inside_airflows_python_keeps_to_old_syntax() -> None:
    folder = Path(inside).parent
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not [name for name in imported if name.startswith("mwaa_local")], path
