"""Plants small mistakes in one room of the source, one at a time, and says which of them no test notices.

``make mutants ROOM=runtime`` or ``FROM=mistakes.json`` (docs/development/testing.md). Cosmic Ray makes the mistakes; the dropped statement,
which it lacks, is added here. Works in a copy, so what is being edited is never touched.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".mutants"
TREE = WORK / "tree"
EQUIVALENT = Path("tests/equivalent_mutants.toml")
# Cosmic Ray's operators worth their time; its other replacements of binary operators are variations of these.
OPERATORS = re.compile(
    r"core/(AddNot|NumberReplacer|Replace(AndWithOr|OrWithAnd|TrueWithFalse|FalseWithTrue|BreakWithContinue|ContinueWithBreak)"
    r"|ZeroIterationForLoop|ReplaceUnaryOperator_Delete_\w+|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|BitOr_BitAnd)"
    r"|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Lt_Gt|Gt_Lt|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In))"
)


class DropStatement(Operator):
    """Leaves out a call whose result nobody wants, a ``raise``, or a ``return`` of something."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "simple_stmt" and _droppable(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        first = node.children[0]
        prefix = first.get_first_leaf().prefix
        node.children[0] = get_ast("pass").children[0]
        node.children[0].prefix = prefix
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


def _droppable(statement: Any) -> bool:
    if statement.type in ("raise_stmt", "return_stmt"):
        return len(statement.children) > 1 or statement.type == "raise_stmt"
    if statement.type not in ("atom_expr", "await_expr", "power"):
        return False
    return statement.get_last_leaf().value == ")"


OWN: dict[str, Operator] = {"own/DropStatement": DropStatement()}


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        module: Path in the repository.
        operator: What was done.
        occurrence: Which of the operator's places in the module.
        line: Where, from 1.
        was: The first changed line before, stripped.
        now: The same after.
    """

    module: str
    operator: str
    occurrence: int
    line: int
    was: str
    now: str

    def planted(self, code: str) -> str:
        """The module's text with the mistake in it."""
        return mutate_code(code, _operators()[self.operator], self.occurrence) or code


@dataclass(frozen=True)
class Written:
    """A mistake that somebody thought of; a row of the file that ``--from`` names.

    Attributes:
        module: Path in the repository.
        was: A piece of its text that stands there once.
        now: What stands there instead.
        why: What a user would see.
    """

    module: str
    was: str
    now: str
    why: str = ""

    @property
    def line(self) -> int:
        """Where, from 1."""
        return (TREE / self.module).read_text(encoding="utf-8").partition(self.was)[0].count("\n") + 1

    def planted(self, code: str) -> str:
        """The module's text with the mistake in it."""
        if code.count(self.was) != 1:
            raise SystemExit(f"{self.module} holds {code.count(self.was)} times, not once: {self.was}")
        return code.replace(self.was, self.now)


def main() -> int:
    """Plant, test, report; 0 if every mutant fell, 1 if some survived, 2 if nothing could be tested."""
    words = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _copy()
    mutants = _written(words.written) if words.written else _made(words)
    if not mutants:
        return 2 if mutants is None else 0
    stages = {module: _stages(module, quick=words.quick) for module in {mutant.module for mutant in mutants}}
    limits: dict[str, float] = {}
    for stage in dict.fromkeys(stage for each in stages.values() for stage in each):
        begun = time.monotonic()
        output = _test(stage, 900)
        if output:
            print(f"the tests fail without any mutant: {stage}\n{output[-2000:]}", file=sys.stderr)
            return 2
        limits[stage] = 30 + 6 * (time.monotonic() - begun)
    survivors = [mutant for mutant in mutants if not _falls(mutant, stages[mutant.module], limits)]
    name = words.written.stem if words.written else words.room
    report = WORK / f"{name}.json"
    report.write_text(json.dumps([asdict(mutant) for mutant in survivors], indent=1), encoding="utf-8")
    print(f"{name}: {len(mutants) - len(survivors)} of {len(mutants)} fell; survivors in {report}")
    return 1 if survivors else 0


def _made(words: argparse.Namespace) -> list[Mutant] | None:
    """Mistakes of one room made by rule; ``None`` without such a room."""
    modules = sorted((TREE / "src").glob(f"mwaa*/{words.room}/**/*.py")) or sorted(
        (TREE / "src" / words.room).glob("**/*.py")
    )
    if not modules:
        print(f"no room {words.room!r} under src/mwaa_local", file=sys.stderr)
        return None
    changed = None if words.all else _changed(words.base)
    places = [place for path in modules for place in _places(path, changed)]
    if not places:
        print(f"nothing to plant: no line of {words.room} differs from {words.base} (ALL=1 takes every line)")
        return []
    print(f"{len(places)} places in {len(modules)} modules", file=sys.stderr)
    random.Random(words.seed).shuffle(places)
    known = {(row["module"], row["was"], row["now"]) for row in _equivalents()}
    planted = (mutant for place in places if (mutant := _mutant(*place)))  # made one by one: each parses its module
    return list(
        itertools.islice(
            (mutant for mutant in planted if (mutant.module, mutant.was, mutant.now) not in known),
            words.sample or None,
        )
    )


def _written(path: Path) -> list[Written]:
    return [Written(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("room", nargs="?", help="a folder of src/mwaa_local, or mwaa_airflow")
    what.add_argument("--from", dest="written", type=Path, help="JSON list of mistakes: module, was, now, why")
    parser.add_argument("--base", default="main", help="only lines that differ from this commit")
    parser.add_argument("--all", action="store_true", help="every line of the room")
    parser.add_argument("--sample", type=int, default=0, help="at most so many, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="only the room's own tests; some that survive would fall")
    return parser.parse_args()


def _copy() -> None:
    """Bring the copy to the state of the working folder, uncommitted lines included, and give it its own Python."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    wanted = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    for name in wanted:
        source, target = ROOT / name, TREE / name
        if not target.is_file() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    for folder in ("src", "tests"):
        for path in (TREE / folder).rglob("*.py"):
            if str(path.relative_to(TREE)) not in wanted:
                path.unlink()
    if not (TREE / ".git").exists():
        subprocess.run(["git", "init", "-q"], cwd=TREE, check=True)
    subprocess.run(["make", "-s", ".venv/.tested"], cwd=TREE, check=True, stdout=sys.stderr)


def _changed(base: str) -> dict[str, set[int]]:
    """Lines of each file that differ from a commit."""
    diff = subprocess.run(
        ["git", "diff", "-U0", base, "--", "src"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    changed: dict[str, set[int]] = {}
    current: set[int] = set()
    for line in diff.splitlines():
        if line.startswith("+++ "):
            current = changed.setdefault(line[6:], set())
        elif hunk := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            current |= set(range(int(hunk[1]), int(hunk[1]) + int(hunk[2] or 1)))
    return changed


def _places(path: Path, changed: dict[str, set[int]] | None) -> Iterator[tuple[str, str, int, int]]:
    """Where a mistake can be made: module, operator, which of its places there, line."""
    module = str(path.relative_to(TREE))
    if changed is not None and module not in changed:
        return
    nodes = list(ast_nodes(get_ast(path.read_text(encoding="utf-8"))))
    for name, operator in _operators().items():
        positions = [position for node in nodes for position in operator.mutation_positions(node)]
        for occurrence, (begin, _end) in enumerate(positions):
            if changed is None or begin[0] in changed[module]:
                yield module, name, occurrence, begin[0]


def _mutant(module: str, operator: str, occurrence: int, line: int) -> Mutant | None:
    code = (TREE / module).read_text(encoding="utf-8")
    mutated = mutate_code(code, _operators()[operator], occurrence) or code
    pairs = zip(code.splitlines(), mutated.splitlines(), strict=False)
    was, now = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
    return None if mutated == code else Mutant(module, operator, occurrence, line, was.strip(), now.strip())


@cache
def _operators() -> dict[str, Operator]:
    names = [name for name in cosmic_ray.plugins.operator_names() if OPERATORS.fullmatch(name)]
    return {**OWN, **{name: cosmic_ray.plugins.get_operator(name)() for name in names}}


def _equivalents() -> list[dict[str, str]]:
    """Mutants that someone has looked at and found to change nothing that can be seen, each with its reason."""
    path = ROOT / EQUIVALENT
    return list(tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", [])) if path.exists() else []


def _stages(module: str, *, quick: bool) -> list[str]:
    """Test files from the nearest to the farthest, as arguments of pytest: most mutants fall within a second."""
    name = ".".join(Path(module).with_suffix("").parts[1:]).removesuffix(".__init__")
    package, room = name.split(".")[:2]
    room = package if package == "mwaa_airflow" else room
    unit = sorted(path.relative_to(TREE) for path in (TREE / "tests/unit").glob("test_*.py"))
    contract = sorted(path.relative_to(TREE) for path in (TREE / "tests/contract").glob(f"test_{room}_*.py"))
    texts = {path: (TREE / path).read_text(encoding="utf-8") for path in [*unit, *contract]}
    word = re.compile(
        rf"\b{re.escape(name)}\b|from {re.escape(name.rpartition('.')[0])} import [^\n]*\b{name.rpartition('.')[2]}\b"
    )
    near = [path for path in unit if word.search(texts[path])]
    same = [path for path in unit if path not in near and path.name.startswith(f"test_{room}_")]
    rest = [path for path in unit if path not in near and path not in same]
    seams = [path for path in contract if word.search(texts[path])] or contract
    return [" ".join(map(str, paths)) for paths in (near, same, seams, [] if quick else rest) if paths]


def _test(stage: str, limit: float) -> str:
    """What the tests say against the tree as it is: nothing if they pass."""
    command = [str(TREE / ".venv/bin/python"), "-m", "pytest", "-x", "-q", "--no-header", "--tb=short"]
    process = subprocess.Popen(
        [*command, "-p", "no:cacheprovider", *stage.split()],
        cwd=TREE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not done within {limit:.0f} s"
    finally:  # also what the tests started, and also when this is interrupted
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return output if process.returncode else ""


def _falls(mutant: Mutant | Written, stages: list[str], limits: dict[str, float]) -> bool:
    path = TREE / mutant.module
    code = path.read_text(encoding="utf-8")
    begun = time.monotonic()
    path.write_text(mutant.planted(code), encoding="utf-8")
    try:
        fell = any(_test(stage, limits[stage]) for stage in stages)
    finally:
        path.write_text(code, encoding="utf-8")
    seconds = time.monotonic() - begun
    print(
        f"{'fell    ' if fell else 'SURVIVED'} {mutant.module}:{mutant.line} {mutant.was!r} -> {mutant.now!r} ({seconds:.1f} s)",
        flush=True,
    )
    return fell


if __name__ == "__main__":
    sys.exit(main())
