"""What a DAG file uses that Airflow 3 does not have: for two rules, and for those that would otherwise say it again."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mwaa_local.catalog.upgrade import removed_dag_arguments, removed_import, removed_operator_arguments
from mwaa_local.preflight.readings.python import PythonFile


@dataclass(frozen=True)
class Removal:
    """One use of something removed: ``kind`` is ``import`` or ``argument``, ``instead`` what took its place.

    ``raises`` are the lines on which Python says so when the file is imported: those of the calls, not of their
    arguments.
    """

    kind: str
    name: str
    instead: str
    line: int
    owner: str = ""
    raises: tuple[int, ...] = ()


@lru_cache(maxsize=8192)
def removals(file: PythonFile) -> tuple[Removal, ...]:
    """Everything in a file that Airflow 3 refuses."""
    return (*_imports(file), *_arguments(file))


def claimed(file: PythonFile) -> frozenset[int]:
    """Lines about which a removal has been reported."""
    return frozenset(line for item in removals(file) for line in (item.line, *item.raises))


def _imports(file: PythonFile) -> Iterator[Removal]:
    for item in file.imports:
        if item.guarded or not item.name.startswith("airflow."):
            continue
        gone = removed_import(item.name)
        if gone is not None:
            yield Removal("import", gone[0], gone[1], item.line)


def _arguments(file: PythonFile) -> Iterator[Removal]:
    dag_arguments, operator_arguments = removed_dag_arguments(), removed_operator_arguments()
    for call in file.all_calls:
        leaf = call.name.rpartition(".")[2]
        if leaf in ("DAG", "dag"):
            table, owner = dag_arguments, leaf
        elif leaf.endswith(("Operator", "Sensor")):
            table, owner = operator_arguments, leaf
        else:
            continue
        for keyword in call.node.keywords:
            if keyword.arg in table:
                yield Removal("argument", keyword.arg, table[keyword.arg], keyword.value.lineno, owner, (call.line,))
    operators = tuple(call.line for call in file.all_calls if call.name.endswith(("Operator", "Sensor")))
    for node in ast.walk(file.tree):
        # default_args reach every operator.
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Dict)
            and any(isinstance(item, ast.Name) and "default_args" in item.id for item in node.targets)
        ):
            for key in node.value.keys:
                if isinstance(key, ast.Constant) and key.value in operator_arguments:
                    yield Removal(
                        "argument",
                        str(key.value),
                        operator_arguments[str(key.value)],
                        key.lineno,
                        "default_args",
                        operators,
                    )
