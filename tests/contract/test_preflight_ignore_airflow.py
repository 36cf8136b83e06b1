"""Which files an ``.airflowignore`` hides, against Airflow's own walk of the same folder."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest
from mwaa_airflow_support import VERSIONS, airflow_python

from mwaa_local.catalog.parsing import parsing
from mwaa_local.preflight.readings import ignore

FILES = (
    "a.py", "b.txt", "Ab.py", "x#y.py", "[z].py", "!n.py", "team/a.py", "team/sub/b.py", "team/sub/deep/c.py",
    "sales/a.py", "sales.py", "sales/team/a.py", "ä/ü.py", "a b/c d.py", ".hidden/e.py", "team.a/f.py",
)  # fmt: skip
GLOBS = (
    "a.py", "*.py", "team", "team/", "/team", "team/*", "team/**", "**/a.py", "sales/**/a.py", "!team/a.py", "!*.txt", "sub/",
    "t?am", "[ab].py", "[!a].py", "a b", "a b/", ".hidden", "*", "**", "/", "//", "/*", "!/sales", "team/sub/", "team//a.py",
    "[z-a]", "[", "\\[z].py", "\\!n.py", "x\\#y.py", " a.py", "a.py ", "**/sub/**", "sales*", "deep/c.py", "/a.py", "ä", "A*",
    "!", "!!a.py", "team/sub/deep", "./a.py", "../a.py", "team/!sub", "***", "a.py  # comment", "#a.py",
)  # fmt: skip
EXPRESSIONS = (
    "a", r"a\.py$", "^team", "team/", "sub.*c", "(?i)AB", "[ab]", "[", "(", "sales|team", r"^sales\.py", "ä", " ", "a b", r"\d",
    "^a", ".*", "^$", "x#y", "(?!team)", "(?<=a)b", r"(a)\1", "a{2}", "team/sub", "/", "hidden/e", r"\.txt", "x{1001}", "*", "+",
)  # fmt: skip
# Airflow's own walk, in its own Python; one line of answer for each set of patterns.
WALK = """
import json, logging, pathlib, sys
logging.disable(logging.CRITICAL)
try:
    from airflow._shared.module_loading.file_discovery import find_path_from_directory
except ImportError:
    from airflow.utils.file import find_path_from_directory
root, syntax = pathlib.Path(sys.argv[1]), sys.argv[2]
for given in json.load(sys.stdin):
    (root / ".airflowignore").write_text(given)
    try:
        found = sorted(str(pathlib.Path(path).relative_to(root)) for path in find_path_from_directory(root, ".airflowignore", syntax))
    except Exception as error:
        found = type(error).__name__
    print(json.dumps(found))
"""


def documents(patterns: tuple[str, ...], count: int) -> list[str]:
    """Each pattern alone, then draws of two and three: later ones may take back what earlier ones hid."""
    draw = random.Random(7)
    return [*patterns, *("\n".join(draw.sample(patterns, draw.choice((2, 3)))) for _ in range(count))]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("syntax", "patterns"), [("glob", GLOBS), ("regexp", EXPRESSIONS)])
def test_the_same_files_are_left(version: str, syntax: str, patterns: tuple[str, ...], tmp_path: Path) -> None:
    root = tmp_path / "dags"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    if (
        version == "2.10.3"
    ):  # its pathspec 0.12 drops blanks before a pattern; from 1.0 on, and here, they are part of it
        patterns = tuple(pattern for pattern in patterns if not pattern.startswith(" "))
    given = documents(patterns, 300)
    done = subprocess.run(
        [airflow_python(version), "-W", "ignore", "-c", WALK, root, syntax],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        env={"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    engine = parsing(version).ignore_engine
    wrong = []
    for text, line in zip(given, done.stdout.splitlines(), strict=True):
        theirs = json.loads(line)
        (root / ".airflowignore").write_text(text)
        ours = sorted(str(path.relative_to(root)) for path in ignore.looked_at(root, syntax, engine=engine))
        if isinstance(theirs, str):  # the walk ended with an error, which is ours to foretell
            faults = [ignore.glob_fault(pattern) for _, pattern in ignore.lines(root / ".airflowignore")]
            if syntax != "glob" or not any(faults):
                wrong.append((text, [theirs]))
        elif theirs != ours:
            wrong.append((text, sorted(set(theirs) ^ set(ours))))
    assert not wrong, f"{len(wrong)} of {len(given)}: {wrong[:10]}"
