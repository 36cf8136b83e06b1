"""A Python file as rules see it: what it imports, what it calls while it is imported, what its classes say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mwaa_local.preflight.readings.text import TextFile

_GUARDS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
# Calling one of these makes a function's body part of the import (a @dag function is called to build the DAG).
_CALLED_AT_IMPORT = frozenset({"dag", "task_group"})


@dataclass(frozen=True)
class Import:
    """One imported name: ``name`` is dotted (module, or module and attribute), ``guarded`` when a failure is caught.

    ``local`` is the name it binds and ``stands_for`` what that means (``import a.b`` binds ``a``).
    """

    name: str
    local: str
    stands_for: str
    line: int
    guarded: bool


@dataclass(frozen=True)
class Call:
    """A call that runs while the file is imported: ``name`` is the dotted name as imported."""

    name: str
    line: int
    node: ast.Call


@dataclass(frozen=True)
class PythonFile:
    """A Python file, parsed once by the tool's own Python."""

    source: TextFile

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.source.path

    @cached_property
    def parsed(self) -> ast.Module | SyntaxError:
        """The tree, or why there is none."""
        try:
            return ast.parse(self.source.data, filename=str(self.path))
        except SyntaxError as error:
            return error
        except ValueError as error:  # a null byte
            return SyntaxError(str(error))

    @property
    def tree(self) -> ast.Module:
        """The tree; an empty one when the file cannot be parsed."""
        return self.parsed if isinstance(self.parsed, ast.Module) else ast.Module(body=[], type_ignores=[])

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import in the file, also those inside functions."""
        return tuple(self._imports(self.tree.body, guarded=False))

    def _imports(self, body: list[ast.stmt], *, guarded: bool) -> Iterator[Import]:
        for node in body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.split(".")[0]
                    yield Import(
                        alias.name, alias.asname or top, alias.name if alias.asname else top, node.lineno, guarded
                    )
            elif isinstance(node, ast.ImportFrom):
                if node.level or node.module is None:
                    continue
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    yield Import(name, alias.asname or alias.name, name, node.lineno, guarded)
            elif isinstance(node, ast.Try):
                caught = guarded or any(_catches_import(handler) for handler in node.handlers)
                yield from self._imports(node.body, guarded=caught)
                # What stands in the handler is for the other case: it is as guarded as the attempt.
                for handler in node.handlers:
                    yield from self._imports(handler.body, guarded=caught)
                yield from self._imports(node.orelse, guarded=caught)
                yield from self._imports(node.finalbody, guarded=guarded)
            elif isinstance(node, ast.If):
                typing_only = "TYPE_CHECKING" in ast.dump(node.test)
                # A test of the version chooses between imports, as a caught ImportError does.
                chosen = guarded or typing_only or "version" in ast.dump(node.test).lower()
                yield from self._imports(node.body, guarded=chosen)
                yield from self._imports(node.orelse, guarded=chosen)
            else:
                for field in ("body", "orelse", "finalbody"):
                    inner = getattr(node, field, None)
                    if isinstance(inner, list):
                        yield from self._imports(inner, guarded=guarded)

    @cached_property
    def names(self) -> dict[str, str]:
        """Local name to the dotted name it was imported as."""
        return {item.local: item.stands_for for item in self.imports}

    def dotted(self, node: ast.expr) -> str:
        """The dotted name of an expression, through the file's imports; empty for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Call):  # Path("x").open, boto3.client("s3").list_buckets
            inner = self.dotted(node.func)
            return ".".join([f"{inner}()", *reversed(parts)]) if inner else ""
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.names.get(node.id, node.id), *reversed(parts)])

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """Calls that run at import."""
        return tuple(self._calls(self.tree.body))

    def _calls(self, body: list[ast.stmt]) -> Iterator[Call]:
        for statement in body:
            yield from self._calls_in(statement)

    def _calls_in(self, node: ast.AST) -> Iterator[Call]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                yield from self._calls_in(decorator)
            if any(self._decorator(item).rpartition(".")[2] in _CALLED_AT_IMPORT for item in node.decorator_list):
                yield from self._calls(node.body)
            return
        if isinstance(node, ast.Lambda):
            return
        if isinstance(node, ast.If) and _is_main_test(node.test):
            return
        if isinstance(node, ast.Call):
            name = self.dotted(node.func)
            if name:
                yield Call(name, node.lineno, node)
        for child in ast.iter_child_nodes(node):
            yield from self._calls_in(child)

    def _decorator(self, node: ast.expr) -> str:
        return self.dotted(node.func if isinstance(node, ast.Call) else node)

    @cached_property
    def all_calls(self) -> tuple[Call, ...]:
        """Every call in the file, also inside functions."""
        return tuple(
            Call(self.dotted(node.func), node.lineno, node)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call)
        )

    @cached_property
    def classes(self) -> tuple[ast.ClassDef, ...]:
        """Classes anywhere in the file."""
        return tuple(node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))

    @cached_property
    def plugins(self) -> tuple[ast.ClassDef, ...]:
        """Classes that make an Airflow plugin."""
        return tuple(
            node
            for node in self.classes
            if any(self.dotted(base).rpartition(".")[2] == "AirflowPlugin" for base in node.bases)
        )


def _catches_import(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in _GUARDS for kind in kinds)


def _is_main_test(node: ast.expr) -> bool:
    return isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == "__name__"


def keyword(call: ast.Call, name: str) -> ast.keyword | None:
    """A keyword argument of a call."""
    return next((item for item in call.keywords if item.arg == name), None)


def text_of(node: ast.expr | None) -> str:
    """The value of a string literal; empty for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
